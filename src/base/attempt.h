// A call that may never return, as a driver's may with its GPU: made in a thread of its own, which is left behind when
// it does not come back.
#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <future>
#include <optional>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/thread_signals.h"

namespace batchscope {

// Whether somebody asked this program to stop while it keeps such signals for later.
inline bool is_asked_to_stop() {
  sigset_t waiting;
  sigpending(&waiting);
  return sigismember(&waiting, SIGINT) == 1 || sigismember(&waiting, SIGTERM) == 1 ||
         sigismember(&waiting, SIGHUP) == 1;
}

template <class Result>
class Attempt {
 public:
  // The call holds all that it needs: it may outlive this object.
  explicit Attempt(std::function<Result()> call) {
    std::packaged_task<Result()> task([call = std::move(call)] {
      leave_signals_to_others();
      return call();
    });
    result_ = task.get_future();
    std::thread(std::move(task)).detach();
  }

  // What it gave; absent when it has not returned by then. What it threw is thrown again. Interrupted by Ctrl-C.
  std::optional<Result> wait_until(Nanoseconds deadline) {
    constexpr auto look_again = std::chrono::milliseconds(50);
    while (result_.wait_for(look_again) != std::future_status::ready) {
      if (is_asked_to_stop()) throw Interrupted();
      if (monotonic_clock().now() >= deadline) return std::nullopt;
    }
    return result_.get();
  }
  // The same in a thread that leaves signals to others: it is not interrupted.
  std::optional<Result> result_by(Nanoseconds deadline) {
    const Nanoseconds left = std::max(deadline - monotonic_clock().now(), Nanoseconds(0));
    if (result_.wait_for(left) != std::future_status::ready) return std::nullopt;
    return result_.get();
  }
  std::optional<Result> wait_for(Nanoseconds time) { return wait_until(monotonic_clock().now() + time); }

 private:
  std::future<Result> result_;
};

}  // namespace batchscope
