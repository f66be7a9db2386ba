// When no more threads may be started: what that looks like, and what helps.
#pragma once

#include <system_error>

namespace batchscope {

inline bool is_lack_of_threads(const std::system_error& error) {
  return error.code() == std::errc::resource_unavailable_try_again;
}
constexpr const char* more_threads =
    "raise the limit: ulimit -u, the container's --pids-limit, or the service's TasksMax";

}  // namespace batchscope
