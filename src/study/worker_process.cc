// A worker as a child process (study/worker_process.h).
#include "study/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "study/environment.h"
#include "study/pipe.h"

namespace batchscope {
namespace {

constexpr std::size_t kept_errors = 4096;  // bytes of standard error
constexpr Nanoseconds poll_interval = std::chrono::milliseconds(50);

// Both ends of a pipe, closed in every program that is executed.
struct Pipe {
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw Failure("cannot make a pipe to a worker: {}", std::strerror(errno));
    read_end = ends[0];
    write_end = ends[1];
  }
  ~Pipe() {
    close_one(read_end);
    close_one(write_end);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  static void close_one(int& fd) {
    if (fd >= 0) close(fd);
    fd = -1;
  }
  int read_end = -1, write_end = -1;
};

std::string signal_text(int number) {
  const char* name = sigabbrev_np(number);
  const char* description = sigdescr_np(number);
  std::string text = fmt::format("SIG{} ({})", name ? name : "?", description ? description : "unknown");
  if (number == SIGKILL) text += ", often the kernel when the host's memory is used up";
  return text;
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
  Pipe commands, answers, errors;
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

WorkerProcess::WorkerProcess(const WorkerMain& main) : pipes_(std::make_unique<Pipes>()) {
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) throw Failure("cannot start a worker process: {}", std::strerror(errno));
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);     // a killed study leaves no orphan …
    if (getppid() != parent) _exit(125);  // … not even when it died before that line
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
  if (alive()) reap(true);
}

int WorkerProcess::reap(bool kill_it) {
  if (kill_it) kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

// The last line that it wrote to standard error, for its result's reason.
std::string WorkerProcess::last_words() {
  char bytes[kept_errors];
  ssize_t got = 0;
  while ((got = read(pipes_->errors.read_end, bytes, sizeof bytes)) > 0) {
    errors_.append(bytes, static_cast<std::size_t>(got));
    if (errors_.size() > kept_errors) errors_.erase(0, errors_.size() - kept_errors);
  }
  const auto end = errors_.find_last_not_of(" \r\n");
  if (end == std::string::npos) return "";
  const auto before = errors_.find_last_of("\r\n", end);
  return errors_.substr(before == std::string::npos ? 0 : before + 1, end - (before == std::string::npos ? 0 : before));
}

CellRecords WorkerProcess::gone(CellStatus status, const std::string& reason) {
  const std::string words = last_words();
  return to_records(
      failure_result(status, words.empty() ? reason : fmt::format("{}; its last words: {}", reason, words)));
}

CellRecords WorkerProcess::died() {
  const int status = reap(false);
  if (WIFEXITED(status) && WEXITSTATUS(status) == static_cast<int>(ExitCode::interrupted)) throw Interrupted();
  if (WIFSIGNALED(status)) return gone(CellStatus::failed, "the worker was killed by " + signal_text(WTERMSIG(status)));
  return gone(CellStatus::failed, fmt::format("the worker ended with code {} before its result", WEXITSTATUS(status)));
}

CellRecords WorkerProcess::run(const CellSpec& spec, Nanoseconds time_out, const std::atomic<bool>& stop) {
  errors_.clear();
  Nanoseconds deadline = monotonic_clock().now() + time_out;
  if (!write_line(pipes_->commands.write_end, nlohmann::json({{"run", to_json(spec)}}).dump())) return died();
  while (true) {
    while (const auto line = pipes_->lines->take_line()) {
      const nlohmann::json answer = parse_json(*line, "worker's answer");
      if (answer.contains("done")) return cell_records_from_json(answer.at("done"));
      deadline = monotonic_clock().now() + time_out;  // "loaded"
    }
    if (stop) throw Interrupted();
    const Nanoseconds left = deadline - monotonic_clock().now();
    if (left <= Nanoseconds(0)) {
      reap(true);
      return gone(CellStatus::timed_out, fmt::format("it took longer than the time-out of {}; the worker was killed",
                                                     format_duration(time_out)));
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
