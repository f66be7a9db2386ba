// Results to files and standard output (cli/output.h).
#include "cli/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace batchscope::cli {

void check_destination(const std::string& destination, std::string_view flag) {
  if (destination.empty() || destination == "-") return;
  std::error_code error;
  const auto folder = std::filesystem::absolute(destination, error).parent_path();
  if (!std::filesystem::is_directory(folder, error))
    throw InputError("{} {}: there is no folder {}; create it first", flag, destination, folder.string());
  if (std::filesystem::is_directory(destination, error))
    throw InputError("{} {}: it is a folder; name a file", flag, destination);
  // A file is replaced by a rename in its folder; a device is written to as it is.
  const auto status = std::filesystem::status(destination, error);
  const bool is_special = std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
  if (access(is_special ? destination.c_str() : folder.c_str(), W_OK) != 0)
    throw InputError("{} {}: cannot write there: {}; name another place", flag, destination, std::strerror(errno));
}

void check_store_name(const std::string& destination, std::string_view flag) {
  const std::string ending = std::filesystem::path(destination).extension();
  const char* instead = ending == ".json" || ending == ".jsonl" ? "--json"
                        : ending == ".html" || ending == ".htm" ? "--html"
                        : ending == ".csv" || ending == ".svg"  ? "batchscope report and export"
                                                                : nullptr;
  if (instead != nullptr)
    throw InputError("{} {}: it writes a .bscope file, whatever its name; {} is written by {}", flag, destination,
                     ending, instead);
}

void write_output(const std::string& destination, std::string_view content) {
  if (destination == "-")
    print(content);
  else
    write_file_atomically(destination, content);
}

// write() rather than a stream: a failure is known here, where it can still become an exit code.
bool print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EPIPE) return false;
    if (written < 0) throw Failure("cannot write to standard output: {}", std::strerror(errno));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool print_text(std::string_view text) { return print(visible_lines(text, stdout_has_colour())); }

void warn(std::string_view text) { std::fputs(fmt::format("batchscope: {}\n", visible(text)).c_str(), stderr); }

bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

bool stdout_has_colour() {
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
}

}  // namespace batchscope::cli
