// Quantities as people write them: "64MiB", "12GB/s", "5us", "1/6s"; and back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace batchscope {

// All parsers but the first throw InputError that names `what` (a flag or key) and shows what is accepted.

// "0.8": a finite number without an exponent; else nothing.
std::optional<double> parse_number(std::string_view text);
// "512", "64MiB", "1.5GB", "2GiB": bytes > 0; KB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024.
std::int64_t parse_bytes(std::string_view text, std::string_view what);
// "12GB/s", "800MiB/s": bytes per second, > 0.
double parse_bandwidth(std::string_view text, std::string_view what);
// "3%", "0.03", "250%": a share, > 0; more than 1 of what there may be several of.
double parse_share(std::string_view text, std::string_view what);
// "5us", "200ms", "1/6s", "2min", "1h": >= 0.
Nanoseconds parse_duration(std::string_view text, std::string_view what);
// "17": a whole number within [low, high].
std::int64_t parse_integer(std::string_view text, std::int64_t low, std::int64_t high, std::string_view what);
// "0.7", "1e-3": a number within [low, high].
double parse_number(std::string_view text, double low, double high, std::string_view what);

// "64.0 MiB", "512 B": at most three digits before the point.
std::string format_bytes(double bytes);
// "1.23 s", "45.6 ms", "2 min 05 s".
std::string format_duration(Nanoseconds time);
// 1234567 -> "1 234 567".
std::string format_count(std::int64_t count);

// The candidate nearest to `word` by edit distance, or "" if none is near; for "did you mean".
template <class Candidates>
std::string nearest(std::string_view word, const Candidates& candidates);

std::size_t edit_distance(std::string_view a, std::string_view b);

template <class Candidates>
std::string nearest(std::string_view word, const Candidates& candidates) {
  std::string best;
  std::size_t best_distance = word.size() / 2 + 1;
  for (const auto& candidate : candidates) {
    const std::size_t distance = edit_distance(word, std::string_view(candidate));
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace batchscope
