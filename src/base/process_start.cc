// Keeps descriptors 0 to 2 taken, and ignored signals ignored, from the first line of main on.
#include "base/process_start.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

namespace batchscope {
namespace {

sigset_t ignored;  // empty until take_over_process()

// A file of ours would else get the number of standard output or errors, and what is printed would go into it.
void occupy_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF) {
      // The lowest free number is taken, which is this one.
      [[maybe_unused]] const int opened = open("/dev/null", descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY);
    }
}

}  // namespace

void take_over_process() {
  occupy_standard_descriptors();
  sigemptyset(&ignored);
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) sigaddset(&ignored, number);
  }
  // With this one ignored, nobody could wait for a command or ask how it ended.
  signal(SIGCHLD, SIG_DFL);
}

bool ignored_at_start(int number) { return sigismember(&ignored, number) == 1; }

}  // namespace batchscope
