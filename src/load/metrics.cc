// Formulas of docs/load.md (load/metrics.h).
#include "load/metrics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <numeric>

#include "base/comma_list.h"
#include "base/error.h"
#include "base/units.h"

namespace batchscope::load {
namespace {

constexpr std::array words{
    MetricWords{Metric::ttft, "ttft", "TTFT", "first chunk with a token - sent"},
    MetricWords{Metric::ttft_intended, "ttft_intended", "TTFT from intended", "first chunk with a token - intended"},
    MetricWords{Metric::tpot, "tpot", "TPOT", "(last token - first token) / (tokens - 1)"},
    MetricWords{Metric::ntpot, "ntpot", "NTPOT", "E2E / tokens, the first one included (GuideLLM's TPOT)"},
    MetricWords{Metric::itl, "itl", "ITL", "gaps between tokens; 0 within a chunk"},
    MetricWords{Metric::icl, "icl", "ICL", "gaps between chunks with tokens"},
    MetricWords{Metric::e2e, "e2e", "E2E", "last chunk with a token, or end of an unstreamed answer, - sent"},
    MetricWords{Metric::e2e_intended, "e2e_intended", "E2E from intended", "the same - intended"},
};

constexpr double largest_lag_share = 0.01;  // of the median TTFT
constexpr double one_tail = 0.025;          // of a 95 % interval

double milliseconds(Nanoseconds time) { return to_seconds(time) * 1e3; }

bool has_token(const ChunkRecord& chunk) { return !chunk.tokens || *chunk.tokens > 0; }

std::optional<Nanoseconds> first_token(const LoadRequestRecord& request) {
  const auto found = std::find_if(request.chunks.begin(), request.chunks.end(), has_token);
  return found == request.chunks.end() ? std::nullopt : std::optional(found->at);
}

std::optional<Nanoseconds> last_token(const LoadRequestRecord& request) {
  const auto found = std::find_if(request.chunks.rbegin(), request.chunks.rend(), has_token);
  if (found != request.chunks.rend()) return found->at;
  return request.chunks.empty() ? request.end : std::nullopt;  // not streamed
}

std::optional<Nanoseconds> between(std::optional<Nanoseconds> from, std::optional<Nanoseconds> to) {
  return from && to ? std::optional(*to - *from) : std::nullopt;
}

// Tokens that came in chunks whose counts are known, up to the last of them.
bool are_chunks_known(const LoadRequestRecord& request) {
  return std::all_of(request.chunks.begin(), request.chunks.end(),
                     [](const ChunkRecord& c) { return c.tokens.has_value(); });
}

MetricSummary summarize_metric(Metric metric, std::span<const LoadRequestRecord* const> answered) {
  MetricSummary summary{.metric = metric};
  const bool is_of_gaps = metric == Metric::itl || metric == Metric::icl;
  std::vector<double> values;
  for (const LoadRequestRecord* request : answered) {
    if (is_of_gaps) {
      const auto gaps = gaps_of(metric, *request);
      if (gaps.empty()) ++summary.unknown;
      for (const Nanoseconds gap : gaps) values.push_back(milliseconds(gap));
    } else if (const auto value = value_of(metric, *request)) {
      values.push_back(milliseconds(*value));
    } else {
      ++summary.unknown;
    }
  }
  summary.count = std::ssize(values);
  if (values.empty()) return summary;
  std::sort(values.begin(), values.end());
  summary.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  summary.least = values.front();
  summary.most = values.back();
  // Gaps of one answer depend on each other: an interval would be narrower than the truth.
  summary.p50 = quantile_interval(values, 0.5, !is_of_gaps);
  summary.p90 = quantile_interval(values, 0.9, !is_of_gaps);
  summary.p99 = quantile_interval(values, 0.99, !is_of_gaps);
  return summary;
}

std::int64_t most_at_once(std::span<const LoadRequestRecord> requests) {
  std::vector<std::pair<Nanoseconds, int>> changes;
  for (const LoadRequestRecord& request : requests) {
    if (!request.sent || !request.end) continue;
    changes.emplace_back(*request.sent, 1);
    changes.emplace_back(*request.end, -1);
  }
  std::sort(changes.begin(), changes.end());  // an end before a start at the same instant
  std::int64_t now = 0, most = 0;
  for (const auto& [at, change] : changes) most = std::max(most, now += change);
  return most;
}

std::size_t warm_up_of(std::span<const LoadRequestRecord> in_order, const LoadSettings& settings) {
  if (settings.warm_up) return std::min(static_cast<std::size_t>(*settings.warm_up), in_order.size());
  std::vector<double> values;
  std::vector<std::size_t> places;
  const auto has_ttft = std::any_of(in_order.begin(), in_order.end(), [](const LoadRequestRecord& request) {
    return value_of(Metric::ttft, request).has_value();
  });
  for (std::size_t i = 0; i < in_order.size(); ++i) {
    if (in_order[i].outcome != "ok") continue;
    if (const auto value = value_of(has_ttft ? Metric::ttft : Metric::e2e, in_order[i])) {
      values.push_back(milliseconds(*value));
      places.push_back(i);
    }
  }
  const std::size_t change = change_point(values);
  return change == 0 ? 0 : places[change];
}

void add_goodput(LoadSummary& summary, std::span<const LoadRequestRecord> measured, std::span<const SloTerm> slo) {
  if (slo.empty() || summary.seconds <= 0) return;
  Goodput goodput;
  std::optional<std::int64_t> tokens = 0;
  for (const LoadRequestRecord& request : measured) {
    if (request.outcome != "ok") continue;
    bool is_met = true, is_known = true;
    for (const SloTerm& term : slo) {
      const auto value = value_of(term.metric, request);
      // A single token has no time between tokens that could be too long.
      const bool has_none = request.output_tokens == 1 &&
                            (term.metric == Metric::tpot || term.metric == Metric::itl || term.metric == Metric::icl);
      is_known = is_known && (value.has_value() || has_none);
      is_met = is_met && (value ? *value <= term.most : has_none);
    }
    if (!is_known) ++goodput.unknown;
    if (!is_met) continue;
    ++goodput.met;
    tokens = tokens && request.output_tokens ? std::optional(*tokens + *request.output_tokens) : std::nullopt;
  }
  goodput.share = static_cast<double>(goodput.met) / static_cast<double>(measured.size());
  goodput.requests_per_s = static_cast<double>(goodput.met) / summary.seconds;
  if (tokens) goodput.output_tokens_per_s = static_cast<double>(*tokens) / summary.seconds;
  summary.goodput = goodput;
}

void add_tokens(LoadSummary& summary, std::span<const LoadRequestRecord* const> answered) {
  summary.prompt_tokens = summary.output_tokens = 0;
  std::int64_t chunks = 0, tokens_in_chunks = 0;
  for (const LoadRequestRecord* request : answered) {
    const auto add = [](std::optional<std::int64_t>& sum, std::optional<std::int64_t> more) {
      sum = sum && more ? std::optional(*sum + *more) : std::nullopt;
    };
    add(summary.prompt_tokens, request->prompt_tokens);
    add(summary.output_tokens, request->output_tokens);
    if (!request->output_tokens) ++summary.unknown_tokens;
    if (request->output_tokens && *request->output_tokens != request->asked_output_tokens) ++summary.other_lengths;
    if (request->output_tokens && !request->chunks.empty()) {
      chunks += std::count_if(request->chunks.begin(), request->chunks.end(), has_token);
      tokens_in_chunks += *request->output_tokens;
    }
  }
  if (answered.empty()) summary.prompt_tokens = summary.output_tokens = std::nullopt;
  if (chunks > 0) summary.tokens_per_chunk = static_cast<double>(tokens_in_chunks) / static_cast<double>(chunks);
  if (summary.output_tokens && summary.seconds > 0)
    summary.output_tokens_per_s = static_cast<double>(*summary.output_tokens) / summary.seconds;
}

void add_lag(LoadSummary& summary, std::span<const LoadRequestRecord> measured) {
  std::vector<double> lags, held_back;
  for (const LoadRequestRecord& request : measured) {
    if (!request.started || !request.due) continue;
    lags.push_back(milliseconds(*request.started - *request.due));
    held_back.push_back(milliseconds(*request.due - request.intended));
  }
  if (lags.empty()) return;
  std::sort(lags.begin(), lags.end());
  std::sort(held_back.begin(), held_back.end());
  summary.lag_p50 = quantile_interval(lags, 0.5);
  summary.lag_p99 = quantile_interval(lags, 0.99);
  summary.held_back_p99 = quantile_interval(held_back, 0.99).value;
}

void judge(LoadSummary& summary) {
  if (summary.answered == 0) return summary.invalid.push_back("no request was answered");
  const auto median = [&](Metric metric) -> std::optional<double> {
    for (const MetricSummary& one : summary.metrics)
      if (one.metric == metric) return one.p50.value;
    return std::nullopt;
  };
  auto compared = median(Metric::ttft);
  if (!compared) compared = median(Metric::e2e);
  if (compared && summary.lag_p99 && summary.lag_p99->value > largest_lag_share * *compared)
    summary.invalid.push_back(
        fmt::format("the client could not keep up: its lag's p99 of {:.3g} ms is more than 1 % of the median {} of "
                    "{:.3g} ms; give it more of a CPU, or lower the rate",
                    summary.lag_p99->value, median(Metric::ttft) ? "TTFT" : "E2E", *compared));
}

}  // namespace

std::span<const MetricWords> metric_words() { return words; }

std::vector<Nanoseconds> gaps_of(Metric metric, const LoadRequestRecord& request) {
  std::vector<Nanoseconds> gaps;
  const bool is_itl = metric == Metric::itl;
  if (is_itl && !are_chunks_known(request)) return gaps;
  std::optional<Nanoseconds> last;
  for (const ChunkRecord& chunk : request.chunks) {
    if (!has_token(chunk)) continue;
    if (last) gaps.push_back(chunk.at - *last);
    if (is_itl)
      gaps.insert(gaps.end(), static_cast<std::size_t>(std::min<std::int64_t>(*chunk.tokens - 1, 1 << 20)),
                  Nanoseconds(0));
    last = chunk.at;
  }
  return gaps;
}

std::optional<Nanoseconds> value_of(Metric metric, const LoadRequestRecord& request) {
  switch (metric) {
    case Metric::ttft:
      return between(request.sent, first_token(request));
    case Metric::ttft_intended:
      return between(request.intended, first_token(request));
    case Metric::e2e:
      return between(request.sent, last_token(request));
    case Metric::e2e_intended:
      return between(request.intended, last_token(request));
    case Metric::tpot:
      if (const auto all = between(first_token(request), last_token(request));
          all && request.output_tokens.value_or(0) > 1)
        return *all / (*request.output_tokens - 1);
      return std::nullopt;
    case Metric::ntpot:
      if (const auto all = between(request.sent, last_token(request)); all && request.output_tokens.value_or(0) > 0)
        return *all / *request.output_tokens;
      return std::nullopt;
    case Metric::itl:
    case Metric::icl: {
      const auto gaps = gaps_of(metric, request);
      if (gaps.empty()) return std::nullopt;
      return std::accumulate(gaps.begin(), gaps.end(), Nanoseconds(0)) / std::ssize(gaps);
    }
  }
  return std::nullopt;
}

std::vector<SloTerm> parse_slo(std::string_view text, std::string_view what) {
  std::vector<SloTerm> slo;
  for_each_part(text, [&](std::string_view part) {
    const std::size_t equals = part.find('=');
    const std::string_view word = part.substr(0, equals);
    const auto found =
        std::find_if(words.begin(), words.end(), [&](const MetricWords& metric) { return metric.word == word; });
    if (equals == std::string_view::npos || found == words.end()) {
      std::vector<std::string_view> known;
      for (const MetricWords& metric : words) known.push_back(metric.word);
      throw InputError("{}: '{}' is not METRIC=TIME, for example ttft=200ms,tpot=30ms; metrics: {}", what, part,
                       fmt::join(known, ", "));
    }
    slo.push_back({found->metric, parse_duration(part.substr(equals + 1), fmt::format("{}: {}", what, word))});
  });
  return slo;
}

std::string slo_text(std::span<const SloTerm> slo) {
  std::string text;
  for (const SloTerm& term : slo)
    text += fmt::format("{}{} ≤ {:g} ms", text.empty() ? "" : ", ",
                        words.at(static_cast<std::size_t>(term.metric)).title, milliseconds(term.most));
  return text;
}

QuantileInterval quantile_interval(std::span<const double> sorted, double share, bool are_independent) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  QuantileInterval result{.value =
                              sorted[below] + (sorted[above] - sorted[below]) * (place - static_cast<double>(below))};
  if (!are_independent) return result;
  // How many values lie below the population's quantile is binomial. The k-th smallest value is above it with
  // P(fewer than k below), and below it with P(k or more below).
  const auto count = static_cast<double>(sorted.size());
  const boost::math::binomial_distribution<> below_it(count, share);
  const auto fewer_than = [&](double k) { return k <= 0 ? 0.0 : boost::math::cdf(below_it, k - 1); };
  double low = std::floor(boost::math::quantile(below_it, one_tail));
  while (low > 0 && fewer_than(low) > one_tail) --low;
  while (low < count && fewer_than(low + 1) <= one_tail) ++low;
  double high = std::min(count, std::ceil(boost::math::quantile(below_it, 1 - one_tail)) + 2);
  while (high > 1 && 1 - fewer_than(high - 1) <= one_tail) --high;
  if (low >= 1) result.low = sorted[static_cast<std::size_t>(low) - 1];
  if (1 - fewer_than(high) <= one_tail) result.high = sorted[static_cast<std::size_t>(high) - 1];
  return result;
}

