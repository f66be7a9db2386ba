// Lines to fields to events (http/event_stream.h).
#include "http/event_stream.h"

#include <algorithm>

namespace batchscope::http {

bool EventStreamReader::take(std::string_view bytes, const Event& event) {
  while (!bytes.empty()) {
    if (after_return_ && bytes.front() == '\n') bytes.remove_prefix(1);  // "\r\n" is one end of a line
    after_return_ = false;
    const std::size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    if (line_.size() + end > longest_) return false;
    line_ += bytes.substr(0, end);
    if (end == bytes.size()) return true;
    after_return_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    take_line(event);
    if (data_.size() > longest_) return false;
  }
  return true;
}

void EventStreamReader::take_line(const Event& event) {
  std::string_view line = line_;
  if (!has_begun_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  has_begun_ = true;
  if (line.empty()) {
    if (has_data_) event(data_);
    data_.clear();
    has_data_ = false;
  } else if (!line.starts_with(':')) {
    const std::size_t colon = std::min(line.find(':'), line.size());
    const std::string_view field = line.substr(0, colon);
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (field == "data") {
      if (has_data_) data_ += '\n';
      data_ += value;
      has_data_ = true;
    } else if (field != "event" && field != "id" && field != "retry") {
      ++unknown_lines_;
    }
  }
  line_.clear();
}

void EventStreamReader::end(const Event& event) {
  if (has_data_) event(data_);
  has_data_ = false;
}

}  // namespace batchscope::http
