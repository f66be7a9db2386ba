// What a recording's command finds in its environment, so that it can write marks.
#pragma once

#include <filesystem>

namespace batchscope {

// In this process's environment, which the command inherits: the socket, and for programs that call NVTX the library
// that makes marks of its ranges (telemetry/nvtx/injection.c), where it is installed and no other tool's is asked for.
void set_mark_environment(const std::filesystem::path& socket);

}  // namespace batchscope
