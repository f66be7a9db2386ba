// A message by which a program writes a phase into a recording (include/batchscope/mark.h sends it).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace batchscope {

struct Mark {
  enum class Kind { point, begin, end, phase };
  Kind kind = Kind::point;
  std::int64_t sequence = 0;     // from 1 in each sender: what is missing was lost
  Nanoseconds begin{0}, end{0};  // on the host's monotonic clock; equal but for a phase
  std::int64_t thread = 0;       // the sender's; 0: unknown
  std::string track{}, id{};     // "": the sender's thread; no id
  std::string name{}, detail{};  // an end with an id needs no name
};

constexpr std::size_t longest_mark = 2048;  // bytes of a message

// Any bytes; absent when they are no mark. Texts are made fit to be shown: broken UTF-8 and control characters escaped.
std::optional<Mark> parse_mark(std::string_view message);

}  // namespace batchscope
