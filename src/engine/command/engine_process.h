// A program that is an engine: a child process that is asked in lines on its standard input and answers in lines on its
// standard output. It has a process group of its own, which ends with it, with this object, and with this process,
// however that ends.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace batchscope {

struct EngineLimits {
  Nanoseconds start = std::chrono::minutes(2);     // until the first answer
  Nanoseconds silence = std::chrono::minutes(10);  // without a byte from it while it is asked something
  Nanoseconds end = std::chrono::seconds(2);       // to end by itself once its input has ended
  std::size_t line_bytes = std::size_t{64} << 20;  // of one answer
  std::size_t noise_bytes = std::size_t{1} << 20;  // of lines on standard output that are no answers
};

class EngineProcess {
 public:
  // InputError where the program cannot be started.
  EngineProcess(std::vector<std::string> command, const EngineLimits& limits);
  ~EngineProcess();
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  pid_t pid() const { return pid_; }
  // Sends the line and returns the next line that begins with '{'; other lines are noise, which libraries print.
  // `doing` names in errors what was asked: "loading". Failure when it ends, goes silent, or exceeds a limit; it is
  // ended then.
  std::string ask(const std::string& line, std::string_view doing, Nanoseconds silence) {
    return exchange(line + "\n", doing, silence);
  }
  std::string next_answer(std::string_view doing, Nanoseconds silence) { return exchange("", doing, silence); }
  // The first line of noise; "" where there was none.
  const std::string& noise() const { return noise_; }
  // A failure of the engine, with its last words on standard error.
  [[noreturn]] void fail(const std::string& what);

 private:
  std::string exchange(const std::string& text, std::string_view doing, Nanoseconds silence);
  bool take_answer(std::string& answer, std::string_view doing);
  bool read_output();
  void read_errors();
  std::string last_words();
  void end();
  std::string reap();  // how it ended

  EngineLimits limits_;
  std::string name_;  // of the program
  pid_t pid_ = -1, guard_ = -1;
  int input_ = -1, output_ = -1, errors_ = -1, lifeline_ = -1;
  std::string read_, error_text_, noise_;
  std::size_t searched_ = 0, noise_seen_ = 0;
};

}  // namespace batchscope