std::size_t change_point(std::span<const double> values) {
  constexpr std::size_t fewest = 20;
  constexpr double risk = 1e-3;
  const std::size_t n = values.size();
  if (n < fewest) return 0;
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(n);  // of equal values their mean
  for (std::size_t i = 0; i < n;) {
    std::size_t end = i;
    while (end < n && values[order[end]] == values[order[i]]) ++end;
    for (std::size_t k = i; k < end; ++k) ranks[order[k]] = static_cast<double>(i + end + 1) / 2;
    i = end;
  }
  const auto all = static_cast<double>(n);
  double sum = 0, largest = 0;
  std::size_t place = 0;
  for (std::size_t t = 1; t <= n / 2; ++t) {
    sum += ranks[t - 1];
    const auto before = static_cast<double>(t);
    const double statistic = (2 * sum - before * (all + 1)) / std::sqrt(before * (all - before) * (all + 1) / 3);
    if (statistic > largest) {
      largest = statistic;
      place = t;
    }
  }
  const double threshold = boost::math::quantile(boost::math::complement(boost::math::normal(), risk / (all / 2)));
  return largest > threshold ? place : 0;
}

std::vector<LoadRequestRecord> in_order_of_due(std::span<const LoadRequestRecord> requests) {
  std::vector<LoadRequestRecord> in_order(requests.begin(), requests.end());
  std::stable_sort(in_order.begin(), in_order.end(), [](const LoadRequestRecord& a, const LoadRequestRecord& b) {
    return a.due.value_or(a.intended) < b.due.value_or(b.intended);
  });
  return in_order;
}

