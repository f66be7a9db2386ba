// Runs a command beside a recording: its signals, its end and its exit code.
#pragma once

#include <sys/types.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace batchscope {

// Keeps the signals that end programs for watch(); to be made before any thread and before the command is started.
class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
};

// Whom a command runs as, where that is not who runs this program.
struct CommandUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups{};
  std::vector<std::string> environment{};  // this process's, with the user's own name, home and shell: "HOME=/home/a"
};
// By name; InputError that names `what` when there is none, or this program does not run as root.
CommandUser command_user(const std::string& name, std::string_view what);

struct CommandPlace {
  std::filesystem::path output{};  // for its standard output and errors, its input is empty; "": as ours are
  bool own_group = false;          // the terminal's signals do not reach it; kill(-pid) reaches all of it
  std::optional<CommandUser> user{};
};
// A command's process before the command: it can be observed already, and waits to be released. Its signals are
// as they were when this program started. Its name is `held_name` until it is the command's.
constexpr const char* held_name = "batchscope-held";
class HeldCommand {
 public:
  // Failure when there can be no process.
  explicit HeldCommand(const std::vector<std::string>& command, const CommandPlace& place = {});
  ~HeldCommand();  // the command never runs when it was not released
  HeldCommand(const HeldCommand&) = delete;
  HeldCommand& operator=(const HeldCommand&) = delete;

  pid_t pid() const { return pid_; }
  // The command begins; false when it cannot be started: errno says why, and the process is gone.
  bool release();

 private:
  std::optional<int> next_report() const;
  void close_all();

  pid_t pid_ = -1;
  std::array<int, 2> gate_{-1, -1};  // a pipe: what is written there releases it, its end means that it never will be
  int report_ = -1;  // what the process says: that it is held (0), then why the command cannot begin; its end: it began
};
// One that need not wait; -1 when it cannot be started, errno says why.
pid_t start_command(const std::vector<std::string>& command, const CommandPlace& place = {});

enum class WatchEnd { process_ended, time_passed, interrupted };
// Waits until the process ends (a child, not yet waited for; or any other), the deadline passes, or this program is
// asked to stop. With a child, signals go on to it and it decides; without, they end the wait.
WatchEnd watch(std::optional<pid_t> process, bool is_child, std::optional<Nanoseconds> deadline);

// From here on descendants whose parents have ended become children of this process.
void adopt_orphans();
struct LeftBehind {
  pid_t pid = 0;
  std::string name{};
};
// Those that run: all children of this process but the command.
std::vector<LeftBehind> left_behind(pid_t command);
// Waits until there are none, the deadline passes, or this program is asked to stop.
WatchEnd watch_left_behind(pid_t command, std::optional<Nanoseconds> deadline);

// Waits for the child; its exit code, or 128 + the signal that ended it, as shells have it.
int exit_code_of(pid_t child);

}  // namespace batchscope
