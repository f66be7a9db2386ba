// Ctrl-C and SIGTERM (cli/interrupt.h). A signal handler can reach only what is static: the two flags here.
#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

namespace batchscope::cli {
namespace {

std::atomic<bool> asked_to_stop{false};
std::atomic<bool> flag_alive{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) {
  if (flag_alive.load() && !asked_to_stop.exchange(true)) return;
  constexpr char line[] = "batchscope: interrupted\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line, sizeof line - 1);
  _exit(130);
}

}  // namespace

void exit_on_interrupt() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hang_up {};
  sigaction(SIGHUP, nullptr, &hang_up);
  if (hang_up.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup: go on
}

InterruptFlag::InterruptFlag() {
  asked_to_stop = false;
  flag_alive = true;
}

InterruptFlag::~InterruptFlag() { flag_alive = false; }

const std::atomic<bool>& InterruptFlag::flag() const { return asked_to_stop; }

}  // namespace batchscope::cli
