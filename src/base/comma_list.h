// Lists that users write with commas.
#pragma once

#include <algorithm>
#include <string_view>

namespace batchscope {

// Calls visit(part) with each part; an empty text has one part, an empty one.
template <class Visit>
void for_each_part(std::string_view text, const Visit& visit) {
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    visit(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

}  // namespace batchscope
