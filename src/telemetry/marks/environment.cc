// Marks' variables (telemetry/marks/environment.h).
#include "telemetry/marks/environment.h"

#include <cstdlib>

#include "base/shared_library.h"
#include "telemetry/marks/channel.h"

namespace batchscope {

namespace fs = std::filesystem;

namespace {

constexpr const char* nvtx_variable = "NVTX_INJECTION64_PATH";  // NVTX's own

std::optional<std::string> value_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

void put_back(const char* variable, const std::optional<std::string>& value) {
  if (value)
    setenv(variable, value->c_str(), 1);
  else
    unsetenv(variable);
}

}  // namespace

KeptMarkEnvironment::KeptMarkEnvironment() : marks_(value_of(marks_variable)), nvtx_(value_of(nvtx_variable)) {}

KeptMarkEnvironment::~KeptMarkEnvironment() {
  put_back(marks_variable, marks_);
  put_back(nvtx_variable, nvtx_);
}

void set_mark_environment(const fs::path& socket) {
  setenv(marks_variable, socket.c_str(), 1);
  if (const fs::path library = own_library("libbatchscope_nvtx.so"); !library.empty())
    setenv(nvtx_variable, library.c_str(), 0);
}

}  // namespace batchscope
