// Server-sent events out of bytes as they come, in any pieces (HTML Living Standard, 9.2.6): the data of each event.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace batchscope::http {

class EventStreamReader {
 public:
  // Is given an event's data: its `data` lines, with "\n" between them.
  using Event = std::function<void(std::string_view data)>;
  // Of an event and of a line, at most.
  explicit EventStreamReader(std::size_t longest = std::size_t{8} << 20) : longest_(longest) {}

  // Returns false when an event is too long: the stream cannot go on.
  bool take(std::string_view bytes, const Event& event);
  // The stream has ended. An event without the empty line that ends it counts, as servers leave that out at the end;
  // a line without its end does not.
  void end(const Event& event);
  // Lines that are no field of an event stream: the standard ignores them, and no server means them.
  std::size_t unknown_lines() const { return unknown_lines_; }
  // The stream has ended within a line.
  bool is_within_line() const { return !line_.empty(); }

 private:
  void take_line(const Event& event);

  std::size_t longest_;
  std::string line_{}, data_{};
  std::size_t unknown_lines_ = 0;
  bool has_data_ = false, after_return_ = false, has_begun_ = false;
};

}  // namespace batchscope::http
