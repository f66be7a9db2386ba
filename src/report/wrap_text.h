// Text that fits 80 columns.
#pragma once

#include <algorithm>
#include <string>

#include "base/json.h"

namespace batchscope {

// Breaks at blanks: the first line begins with `first`, the others with `others`. Ends with a line end. What a terminal
// would obey in the text is made visible.
inline std::string wrap_text(const std::string& raw, const std::string& first, const std::string& others) {
  constexpr std::size_t columns = 80;
  const std::string text = visible(raw);
  std::string out, line = first;
  bool empty = true;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find(' ', at), text.size());
    if (!empty && line.size() + 1 + end - at > columns) {
      out += line + "\n";
      line = others;
      empty = true;
    }
    line += (empty ? "" : " ") + text.substr(at, end - at);
    empty = false;
    at = end + 1;
  }
  return out + line + "\n";
}

}  // namespace batchscope
