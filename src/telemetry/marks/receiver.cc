// The threads behind a recording's marks (telemetry/marks/receiver.h).
#include "telemetry/marks/receiver.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/procfs.h"
#include "base/thread_signals.h"

namespace batchscope {
namespace {

constexpr auto flush_period = std::chrono::milliseconds(500);
constexpr std::size_t most_senders = 1000;
constexpr int messages_a_turn = 256;                          // then the other senders have theirs
constexpr auto longest_end = std::chrono::milliseconds(500);  // for senders that never stop

// "python 1234"; what a process calls itself may hold anything.
MarkSender sender_of(int descriptor, std::int64_t number) {
  ucred peer{};
  socklen_t size = sizeof peer;
  getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size);
  std::string name = read_small_file(fmt::format("/proc/{}/comm", peer.pid)).value_or("process");
  if (name.ends_with('\n')) name.pop_back();
  return {.number = number, .name = fmt::format("{} {}", visible(name), peer.pid), .pid = peer.pid};
}

}  // namespace

MarkReceiver::MarkReceiver(StoreWriter* store, std::int64_t session, const std::filesystem::path& folder)
    : store_(store), session_(session), socket_(folder), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (wake_ < 0) throw Failure("marks: {}", std::strerror(errno));
  receiver_ = std::thread([this] { receive(); });
  try {
    writer_ = std::thread([this] { write(); });
  } catch (...) {  // no more threads may be started
    eventfd_write(wake_, 1);
    receiver_.join();
    close(wake_);
    throw;
  }
}

MarkReceiver::~MarkReceiver() {
  stop();
  close(wake_);
}

void MarkReceiver::receive() {
  leave_signals_to_others();
  std::optional<Nanoseconds> deadline;  // since the recording is to end
  while (true) {
    // More senders than there is room for wait until others go.
    std::vector<pollfd> watched{
        {.fd = wake_, .events = POLLIN, .revents = 0},
        {.fd = senders_.size() < most_senders ? socket_.descriptor() : -1, .events = POLLIN, .revents = 0}};
    for (const auto& [descriptor, sender] : senders_)
      watched.push_back({.fd = descriptor, .events = POLLIN, .revents = 0});
    if (poll(watched.data(), watched.size(), deadline ? 0 : -1) < 0 && errno != EINTR) return;
    bool found = false;
    for (std::size_t i = 2; i < watched.size(); ++i) {
      if (watched[i].revents == 0) continue;
      found = true;
      const auto sender = senders_.find(watched[i].fd);
      if (take_from(sender->first, sender->second)) continue;
      {
        const std::lock_guard guard(mutex_);
        phases_.forget(sender->second);
      }
      close(sender->first);
      senders_.erase(sender);
    }
    if (watched[1].revents != 0) {
      found = true;
      accept_all();
    }
    const Nanoseconds now = monotonic_clock().now();
    if (deadline && (!found || now > *deadline)) return;
    if (!deadline && watched[0].revents != 0) deadline = now + longest_end;
  }
}

void MarkReceiver::accept_all() {
  while (senders_.size() < most_senders) {
    const int descriptor = accept4(socket_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor < 0) {
      if (errno != EAGAIN) std::this_thread::sleep_for(std::chrono::milliseconds(10));  // no descriptors left
      return;
    }
    senders_.emplace(descriptor, sender_of(descriptor, ++sender_count_));
  }
}

bool MarkReceiver::take_from(int descriptor, MarkSender& sender) {
  std::array<char, longest_mark + 1> buffer;  // what fills it is too long to be a mark
  for (int i = 0; i < messages_a_turn; ++i) {
    const ssize_t size = recv(descriptor, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return errno == EAGAIN;
    if (size == 0) return false;
    const Nanoseconds now = monotonic_clock().now();
    const std::lock_guard guard(mutex_);
    phases_.take({buffer.data(), static_cast<std::size_t>(size)}, sender, now);
  }
  return true;
}

void MarkReceiver::write() {
  leave_signals_to_others();
  std::unique_lock lock(mutex_);
  while (!stop_) {
    stopping_.wait_for(lock, flush_period, [this] { return stop_; });
    lock.unlock();
    write_once();
    lock.lock();
  }
}

// After a failed write the phases are still counted for the summary.
void MarkReceiver::write_once() {
  std::vector<Phase> phases;
  {
    const std::lock_guard guard(mutex_);
    phases = phases_.pending();
    if (store_ == nullptr || phases.empty() || write_error_) return;
  }
  try {
    store_->add_phases(session_, phases);
  } catch (const Error& error) {
    const std::lock_guard guard(mutex_);
    write_error_ = error.what();
  }
}

void MarkReceiver::stop() {
  if (!receiver_.joinable()) return;
  eventfd_write(wake_, 1);
  receiver_.join();
  {
    const std::lock_guard guard(mutex_);
    for (const auto& [descriptor, sender] : senders_) {
      phases_.forget(sender);
      close(descriptor);
    }
    phases_.end_all(monotonic_clock().now());
    stop_ = true;
  }
  stopping_.notify_all();
  writer_.join();
  write_once();
}

std::vector<PhaseTotal> MarkReceiver::totals() const {
  const std::lock_guard guard(mutex_);
  return phases_.totals();
}

MarkCounts MarkReceiver::counts() const {
  const std::lock_guard guard(mutex_);
  return phases_.counts();
}

std::optional<std::string> MarkReceiver::write_error() const {
  const std::lock_guard guard(mutex_);
  return write_error_;
}

}  // namespace batchscope
