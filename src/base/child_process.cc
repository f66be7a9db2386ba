// System calls around children (base/child_process.h).
#include "base/child_process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace batchscope {

Pipe::Pipe(const char* other) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw Failure("cannot make a pipe to {}: {}", other, std::strerror(errno));
  read_end = ends[0];
  write_end = ends[1];
}

Pipe::~Pipe() {
  close_one(read_end);
  close_one(write_end);
}

void Pipe::close_one(int& end) {
  if (end >= 0) close(end);
  end = -1;
}

int Pipe::take(int& end) { return std::exchange(end, -1); }

bool has_ended(pid_t child) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

bool ends_by(pid_t child, Nanoseconds latest, Nanoseconds look_again) {
  while (!has_ended(child)) {
    if (monotonic_clock().now() >= latest) return false;
    monotonic_clock().sleep_until(monotonic_clock().now() + look_again);
  }
  return true;
}

int wait_for_child(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace batchscope
