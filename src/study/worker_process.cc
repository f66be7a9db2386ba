// Starts the worker of a study, asks it for cells, and replaces it when it dies.
#include "study/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/child_process.h"
#include "base/error.h"
#include "base/json.h"
#include "base/procfs.h"
#include "base/units.h"
#include "study/environment.h"
#include "study/pipe.h"

namespace batchscope {
namespace {

constexpr std::size_t kept_errors = 4096;  // bytes of standard error
constexpr Nanoseconds poll_interval = std::chrono::milliseconds(50);
// Of a launcher: to end when asked to, and when all that it started has ended.
constexpr Nanoseconds longest_end = std::chrono::seconds(2), longest_hang = std::chrono::seconds(2);

std::string signal_text(int number) {
  const char* name = sigabbrev_np(number);
  const char* description = sigdescr_np(number);
  std::string text = fmt::format("SIG{} ({})", name ? name : "?", description ? description : "unknown");
  if (number == SIGKILL) text += ", often the kernel when the memory of the host or container is used up";
  return text;
}

// Whether a process had children and all are dead: a launcher that hangs while it ends itself, as mpirun may after a
// kill.
bool has_dead_children_only(pid_t pid) {
  const auto children = read_small_file(fmt::format("/proc/{0}/task/{0}/children", pid));
  const auto pids = parse_children(children.value_or(""));
  return !pids.empty() && std::none_of(pids.begin(), pids.end(), [](std::int64_t child) {
    const auto stat = read_small_file(fmt::format("/proc/{}/stat", child));
    const auto process = stat ? parse_process_stat(*stat) : std::nullopt;
    return process && process->state != 'Z' && process->state != 'X';
  });
}

CellResult failure_result(CellStatus status, const std::string& reason) {
  CellResult result;
  result.status = status;
  result.reason = reason;
  result.environment = environment_json();
  return result;
}

}  // namespace

struct WorkerProcess::Pipes {
  Pipe commands{"a worker"}, answers{"a worker"}, errors{"a worker"};
  std::optional<LineReader> lines;
};

WorkerMain this_program_as_worker() {
  return [](int in, int out) {
    // The worker finds its pipes as standard input and output; it moves them away before anything can print there.
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0) return 125;
    char name[] = "batchscope", verb[] = "worker";
    char* const arguments[] = {name, verb, nullptr};
    execv("/proc/self/exe", arguments);
    return 125;
  };
}

Launcher::Launcher(const std::string& text) {
  std::istringstream words(text);
  for (std::string word; words >> word;) words_.push_back(word);
  if (words_.empty()) throw InputError("--launcher: it is empty; give for example \"mpirun -n {{ranks}}\"");
  const std::string& program = words_.front();
  const char* path = std::getenv("PATH");
  std::istringstream folders(program.find('/') != std::string::npos ? "" : path != nullptr ? path : "");
  bool found = access(program.c_str(), X_OK) == 0 && program.find('/') != std::string::npos;
  for (std::string folder; !found && std::getline(folders, folder, ':');)
    found = access((folder + "/" + program).c_str(), X_OK) == 0;
  if (!found) throw InputError("--launcher {}: there is no such program; is MPI installed here?", program);
}

WorkerMain Launcher::worker(std::int64_t ranks) const {
  std::vector<std::string> words = words_;
  for (std::string& word : words)
    for (auto at = word.find("{ranks}"); at != std::string::npos; at = word.find("{ranks}"))
      word.replace(at, std::string_view("{ranks}").size(), std::to_string(ranks));
  words.push_back(std::filesystem::read_symlink("/proc/self/exe").string());
  words.emplace_back("worker");
  return [words](int in, int out) {
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0) return 125;
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments.front(), arguments.data());
    return 125;
  };
}

WorkerProcess::WorkerProcess(const WorkerMain& main, End end) : pipes_(std::make_unique<Pipes>()), end_(end) {
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) throw Failure("cannot start a worker process: {}", std::strerror(errno));
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, end_ == End::kill ? SIGKILL : SIGTERM);  // a killed study leaves no orphan …
    if (getppid() != parent) _exit(125);                             // … not even when it died before that line
    signal(SIGPIPE, SIG_DFL);
    Pipe::close_one(pipes_->commands.write_end);  // else the worker would never see its input end
    dup2(pipes_->errors.write_end, STDERR_FILENO);
    _exit(main(pipes_->commands.read_end, pipes_->answers.write_end));
  }
  Pipe::close_one(pipes_->commands.read_end);
  Pipe::close_one(pipes_->answers.write_end);
  Pipe::close_one(pipes_->errors.write_end);
  fcntl(pipes_->errors.read_end, F_SETFL, O_NONBLOCK);
  pipes_->lines.emplace(pipes_->answers.read_end);
}

