// Starting, asking and ending an engine's process (engine/command/engine_process.h).
#include "engine/command/engine_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/child_process.h"
#include "base/error.h"
#include "base/json.h"
#include "base/process_start.h"
#include "base/units.h"

namespace batchscope {
namespace {

constexpr std::size_t kept_errors = 16384, shown_errors = 600;  // bytes of standard error
constexpr Nanoseconds look_again = std::chrono::milliseconds(10);

// The child's part; of a process with threads only this one is in it: no more than async-signal-safe calls.
[[noreturn]] void become_engine(char* const* arguments, int in, int out, int errors, int report, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ, SIGCHLD})
    signal(number, ignored_at_start(number) ? SIG_IGN : SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (getppid() == parent && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
      dup2(errors, STDERR_FILENO) >= 0)
    execvp(arguments[0], arguments);
  const int why = errno;
  [[maybe_unused]] const auto written = write(report, &why, sizeof why);
  _exit(127);
}

// A process that waits for this one's end, by its end of a pipe: it kills the engine's group, unless told that it need
// not. An engine's own children would outlive a parent that is killed.
[[noreturn]] void guard(pid_t group, int lifeline) {
  setpgid(0, 0);
  prctl(PR_SET_NAME, "batchscope-guard");
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) signal(number, SIG_IGN);
  if (lifeline != 0) dup2(lifeline, 0);
  close_range(1, ~0U, 0);  // or it would keep others' pipes open
  char told = 0;
  ssize_t count = 0;
  while ((count = read(0, &told, 1)) < 0 && errno == EINTR) {
  }
  if (count != 1) kill(-group, SIGKILL);
  _exit(0);
}

std::string signal_text(int number) {
  const char* name = sigabbrev_np(number);
  return fmt::format("SIG{}{}", name ? name : "?",
                     number == SIGKILL ? ", often the kernel when the host's memory is used up" : "");
}

}  // namespace

EngineProcess::EngineProcess(std::vector<std::string> command, const EngineLimits& limits)
    : limits_(limits), name_(command.at(0)) {
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  constexpr const char* engine = "an engine";
  Pipe in(engine), out(engine), errors(engine), report(engine), lifeline(engine);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0)
    become_engine(arguments.data(), in.read_end, out.write_end, errors.write_end, report.write_end, parent);
  if (pid_ < 0) throw Failure("cannot start {}: {}", name_, std::strerror(errno));
  setpgid(pid_, pid_);  // the child may not have come that far
  guard_ = fork();
  if (guard_ == 0) guard(pid_, lifeline.read_end);
  Pipe::close_one(report.write_end);
  int why = 0;
  if (read(report.read_end, &why, sizeof why) == sizeof why) {
    lifeline_ = Pipe::take(lifeline.write_end);
    end();
    throw InputError("--engine command: cannot start {}: {}", quote(name_), std::strerror(why));
  }
  input_ = Pipe::take(in.write_end);
  output_ = Pipe::take(out.read_end);
  errors_ = Pipe::take(errors.read_end);
  lifeline_ = Pipe::take(lifeline.write_end);
  for (const int end : {input_, output_, errors_}) fcntl(end, F_SETFL, O_NONBLOCK);
}

EngineProcess::~EngineProcess() { end(); }

void EngineProcess::end() {
  if (pid_ > 0) {
    if (input_ >= 0) {  // its loop over standard input ends, and it may put away what it has
      close(std::exchange(input_, -1));
      ends_by(pid_, monotonic_clock().now() + limits_.end, look_again);
    }
    reap();
  }
  for (int* fd : {&output_, &errors_})
    if (*fd >= 0) close(std::exchange(*fd, -1));
}

std::string EngineProcess::reap() {
  // Not waited for yet: while it is there the group's number is nobody else's.
  const bool by_itself = has_ended(pid_);
  kill(-pid_, SIGKILL);
  const int status = wait_for_child(std::exchange(pid_, -1));
  if (lifeline_ >= 0) {
    [[maybe_unused]] const auto told = write(lifeline_, "", 1);
    close(std::exchange(lifeline_, -1));
  }
  if (guard_ > 0) wait_for_child(std::exchange(guard_, -1));
  if (!by_itself) return "it was ended";
  if (WIFSIGNALED(status)) return "it was killed by " + signal_text(WTERMSIG(status));
  return fmt::format("it ended with code {}", WEXITSTATUS(status));
}

void EngineProcess::read_errors() {
  char bytes[4096];
  ssize_t got = 0;
  while ((got = read(errors_, bytes, sizeof bytes)) > 0) {
    error_text_.append(bytes, static_cast<std::size_t>(got));
    if (error_text_.size() > 2 * kept_errors) error_text_.erase(0, error_text_.size() - kept_errors);
  }
}