LoadSummary summarize(std::span<const LoadRequestRecord> requests, const LoadSettings& settings) {
  LoadSummary summary{.requests = std::ssize(requests)};
  const std::vector<LoadRequestRecord> in_order = in_order_of_due(requests);
  const std::size_t warm_up = warm_up_of(in_order, settings);
  summary.warm_up = static_cast<std::int64_t>(warm_up);
  const std::span<const LoadRequestRecord> measured = std::span(in_order).subspan(warm_up);
  std::vector<const LoadRequestRecord*> answered;
  std::optional<Nanoseconds> begin, end;
  for (const LoadRequestRecord& request : measured) {
    ++summary.outcomes[request.outcome];
    if (!request.detail.empty()) summary.details.try_emplace(request.outcome, request.detail);
    summary.retries += request.retries;
    if (request.outcome == "ok") answered.push_back(&request);
    const Nanoseconds from = request.sent.value_or(request.due.value_or(request.intended));
    begin = std::min(begin.value_or(from), from);
    if (request.end) end = std::max(end.value_or(*request.end), *request.end);
  }
  summary.answered = std::ssize(answered);
  if (begin && end) summary.seconds = to_seconds(*end - *begin);
  if (summary.seconds > 0) summary.requests_per_s = static_cast<double>(answered.size()) / summary.seconds;
  if (measured.size() > 1)
    if (const Nanoseconds all = measured.back().intended - measured.front().intended; all > Nanoseconds(0))
      summary.offered_per_s = static_cast<double>(measured.size() - 1) / to_seconds(all);
  summary.most_at_once = most_at_once(measured);
  add_tokens(summary, answered);
  for (const MetricWords& metric : words)
    if (MetricSummary one = summarize_metric(metric.metric, answered); one.count > 0)
      summary.metrics.push_back(std::move(one));
  add_lag(summary, measured);
  add_goodput(summary, measured, settings.slo);
  judge(summary);
  return summary;
}

}  // namespace batchscope::load
