// Ctrl-C and SIGTERM (cli/interrupt.h). A signal handler can reach only what is static: the two flags here.
#include "cli/interrupt.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>

#include "base/process_start.h"

namespace batchscope::cli {
namespace {

std::atomic<bool> asked_to_stop{false};
std::atomic<bool> flag_alive{false};
std::atomic<bool> one_of_several{false}, silent{false};
std::atomic<std::int64_t> ending_since_ns{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free);

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

void on_signal(int) {
  if (flag_alive.load() && !asked_to_stop.exchange(true)) return;
  if (one_of_several.load()) {  // time for the thread that notices another's death to say so and end this process
    std::int64_t not_yet = 0;
    ending_since_ns.compare_exchange_strong(not_yet, now_ns());
    // Counted from the first signal: launchers send several, and kill soon after.
    const std::int64_t end = ending_since_ns + 600'000'000;
    const timespec moment{.tv_sec = end / 1'000'000'000, .tv_nsec = end % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, nullptr);
  }
  constexpr char line[] = "batchscope: interrupted\n";
  if (!silent.load()) [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line, sizeof line - 1);
  _exit(130);
}

}  // namespace

void exit_on_interrupt() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGINT, SIGTERM, SIGHUP})
    if (!ignored_at_start(number)) sigaction(number, &action, nullptr);
}

void is_one_of_several(bool speaks) {
  silent = !speaks;
  one_of_several = true;
}

bool is_interrupted_for(Nanoseconds time) {
  const std::int64_t since = ending_since_ns;
  return since != 0 && now_ns() - since >= time.count();
}

InterruptFlag::InterruptFlag() {
  asked_to_stop = false;
  flag_alive = true;
}

InterruptFlag::~InterruptFlag() { flag_alive = false; }

const std::atomic<bool>& InterruptFlag::flag() const { return asked_to_stop; }

}  // namespace batchscope::cli