// The last lines of standard error, as many as have room in a message.
std::string EngineProcess::last_words() {
  if (errors_ >= 0) read_errors();
  std::string words;
  std::size_t end = error_text_.size();
  for (int lines = 0; lines < 3 && end > 0; ++lines) {
    while (end > 0 && std::strchr("\n\r ", error_text_[end - 1]) != nullptr) --end;
    const std::size_t begin = end == 0 ? 0 : error_text_.find_last_of("\n\r", end - 1) + 1;
    const std::string line = error_text_.substr(begin, end - begin);
    if (line.empty() || words.size() + line.size() > shown_errors) {
      if (words.empty()) words = line.substr(0, shown_errors);
      break;
    }
    words = words.empty() ? line : line + " | " + words;
    end = begin;
  }
  return words;
}

void EngineProcess::fail(const std::string& what) {
  end();
  const std::string words = last_words();
  throw Failure("the engine {}: {}{}", name_, what, words.empty() ? "" : "; its last words: " + words);
}

// False at the end of the stream.
bool EngineProcess::read_output() {
  char bytes[1 << 16];
  const ssize_t got = read(output_, bytes, sizeof bytes);
  if (got > 0) read_.append(bytes, static_cast<std::size_t>(got));
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

// Takes whole lines out of what was read, until one is an answer.
bool EngineProcess::take_answer(std::string& answer, std::string_view doing) {
  while (true) {
    const std::size_t newline = read_.find('\n', searched_);
    if (newline == std::string::npos) {
      searched_ = read_.size();
      if (read_.size() > limits_.line_bytes)
        fail(fmt::format("while {}, it wrote a line of more than {} bytes", doing, limits_.line_bytes));
      return false;
    }
    std::string line = read_.substr(0, newline);
    read_.erase(0, newline + 1);
    searched_ = 0;
    if (line.size() > limits_.line_bytes)
      fail(fmt::format("while {}, it wrote a line of more than {} bytes", doing, limits_.line_bytes));
    if (line.starts_with('{')) {
      answer = std::move(line);
      return true;
    }
    noise_seen_ += line.size() + 1;
    if (noise_.empty()) noise_ = line.substr(0, 200);
    if (noise_seen_ > limits_.noise_bytes)
      fail(fmt::format("while {}, it wrote more than {} bytes to standard output that are no answers, beginning with {}",
                       doing, limits_.noise_bytes, quote(noise_)));
  }
}

std::string EngineProcess::exchange(const std::string& text, std::string_view doing, Nanoseconds silence) {
  if (pid_ < 0) throw Failure("the engine {}: it has ended before", name_);
  std::size_t written = 0;
  std::string answer;
  Nanoseconds heard = monotonic_clock().now();
  while (!take_answer(answer, doing)) {
    const Nanoseconds left = heard + silence - monotonic_clock().now();
    if (left <= Nanoseconds(0)) {
      const std::string time = format_duration(silence);
      kill(-pid_, SIGKILL);  // it need not be waited for
      fail(fmt::format("while {}, nothing was heard of it for {}; it was ended (lines {{\"progress\": …}} are signs of "
                       "life)",
                       doing, time));
    }
    std::array<pollfd, 3> waiting{pollfd{output_, POLLIN, 0}, pollfd{errors_, POLLIN, 0},
                                  pollfd{written < text.size() ? input_ : -1, POLLOUT, 0}};
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(std::min<Nanoseconds>(left, std::chrono::seconds(1)));
    if (poll(waiting.data(), waiting.size(), static_cast<int>(wait.count())) <= 0) continue;
    if (waiting[1].revents != 0) {
      const std::size_t before = error_text_.size();
      read_errors();
      if (error_text_.size() != before) heard = monotonic_clock().now();
    }
    if (waiting[2].revents != 0) {
      const ssize_t count = write(input_, text.data() + written, text.size() - written);
      if (count > 0) written += static_cast<std::size_t>(count);
      if (count < 0 && errno != EAGAIN && errno != EINTR) written = text.size();  // its end shows at its output
    }
    if (waiting[0].revents == 0) continue;
    if (!read_output()) {
      // The output is closed a moment before the process has ended.
      ends_by(pid_, monotonic_clock().now() + limits_.end, look_again);
      const std::string how = reap();
      fail(fmt::format("{} while {}, without an answer", how, doing));
    }
    heard = monotonic_clock().now();
  }
  return answer;
}

}  // namespace batchscope
