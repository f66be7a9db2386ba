// Lines over pipes between a study and its workers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace batchscope {

// Writes all of it and a '\n'; false when the reader is gone.
bool write_line(int fd, std::string_view line);

// Cuts what a descriptor delivers into lines.
class LineReader {
 public:
  explicit LineReader(int fd) : fd_(fd) {}
  // Reads once, as much as is there (blocks when nothing is); false at the end of the stream.
  bool read_more();
  std::optional<std::string> take_line();  // without its '\n'; absent when none is complete
  std::optional<std::string> next_line();  // reads until there is one; absent at the end of the stream

 private:
  int fd_;
  std::string buffer_;
  std::size_t searched_ = 0;  // no '\n' before here
};

}  // namespace batchscope
