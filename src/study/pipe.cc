// Writes and reads lines over pipes.
#include "study/pipe.h"

#include <unistd.h>

#include <cerrno>

namespace batchscope {

bool write_line(int fd, std::string_view line) {
  const std::string whole = std::string(line) + "\n";
  for (std::string_view rest = whole; !rest.empty();) {
    const ssize_t written = write(fd, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool LineReader::read_more() {
  char bytes[1 << 16];
  ssize_t got = 0;
  do got = read(fd_, bytes, sizeof bytes);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return false;
  buffer_.append(bytes, static_cast<std::size_t>(got));
  return true;
}

std::optional<std::string> LineReader::take_line() {
  const auto end = buffer_.find('\n', searched_);
  if (end == std::string::npos) {
    searched_ = buffer_.size();
    return std::nullopt;
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  searched_ = 0;
  return line;
}

std::optional<std::string> LineReader::next_line() {
  while (true) {
    if (auto line = take_line()) return line;
    if (!read_more()) return std::nullopt;
  }
}

}  // namespace batchscope
