// Runs the real program, which stands beside the tests, and says how it ended.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"

namespace batchscope {

inline std::filesystem::path program() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "batchscope";
}

struct Ended {
  int code = -1;  // -1: by a signal
  std::string output, errors;
};

// Starts it with its standard output and errors in those files; `before` runs in the child.
inline pid_t start_program(const std::vector<std::string>& arguments, const std::filesystem::path& output,
                           const std::filesystem::path& errors, const std::function<void()>& before = {}) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  dup2(open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
  dup2(open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_DFL);  // whatever runs the tests
  if (before) before();
  const std::string path = program().string();
  std::vector<char*> words{const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  execv(path.c_str(), words.data());
  _exit(125);
}

inline int wait_for_program(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

inline Ended run_program(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                         const std::function<void()>& before = {}) {
  const auto output = folder / "output.txt", errors = folder / "errors.txt";
  const int code = wait_for_program(start_program(arguments, output, errors, before));
  return {code, read_file(output), read_file(errors)};
}

}  // namespace batchscope
