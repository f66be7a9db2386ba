// A command beside a recording (telemetry/command.h).
#include "telemetry/command.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "telemetry/virtual_page.h"

extern char** environ;

namespace batchscope {
namespace {

constexpr std::array passed_on{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
constexpr Nanoseconds look_again = std::chrono::milliseconds(50);  // at a process that is not our child

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : passed_on) sigaddset(&set, signal);
  sigaddset(&set, SIGCHLD);
  return set;
}

bool has_ended(pid_t process, bool is_child) {
  if (!is_child) return !process_start_ticks(process).has_value();
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == process;
}

// One of the watched signals, or 0 when the time is over.
siginfo_t next_signal(Nanoseconds wait) {
  const sigset_t set = watched();
  const auto nanoseconds = std::max<std::int64_t>(wait.count(), 0);
  const timespec time{.tv_sec = static_cast<time_t>(nanoseconds / 1'000'000'000),
                      .tv_nsec = static_cast<long>(nanoseconds % 1'000'000'000)};
  siginfo_t info{};
  if (sigtimedwait(&set, &info, &time) < 0) info.si_signo = 0;
  return info;
}

}  // namespace

SignalGuard::SignalGuard() {
  const sigset_t set = watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

SignalGuard::~SignalGuard() {
  // What came after the wait was answered by ending it: it must not strike now.
  while (next_signal(Nanoseconds(0)).si_signo != 0) {
  }
  const sigset_t set = watched();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

pid_t start_command(const std::vector<std::string>& command, const CommandPlace& place) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, defaults = watched();
  sigemptyset(&none);
  sigaddset(&defaults, SIGPIPE);
  sigaddset(&defaults, SIGXFSZ);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                           (place.own_group ? POSIX_SPAWN_SETPGROUP : 0)));
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  if (!place.output.empty()) {
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, place.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  }
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t child = -1;
  const int error = posix_spawnp(&child, arguments[0], &files, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error == 0) return child;
  errno = error;
  return -1;
}

WatchEnd watch(std::optional<pid_t> process, bool is_child, std::optional<Nanoseconds> deadline) {
  while (true) {
    if (process && has_ended(*process, is_child)) return WatchEnd::process_ended;
    const Nanoseconds now = monotonic_clock().now();
    if (deadline && now >= *deadline) return WatchEnd::time_passed;
    // A child's end is a signal; of another process we must look.
    Nanoseconds wait = process && !is_child ? look_again : std::chrono::seconds(1);
    if (deadline) wait = std::min(wait, *deadline - now);
    const siginfo_t signal = next_signal(wait);
    if (signal.si_signo == 0 || signal.si_signo == SIGCHLD) continue;
    if (!is_child) return WatchEnd::interrupted;
    // The terminal sends its signals to the command too; those of other processes are ours to pass on.
    if (signal.si_code != SI_KERNEL) kill(*process, signal.si_signo);
  }
}

int exit_code_of(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace batchscope
