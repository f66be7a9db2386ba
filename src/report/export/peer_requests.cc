// report/export/peer_requests.h
#include "report/export/peer_requests.h"

#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <numeric>

namespace batchscope::peers {

std::string text_of(const nlohmann::json& spec, std::string_view key) {
  const auto found = spec.find(key);
  return found != spec.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<double> number_of(const nlohmann::json& spec, std::string_view key) {
  const auto found = spec.find(key);
  if (found != spec.end() && found->is_number()) return found->get<double>();
  const std::string text = text_of(spec, key);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

std::int64_t nanoseconds_since_1970(const LoadReport& report, Nanoseconds since_begin) {
  // Of damaged files, too.
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(report.run.begin_unix.count()) +
                                   static_cast<std::uint64_t>(since_begin.count()));
}

double seconds_since_1970(const LoadReport& report, Nanoseconds since_begin) {
  return to_seconds(Nanoseconds(nanoseconds_since_1970(report, since_begin)));
}

std::string utc_text(std::int64_t seconds, const char* form) {
  const std::time_t at = seconds;
  std::tm time{};
  std::array<char, 64> text{};
  if (gmtime_r(&at, &time) == nullptr) return "";
  return std::string(text.data(), std::strftime(text.data(), text.size(), form, &time));
}

Nanoseconds start_of(const LoadRequestRecord& request) {
  return request.started.value_or(request.sent.value_or(request.due.value_or(request.intended)));
}

bool has_tokens(const ChunkRecord& chunk) { return chunk.tokens.value_or(1) > 0; }

std::vector<Nanoseconds> chunks_with_tokens(const LoadRequestRecord& request) {
  std::vector<Nanoseconds> instants;
  for (const ChunkRecord& chunk : request.chunks)
    if (has_tokens(chunk)) instants.push_back(chunk.at);
  return instants;
}

Moments moments(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {.mean = mean, .deviation = std::sqrt(squares / count)};
}

}  // namespace batchscope::peers