WorkerProcess::~WorkerProcess() {
  if (alive()) end();
}

void WorkerProcess::end() {
  if (end_ == End::terminate) {
    kill(pid_, SIGTERM);
    ends_by(pid_, monotonic_clock().now() + longest_end, poll_interval);
  }
  kill(pid_, SIGKILL);
  reap();
}

int WorkerProcess::reap() { return wait_for_child(std::exchange(pid_, -1)); }

// The last line that it wrote to standard error, for its result's reason.
std::string WorkerProcess::last_words() {
  char bytes[kept_errors];
  ssize_t got = 0;
  while ((got = read(pipes_->errors.read_end, bytes, sizeof bytes)) > 0) {
    errors_.append(bytes, static_cast<std::size_t>(got));
    if (errors_.size() > kept_errors) errors_.erase(0, errors_.size() - kept_errors);
  }
  // A launcher has words of its own behind them, between rules.
  std::string last, ours;
  std::istringstream lines(errors_);
  for (std::string line; std::getline(lines, line, '\n');) {
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.pop_back();
    if (line.find_first_not_of('-') == std::string::npos) continue;
    if (line.starts_with("batchscope: ")) ours = line;
    last = line;
  }
  return end_ == End::terminate && !ours.empty() ? ours : last;
}

CellRecords WorkerProcess::gone(CellStatus status, const std::string& reason) {
  const std::string words = last_words();
  return to_records(
      failure_result(status, words.empty() ? reason : fmt::format("{}; its last message: {}", reason, words)));
}

CellRecords WorkerProcess::died() {
  const int status = reap();
  if (WIFEXITED(status) && WEXITSTATUS(status) == static_cast<int>(ExitCode::interrupted)) throw Interrupted();
  if (WIFSIGNALED(status)) return gone(CellStatus::failed, "the worker was killed by " + signal_text(WTERMSIG(status)));
  return gone(CellStatus::failed, fmt::format("the worker ended with code {} before its result", WEXITSTATUS(status)));
}

CellRecords WorkerProcess::run(const CellSpec& spec, Nanoseconds time_out, const std::atomic<bool>& stop,
                               const SentinelReference* reference, const std::function<void()>& on_warm) {
  errors_.clear();
  nlohmann::json command = {{"run", to_json(spec)}};
  if (reference != nullptr) command["reference"] = to_json(*reference);
  Nanoseconds deadline = monotonic_clock().now() + time_out, alive_at = monotonic_clock().now();
  if (!write_line(pipes_->commands.write_end, command.dump())) return died();
  while (true) {
    while (const auto line = pipes_->lines->take_line()) {
      const nlohmann::json answer = parse_json(*line, "worker's answer");
      if (answer.contains("done")) return cell_records_from_json(answer.at("done"));
      if (answer.contains("loaded")) deadline = monotonic_clock().now() + time_out;
      if (answer.contains("warm") && on_warm) on_warm();
    }
    if (stop) throw Interrupted();
    const Nanoseconds left = deadline - monotonic_clock().now();
    if (left <= Nanoseconds(0)) {
      end();
      return gone(CellStatus::timed_out, fmt::format("it took longer than the time-out of {}; the worker was killed",
                                                     format_duration(time_out)));
    }
    if (end_ != End::terminate || !has_dead_children_only(pid_)) alive_at = monotonic_clock().now();
    if (monotonic_clock().now() - alive_at > longest_hang) {
      end();
      return gone(CellStatus::failed, "the worker's processes have died");
    }
    pollfd waiting[] = {{pipes_->answers.read_end, POLLIN, 0}, {pipes_->errors.read_end, POLLIN, 0}};
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(std::min(left, poll_interval));
    if (poll(waiting, 2, static_cast<int>(wait.count())) <= 0) continue;  // time, or a signal
    if ((waiting[1].revents & POLLIN) != 0) last_words();                 // so that the pipe never fills
    if (waiting[0].revents != 0 && !pipes_->lines->read_more()) {
      if (stop) throw Interrupted();
      return died();
    }
  }
}

}  // namespace batchscope
