// Deaths of processes by their pidfds (comm/lifeline.h; pidfd_open(2), Linux 5.3).
#include "comm/lifeline.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/thread_signals.h"

namespace batchscope {

Lifeline::Lifeline(const std::vector<pid_t>& pids, std::function<void(std::size_t index)> died)
    : died_(std::move(died)) {
  for (const pid_t pid : pids) {
    const auto file = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    if (file < 0 && errno == ESRCH) died_(files_.size());
    files_.push_back(file);  // -1, which poll() ignores, where the kernel has no such thing
  }
  files_.push_back(eventfd(0, EFD_CLOEXEC));
  thread_ = std::thread([this] { watch(); });
}

Lifeline::~Lifeline() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(files_.back(), &one, sizeof one);
  thread_.join();
  for (const int file : files_)
    if (file >= 0) close(file);
}

void Lifeline::watch() {
  leave_signals_to_others();
  std::vector<pollfd> waiting;
  for (const int file : files_) waiting.push_back({file, POLLIN, 0});
  while (poll(waiting.data(), waiting.size(), -1) < 0 && errno == EINTR) {
  }
  if (waiting.back().revents != 0) return;
  for (std::size_t i = 0; i + 1 < waiting.size(); ++i)
    if (waiting[i].revents != 0) return died_(i);
}

}  // namespace batchscope
