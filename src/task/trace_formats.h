// Traces as others publish them: which form a file has, and its rows, in the units of that form.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "task/workload.h"

namespace batchscope {

enum class TraceFormat { own, azure, burstgpt, mooncake, bailian, vllm, sharegpt };
inline constexpr std::array<std::string_view, 7> trace_format_words{"own",     "azure", "burstgpt", "mooncake",
                                                                    "bailian", "vllm",  "sharegpt"};
// InputError, beginning with `what`, that lists them.
TraceFormat parse_trace_format(std::string_view word, std::string_view what);

// By the first line of a file.
TraceFormat recognise_trace(std::string_view text);

struct TraceRow {
  RequestOutline request{};           // without its arrival; 0 tokens: it failed where the trace was taken
  std::optional<double> arrival_s{};  // on the clock of the trace
  std::int64_t line = 0;
};

// InputError names file, line, key. `limit` keeps the first rows that did not fail.
std::vector<TraceRow> read_trace_rows(std::string_view text, std::string_view origin, TraceFormat format,
                                      std::optional<std::int64_t> limit);

// Seconds since 1970 of "2024-02-03T10:00:00.1", "2023-11-16 18:15:46.6805900", with a "Z" or an offset behind; absent
// for anything else.
std::optional<double> parse_iso_time(std::string_view text);

}  // namespace batchscope
