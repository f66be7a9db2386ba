// Any bytes as a study file: a study or an InputError.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "study/study_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto study = batchscope::parse_study({reinterpret_cast<const char*>(data), size}, "fuzz.toml");
    batchscope::to_json(study);
  } catch (const batchscope::InputError&) {
  }
  return 0;
}
