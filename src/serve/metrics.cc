// Turns counters into metrics: names, labels, units, kinds.
#include "serve/metrics.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace batchscope::serve {
namespace {

constexpr const char* prefix = "batchscope_";

std::string without_end(std::string text, std::string_view end) {
  if (text.ends_with(end)) text.erase(text.size() - end.size());
  return text;
}

std::string unit_of(const Counter& counter) {
  std::string unit = counter.unit;
  std::replace(unit.begin(), unit.end(), ' ', '_');
  return unit;
}

// Families in the order of their first sample.
class Families {
 public:
  MetricFamily& get(const std::string& name, MetricType type, const std::string& unit, const std::string& help) {
    const auto [found, is_new] = places_.emplace(name, families_.size());
    if (is_new) families_.push_back({.name = name, .type = type, .unit = unit, .help = help});
    return families_[found->second];
  }
  std::vector<MetricFamily> take() { return std::move(families_); }

 private:
  std::map<std::string, std::size_t> places_;
  std::vector<MetricFamily> families_;
};

void add_value(Families& families, const CounterSummary& s) {
  const Counter& counter = s.counter;
  const bool cumulative = counter.kind == CounterKind::cumulative;
  MetricFamily& family =
      families.get(prefix + (cumulative ? without_end(counter.name, "_total") : counter.name),
                   cumulative ? MetricType::counter : MetricType::gauge, unit_of(counter), counter.help);
  // Virtual devices share names with real ones, which explain them better.
  if (!counter.is_virtual) family.help = counter.help;
  family.samples.push_back({.labels = counter.labels, .value = s.last});
}

// Of what the driver gives as means over windows: sum and number of all that were read, so that a scraper can have the
// mean of everything since it came last, not only the window in which it came.
void add_mean(Families& families, const CounterSummary& s) {
  const std::string unit = unit_of(s.counter), end = "_" + unit;
  if (s.counter.kind != CounterKind::window || !s.counter.name.ends_with(end)) return;
  MetricFamily& family =
      families.get(prefix + without_end(s.counter.name, end) + "_sampled" + end, MetricType::summary, unit,
                   "all readings: rate of _sum by rate of _count is the mean since the last scrape");
  family.samples.push_back({.labels = s.counter.labels, .value = s.sum, .suffix = "_sum"});
  family.samples.push_back({.labels = s.counter.labels, .value = static_cast<double>(s.count), .suffix = "_count"});
}

std::vector<Label> with_front(Label label, const std::vector<Label>& labels) {
  std::vector<Label> out{std::move(label)};
  out.insert(out.end(), labels.begin(), labels.end());
  return out;
}

void add_absence(Families& families, const CounterSummary& s) {
  const Label metric{"metric", prefix + s.counter.name};
  if (s.absent_now != nullptr) {
    auto labels = with_front(metric, s.counter.labels);
    labels.push_back({"reason", s.absent_now});
    families.get("batchscope_absent", MetricType::info, "", "why a metric has no value now")
        .samples.push_back({.labels = std::move(labels), .value = 1});
  }
  Nanoseconds unknown{0};
  for (const auto& gap : s.gaps)
    if (gap.readings == 0) unknown += gap.time;
  if (unknown > Nanoseconds(0))
    families
        .get("batchscope_unknown_increase_seconds", MetricType::counter, "seconds",
             "time over which a counter's increase is unknown and not part of it: it is a lower bound")
        .samples.push_back({.labels = with_front(metric, s.counter.labels), .value = to_seconds(unknown)});
}

// "pcie gpu:0" is a source of the kind pcie.
std::vector<Label> source_labels(const std::string& source) {
  return {{"source", source}, {"kind", source.substr(0, source.find(' '))}};
}

void add_quantiles(MetricFamily& family, const std::vector<Label>& labels,
                   std::initializer_list<std::pair<const char*, std::optional<Nanoseconds>>> quantiles) {
  for (const auto& [quantile, time] : quantiles) {
    if (!time) continue;
    family.samples.push_back({.labels = labels, .value = to_seconds(*time)});
    family.samples.back().labels.push_back({"quantile", quantile});
  }
}

void add_sampling(Families& families, const std::vector<SamplerFigures>& samplers) {
  const auto add = [&](const char* name, MetricType type, const char* unit, const char* help, const auto& value) {
    MetricFamily& family = families.get(std::string("batchscope_sampling_") + name, type, unit, help);
    for (const SamplerFigures& f : samplers)
      if (const std::optional<double> known = value(f))
        family.samples.push_back({.labels = source_labels(f.source), .value = *known});
  };
  const auto count = [](std::int64_t n) { return static_cast<double>(n); };
  add("period_seconds", MetricType::gauge, "seconds", "time between readings of a source, now",
      [](const auto& f) { return to_seconds(f.period); });
  add("wanted_period_seconds", MetricType::gauge, "seconds", "what the period would be without a CPU budget",
      [](const auto& f) { return f.wanted ? std::optional(to_seconds(*f.wanted)) : std::nullopt; });
  add("readings", MetricType::counter, "readings", "times that a source was read",
      [&](const auto& f) { return count(f.ticks); });
  add("missed", MetricType::counter, "", "readings that were due while something delayed the thread",
      [&](const auto& f) { return count(f.missed); });
  add("dropped", MetricType::counter, "", "readings that were lost because they were not taken in time",
      [&](const auto& f) { return count(f.dropped); });
  add("cpu_ratio", MetricType::gauge, "ratio", "CPU time that reading a source takes, of one core",
      [](const auto& f) { return f.cpu_share; });
  add("stuck", MetricType::gauge, "", "1 while a call into a source does not return",
      [](const auto& f) { return f.stuck ? 1.0 : 0.0; });
  MetricFamily& errors = families.get("batchscope_sampling_period_error_seconds", MetricType::summary, "seconds",
                                      "how late readings were since the start; quantile 1.0 is the latest");
  for (const SamplerFigures& f : samplers)
    add_quantiles(errors, source_labels(f.source),
                  {{"0.5", f.period_error_p50}, {"0.99", f.period_error_p99}, {"1.0", f.period_error_max}});
  MetricFamily& calls = families.get("batchscope_sampling_call_seconds", MetricType::summary, "seconds",
                                     "how long readings took since the start; quantile 1.0 is the longest");
  for (const SamplerFigures& f : samplers)
    add_quantiles(calls, source_labels(f.source), {{"0.5", f.call_p50}, {"0.99", f.call_p99}, {"1.0", f.call_max}});
}

}  // namespace

std::vector<MetricFamily> metrics_of(const RecordingSummary& summary) {
  Families families;
  for (const CounterSummary& s : summary.counters)
    if (s.count > 0 && s.absent_now == nullptr) add_value(families, s);
  for (const CounterSummary& s : summary.counters)
    if (s.count > 0 && s.absent_now == nullptr) add_mean(families, s);
  for (const CounterSummary& s : summary.counters) add_absence(families, s);
  add_sampling(families, summary.samplers);
  return families.take();
}

}  // namespace batchscope::serve
