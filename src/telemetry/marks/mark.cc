// The parser of marks (telemetry/marks/mark.h).
#include "telemetry/marks/mark.h"

#include <array>
#include <charconv>
#include <limits>

#include "base/json.h"

namespace batchscope {
namespace {

constexpr std::int64_t most_marks = 1'000'000'000'000;  // of one sender
constexpr std::size_t fields = 9;                       // kind, sequence, begin, end, thread, track, id, name, detail

std::optional<std::array<std::string_view, fields>> split(std::string_view message) {
  std::array<std::string_view, fields> out;
  for (std::size_t i = 0; i < fields; ++i) {
    const std::size_t tab = message.find('\t');
    if ((tab == std::string_view::npos) != (i + 1 == fields)) return std::nullopt;
    out[i] = message.substr(0, tab);
    if (tab != std::string_view::npos) message.remove_prefix(tab + 1);
  }
  return out;
}

std::optional<Mark::Kind> parse_kind(std::string_view word) {
  if (word == "point") return Mark::Kind::point;
  if (word == "begin") return Mark::Kind::begin;
  if (word == "end") return Mark::Kind::end;
  if (word == "phase") return Mark::Kind::phase;
  return std::nullopt;
}

// `high` leaves room to add and subtract.
std::optional<std::int64_t> parse_number(std::string_view word, std::int64_t low,
                                         std::int64_t high = std::numeric_limits<std::int64_t>::max() / 2) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  if (value < low || value > high) return std::nullopt;
  return value;
}

}  // namespace

std::optional<Mark> parse_mark(std::string_view message) {
  if (message.size() > longest_mark) return std::nullopt;
  const auto words = split(message);
  if (!words) return std::nullopt;
  const auto kind = parse_kind((*words)[0]);
  const auto sequence = parse_number((*words)[1], 1, most_marks), begin = parse_number((*words)[2], 0),
             end = parse_number((*words)[3], 0), thread = parse_number((*words)[4], 0);
  if (!kind || !sequence || !begin || !end || !thread) return std::nullopt;
  Mark mark{.kind = *kind,
            .sequence = *sequence,
            .begin = Nanoseconds(*begin),
            .end = Nanoseconds(*kind == Mark::Kind::phase ? *end : *begin),
            .thread = *thread,
            .track = visible((*words)[5]),
            .id = visible((*words)[6]),
            .name = visible((*words)[7]),
            .detail = visible((*words)[8])};
  if (mark.end < mark.begin) return std::nullopt;
  if (mark.name.empty() && (mark.kind != Mark::Kind::end || mark.id.empty())) return std::nullopt;
  return mark;
}

}  // namespace batchscope
