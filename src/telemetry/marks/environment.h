// What a recording's command finds in its environment, so that it can write marks.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace batchscope {

// In this process's environment, which the command inherits: the socket, and for programs that call NVTX the library
// that makes marks of its ranges (telemetry/nvtx/injection.c), where it is installed and no other tool's is asked for.
void set_mark_environment(const std::filesystem::path& socket);

// Puts both variables back at its end.
class KeptMarkEnvironment {
 public:
  KeptMarkEnvironment();
  ~KeptMarkEnvironment();
  KeptMarkEnvironment(const KeptMarkEnvironment&) = delete;
  KeptMarkEnvironment& operator=(const KeptMarkEnvironment&) = delete;

 private:
  std::optional<std::string> marks_, nvtx_;
};

}  // namespace batchscope
