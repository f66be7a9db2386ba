// Errors as users meet them: each kind has an exit code, each message is one line that says what, where and what to do.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace batchscope {

// The program's exit codes; scripts depend on them.
enum class ExitCode : int {
  ok = 0,
  answer_is_no = 1,
  bad_input = 2,
  out_of_memory = 3,
  failed = 4,
  timed_out = 5,
  cannot_start = 125,  // the command that a verb was to run; as env and timeout have it
  interrupted = 130,
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// The user's input or usage is at fault: exit code 2.
class InputError : public Error {
 public:
  template <class... Args>
  explicit InputError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::bad_input, fmt::format(format, std::forward<Args>(args)...)) {}
};

// Something failed underway that is not the input's fault: exit code 4.
class Failure : public Error {
 public:
  template <class... Args>
  explicit Failure(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::failed, fmt::format(format, std::forward<Args>(args)...)) {}
};

// A device's memory is too small for what was asked of it: exit code 3.
class OutOfMemory : public Error {
 public:
  OutOfMemory(const std::string& device, const std::string& what, std::int64_t requested_bytes, std::int64_t used_bytes,
              std::int64_t capacity_bytes)
      : Error(ExitCode::out_of_memory,
              fmt::format("{} is out of memory: {} needs {} bytes, {} of {} are in use; use a smaller batch, more "
                          "devices or more --device-memory",
                          device, what, requested_bytes, used_bytes, capacity_bytes)) {}
  explicit OutOfMemory(const std::string& message) : Error(ExitCode::out_of_memory, message) {}
};

class TimedOut : public Error {
 public:
  explicit TimedOut(const std::string& message) : Error(ExitCode::timed_out, message) {}
};

// Thrown in ranks that waited for another one which failed; that one's error is the cause.
class PeerFailed : public Failure {
 public:
  PeerFailed() : Failure("another rank failed") {}
};

// The user asked to stop (Ctrl-C, SIGTERM): exit code 130.
class Interrupted : public Error {
 public:
  explicit Interrupted(const std::string& message = "interrupted") : Error(ExitCode::interrupted, message) {}
};

}  // namespace batchscope
