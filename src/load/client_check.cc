// Two short runs: paced answers for times, empty ones for the rate (load/client_check.h).
#include "load/client_check.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "load/metrics.h"
#include "load/mock_server.h"
#include "load/runner.h"

namespace batchscope::load {
namespace {

constexpr double paced_rate = 50;  // requests per second
constexpr std::int64_t paced_tokens = 10, at_once = 32;
constexpr Nanoseconds paced_ttft = std::chrono::milliseconds(10), paced_itl = std::chrono::milliseconds(2);
constexpr Nanoseconds lead = std::chrono::milliseconds(20);

std::vector<LoadRequestRecord> run(const MockSettings& mock, std::span<const Request> requests,
                                   const RunOptions& options, const std::atomic<bool>& stop) {
  const LoopbackMock server(mock);
  const Endpoint endpoint{.url = http::parse_url(server.url(), "the mock server"), .model = mock.model};
  std::vector<LoadRequestRecord> records;
  run_requests(
      endpoint, requests, monotonic_clock().now() + lead, options,
      [&](Answer answer) {
        if (answer.record.outcome == "ok") records.push_back(std::move(answer.record));
      },
      stop);
  return records;
}

double microseconds(Nanoseconds time) { return to_seconds(time) * 1e6; }

double quantile(std::vector<double>& values, double share) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : quantile_interval(values, share, false).value;
}

}  // namespace

std::optional<ClientCheck> check_client(Nanoseconds time, const std::atomic<bool>& stop) {
  ClientCheck check;
  std::vector<Request> paced(static_cast<std::size_t>(std::ceil(paced_rate * to_seconds(time) / 2)) + 1);
  for (std::size_t i = 0; i < paced.size(); ++i)
    paced[i] = {.id_json = std::to_string(i),
                .prompt = {.tokens = {1, 2, 3}},
                .output_tokens = paced_tokens,
                .arrival = from_seconds(static_cast<double>(i) / paced_rate)};
  std::vector<double> ttfts, gaps, lags;
  for (const LoadRequestRecord& record : run({.ttft = paced_ttft, .itl = paced_itl}, paced, {}, stop)) {
    if (const auto ttft = value_of(Metric::ttft, record)) ttfts.push_back(microseconds(*ttft - paced_ttft));
    for (const Nanoseconds gap : gaps_of(Metric::itl, record)) gaps.push_back(std::abs(microseconds(gap - paced_itl)));
    lags.push_back(microseconds(*record.started - *record.due));
  }
  // Far more than it can do: the time ends it.
  const std::vector<Request> short_ones(500'000, {.id_json = "0", .prompt = {.tokens = {1}}, .output_tokens = 1});
  const auto fast = run({.ttft = Nanoseconds(0), .itl = Nanoseconds(0)}, short_ones,
                        {.concurrency = at_once, .duration = time / 2}, stop);
  if (ttfts.empty() || fast.empty() || stop) return std::nullopt;
  check.added_ttft_p50_us = quantile(ttfts, 0.5);
  check.added_ttft_p99_us = quantile(ttfts, 0.99);
  check.added_itl_p99_us = quantile(gaps, 0.99);
  check.lag_p99_us = quantile(lags, 0.99);
  Nanoseconds end{0};
  for (const LoadRequestRecord& record : fast) end = std::max(end, *record.end);
  check.requests_per_s = static_cast<double>(fast.size()) / to_seconds(end);
  return check;
}

nlohmann::json to_json(const ClientCheck& check) {
  return {{"added_ttft_us", {{"p50", check.added_ttft_p50_us}, {"p99", check.added_ttft_p99_us}}},
          {"added_itl_us", {{"p99", check.added_itl_p99_us}}},
          {"lag_us", {{"p99", check.lag_p99_us}}},
          {"requests_per_s", check.requests_per_s}};
}

}  // namespace batchscope::load
