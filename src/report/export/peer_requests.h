// What the formats of other load generators have in common.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/load_report.h"

namespace batchscope::peers {

std::string text_of(const nlohmann::json& spec, std::string_view key);              // "": not a text
std::optional<double> number_of(const nlohmann::json& spec, std::string_view key);  // also in a text, as flags are
double seconds_since_1970(const LoadReport& report, Nanoseconds since_begin);
std::int64_t nanoseconds_since_1970(const LoadReport& report, Nanoseconds since_begin);

// Of seconds since 1970, in UTC, as strftime writes it.
std::string utc_text(std::int64_t seconds, const char* form);

// When the client turned to the request, before it had a connection: the start of other clients' latencies.
Nanoseconds start_of(const LoadRequestRecord& request);

// The chunk has text, or tokens without one.
bool has_tokens(const ChunkRecord& chunk);
std::vector<Nanoseconds> chunks_with_tokens(const LoadRequestRecord& request);

struct Moments {
  double mean = 0, deviation = 0;  // of the population
};
Moments moments(const std::vector<double>& values);  // not of none

}  // namespace batchscope::peers
