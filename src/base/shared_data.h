// Test data that is not part of the project: where it lies, when it is there. For tests only.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace batchscope {

// $BATCHSCOPE_SHARED, or the folder "shared" beside the source tree, and in it data/`name`.
inline std::filesystem::path shared_data(const std::string& name, const std::string& source_folder) {
  const char* folder = std::getenv("BATCHSCOPE_SHARED");
  const std::filesystem::path root =
      folder != nullptr ? std::filesystem::path(folder) : std::filesystem::path(source_folder) / ".." / "shared";
  return root / "data" / name;
}

// Inside a test: declares `variable`, or skips the test and says what is missing.
#define NEEDS_SHARED_DATA(variable, name)                                                      \
  const std::filesystem::path variable = batchscope::shared_data(name, BATCHSCOPE_SOURCE_DIR); \
  if (!std::filesystem::exists(variable)) GTEST_SKIP() << "needs " << variable << "; set BATCHSCOPE_SHARED"

}  // namespace batchscope
