// Results to files and standard output (cli/output.h).
#include "cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace batchscope::cli {

void write_output(const std::string& destination, std::string_view content) {
  if (destination == "-")
    print(content);
  else
    write_file_atomically(destination, content);
}

// write() rather than a stream: a failure is known here, where it can still become an exit code.
void print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EPIPE) return;
    if (written < 0) throw Failure("cannot write to standard output: {}", std::strerror(errno));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void warn(std::string_view text) {
  std::fprintf(stderr, "batchscope: %.*s\n", static_cast<int>(text.size()), text.data());
}

bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

bool stdout_has_colour() {
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
}

}  // namespace batchscope::cli
