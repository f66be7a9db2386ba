// Traces of requests (read_trace of task/workload.h): from a file's rows to when each request arrives in a run.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/input_warnings.h"
#include "base/json.h"
#include "base/units.h"
#include "task/trace_formats.h"
#include "task/workload.h"

namespace batchscope {
namespace {

using nlohmann::json;

// Requests that failed where the trace was taken ask for nothing here.
void drop_failed(std::vector<TraceRow>& rows, std::string_view origin) {
  const auto failed = std::erase_if(rows, [](const TraceRow& row) {
    return row.request.output_tokens == 0 || (!row.request.prompt && row.request.prompt_tokens == 0);
  });
  if (failed == 0) return;
  if (rows.empty())
    throw InputError("{}: no request in it that has tokens; {} {} of 0", origin, failed, failed == 1 ? "is" : "are");
  warn_of_input(fmt::format("{}: {} {} with 0 tokens left out", origin, failed, failed == 1 ? "request" : "requests"));
}

// On the trace's clock: since its begin, since 1970, or since 1970 in milliseconds.
double seconds_of(double time, double first) {
  constexpr double years_since_1970 = 1e8, as_milliseconds = 1e11;
  if (first > as_milliseconds) return (time - first) * 1e-3;
  return first > years_since_1970 ? time - first : time;
}

void set_arrivals(std::vector<TraceRow>& rows, std::string_view origin, bool is_own, double speed) {
  const bool some =
      std::any_of(rows.begin(), rows.end(), [](const TraceRow& row) { return row.arrival_s.has_value(); });
  if (!some) return;
  const auto without =
      std::find_if(rows.begin(), rows.end(), [](const TraceRow& row) { return !row.arrival_s.has_value(); });
  if (without != rows.end())
    throw InputError("{}:{}: it has no arrival_s, though others have one; give it to all requests, or to none", origin,
                     without->line);
  const auto earlier = [](const TraceRow& a, const TraceRow& b) { return *a.arrival_s < *b.arrival_s; };
  if (const auto late = std::is_sorted_until(rows.begin(), rows.end(), earlier); is_own && late != rows.end())
    throw InputError("{}:{}: arrives before the request above it; sort the lines by arrival_s", origin, late->line);
  std::stable_sort(rows.begin(), rows.end(), earlier);
  // What others recorded begins with its first request; our own may begin later than the run.
  const double first = *rows.front().arrival_s;
  for (TraceRow& row : rows) {
    const double seconds = is_own ? seconds_of(*row.arrival_s, first) : *row.arrival_s - first;
    constexpr double latest_s = 1e9;
    if (seconds / speed > latest_s)
      throw InputError("{}:{}: it arrives {:.3g} s after the start; times are in seconds", origin, row.line, seconds);
    row.request.arrival = from_seconds(seconds / speed);
  }
}

void give_ids(std::vector<TraceRow>& rows, std::string_view origin) {
  std::unordered_map<std::string, std::int64_t> lines;  // of each id
  std::int64_t place = 0;
  for (TraceRow& row : rows) {
    if (row.request.id.is_null()) row.request.id = place;
    ++place;
    const std::string id = row.request.id.dump(-1, ' ', false, json::error_handler_t::replace);
    const auto [first, is_new] = lines.emplace(id, row.line);
    if (!is_new)
      throw InputError("{}:{}: id {} was already used in line {}; ids must differ", origin, row.line, quote(id),
                       first->second);
  }
}

}  // namespace

std::vector<RequestOutline> parse_trace(std::string_view text, std::string_view origin,
                                        std::optional<std::int64_t> limit, std::string_view format, double speed) {
  refuse_foreign_text(text, origin);
  const TraceFormat form = format.empty() ? recognise_trace(text) : parse_trace_format(format, "--trace-format");
  std::vector<TraceRow> rows = read_trace_rows(text, origin, form, limit);
  if (rows.empty()) throw InputError("{}: it holds no request; write one JSON object per line", origin);
  drop_failed(rows, origin);
  set_arrivals(rows, origin, form == TraceFormat::own, speed);
  give_ids(rows, origin);
  std::vector<RequestOutline> requests;
  for (TraceRow& row : rows) requests.push_back(std::move(row.request));
  return requests;
}

std::vector<RequestOutline> read_trace(const Workload& workload, std::optional<std::int64_t> limit) {
  return parse_trace(read_file(workload.trace), workload.trace, limit, workload.trace_format, workload.trace_speed);
}

}  // namespace batchscope
