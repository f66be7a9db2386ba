// A command beside a recording (telemetry/command/command.h).
#include "telemetry/command/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/child_process.h"
#include "base/error.h"
#include "base/json.h"
#include "base/process_start.h"
#include "base/procfs.h"
#include "base/virtual_page.h"
#include "telemetry/command/process_tree.h"

namespace batchscope {
namespace {

constexpr std::array passed_on{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
constexpr Nanoseconds look_again = std::chrono::milliseconds(50);  // at a process that is not our child

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : passed_on)  // a blocked one would arrive although it is ignored
    if (!ignored_at_start(signal)) sigaddset(&set, signal);
  sigaddset(&set, SIGCHLD);
  return set;
}

bool has_ended(pid_t process, bool is_child) {
  return is_child ? batchscope::has_ended(process) : !process_start_ticks(process).has_value();
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

bool redirect(const std::filesystem::path& output) {
  const int nothing = open("/dev/null", O_RDONLY);
  const int out = open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  return nothing >= 0 && out >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
         dup2(out, STDERR_FILENO) >= 0;
}

// For good: the saved ids, too.
bool become(const CommandUser& user) {
  return setgroups(user.groups.size(), user.groups.data()) == 0 && setresgid(user.gid, user.gid, user.gid) == 0 &&
         setresuid(user.uid, user.uid, user.uid) == 0;
}

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// The child's part. Of a process with threads only this one is in it: no more than async-signal-safe calls.
[[noreturn]] void wait_and_run(const std::vector<char*>& arguments, const CommandPlace& place,
                               const std::vector<char*>& environment, int gate, int report) {
  sigset_t none;
  sigemptyset(&none);
  const auto as_at_start = [](int number) { signal(number, ignored_at_start(number) ? SIG_IGN : SIG_DFL); };
  for (const int number : passed_on) as_at_start(number);
  for (const int number : {SIGCHLD, SIGPIPE, SIGXFSZ}) as_at_start(number);
  if (place.own_group) setpgid(0, 0);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  prctl(PR_SET_NAME, held_name);
  const int is_held = 0;
  char go = 0;
  ssize_t count = write(report, &is_held, sizeof is_held);
  while ((count = read(gate, &go, 1)) < 0 && errno == EINTR) {
  }
  if (count == 1) {
    if (place.user) environ = const_cast<char**>(environment.data());
    if ((place.output.empty() || redirect(place.output)) && (!place.user || become(*place.user)))
      execvp(arguments[0], arguments.data());
    const int why = errno;
    [[maybe_unused]] const auto written = write(report, &why, sizeof why);
  }
  _exit(127);
}

}  // namespace

CommandUser command_user(const std::string& name, std::string_view what) {
  if (geteuid() != 0) throw InputError("{}: only root may run a command as another user; leave --user out", what);
  errno = 0;
  const passwd* entry = getpwnam(name.c_str());
  if (entry == nullptr) throw InputError("{}: there is no user {}", what, quote(name));
  CommandUser user{.uid = entry->pw_uid, .gid = entry->pw_gid};
  int count = 0;
  getgrouplist(entry->pw_name, user.gid, nullptr, &count);
  user.groups.resize(static_cast<std::size_t>(std::max(count, 1)));
  count = static_cast<int>(user.groups.size());
  if (getgrouplist(entry->pw_name, user.gid, user.groups.data(), &count) < 0) user.groups = {user.gid};
  user.groups.resize(std::min(user.groups.size(), static_cast<std::size_t>(std::max(count, 1))));
  const std::array own{std::string("HOME=") + entry->pw_dir, std::string("USER=") + entry->pw_name,
                       std::string("LOGNAME=") + entry->pw_name, std::string("SHELL=") + entry->pw_shell};
  user.environment.assign(own.begin(), own.end());
  constexpr std::array roots{"HOME=", "USER=", "LOGNAME=", "SHELL=", "XDG_RUNTIME_DIR=", "MAIL="};
  for (char** each = environ; *each != nullptr; ++each)
    if (std::none_of(roots.begin(), roots.end(),
                     [&](const char* begin) { return std::string_view(*each).starts_with(begin); }))
      user.environment.emplace_back(*each);
  return user;
}

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

HeldCommand::HeldCommand(const std::vector<std::string>& command, const CommandPlace& place) {
  const std::vector<char*> arguments = pointers_to(command);
  static const std::vector<std::string> none;
  const std::vector<char*> environment = pointers_to(place.user ? place.user->environment : none);
  std::array<int, 2> report{-1, -1};
  if (pipe2(gate_.data(), O_CLOEXEC) == 0 && pipe2(report.data(), O_CLOEXEC) == 0) pid_ = fork();
  const int why = errno;
  if (pid_ == 0) {
    close(gate_[1]);
    wait_and_run(arguments, place, environment, gate_[0], report[1]);
  }
  report_ = report[0];
  if (report[1] >= 0) close(report[1]);
  if (pid_ < 0) {
    close_all();
    throw Failure("cannot start {}: {}", command[0], std::strerror(why));
  }
  next_report();
}

// Absent when there is none any more: the command runs, or its process has ended.
std::optional<int> HeldCommand::next_report() const {
  int report = 0;
  ssize_t count;
  while ((count = read(report_, &report, sizeof report)) < 0 && errno == EINTR) {
  }
  return count == sizeof report ? std::optional(report) : std::nullopt;
}

void HeldCommand::close_all() {
  for (int* end : {&gate_[0], &gate_[1], &report_})
    if (*end >= 0) close(std::exchange(*end, -1));
}

bool HeldCommand::release() {
  const char go = 1;
  [[maybe_unused]] const auto written = write(gate_[1], &go, 1);
  const auto why = next_report();
  close_all();
  if (!why) return true;
  exit_code_of(pid_);
  errno = *why;
  return false;
}

HeldCommand::~HeldCommand() {
  if (report_ < 0) return;  // released
  close_all();
  exit_code_of(pid_);
}

pid_t start_command(const std::vector<std::string>& command, const CommandPlace& place) {
  HeldCommand held(command, place);
  return held.release() ? held.pid() : -1;
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

void adopt_orphans() { prctl(PR_SET_CHILD_SUBREAPER, 1); }

std::vector<LeftBehind> left_behind(pid_t command) {
  std::vector<LeftBehind> all;
  for (const std::int64_t child : children_of("/proc", getpid())) {
    const auto text = read_small_file(fmt::format("/proc/{}/stat", child));
    const auto process = text ? parse_process_stat(*text) : std::nullopt;
    if (process && child != command && process->state != 'Z')
      all.push_back({.pid = static_cast<pid_t>(child), .name = process->name});
  }
  return all;
}

WatchEnd watch_left_behind(pid_t command, std::optional<Nanoseconds> deadline) {
  while (!left_behind(command).empty()) {
    if (deadline && monotonic_clock().now() >= *deadline) return WatchEnd::time_passed;
    const siginfo_t signal = next_signal(look_again);
    if (signal.si_signo != 0 && signal.si_signo != SIGCHLD) return WatchEnd::interrupted;
  }
  return WatchEnd::process_ended;
}

int exit_code_of(pid_t child) {
  const int status = wait_for_child(child);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace batchscope
