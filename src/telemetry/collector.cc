// From rings to figures and chunks (telemetry/collector.h).
#include "telemetry/collector.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace batchscope {
namespace {

SeriesRecord record_of(const Counter& counter, const std::string& source, std::int64_t session) {
  return {.id = 0,
          .session = session,
          .name = counter.name,
          .unit = counter.unit,
          .kind = std::string(name_of(counter.kind)),
          .device = counter.device,
          .source = source,
          .is_virtual = counter.is_virtual,
          .is_integer = counter.is_integer,
          .modulus = counter.modulus,
          .refresh = counter.refresh,
          .help = counter.help};
}

}  // namespace

Collector::Group Collector::make_group(const SourceSampler& sampler, const CounterGroup& counters) {
  // A page of metrics has thousands of series: they are written at once, or each would wait for the disk.
  std::vector<std::int64_t> ids(counters.counters.size());
  if (store_ != nullptr) {
    std::vector<SeriesRecord> records;
    for (const Counter& counter : counters.counters) records.push_back(record_of(counter, sampler.name(), session_));
    ids = store_->add_series(records);
  }
  Group group;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Counter& counter = counters.counters[i];
    Series series{.id = ids[i], .unwrapper = Unwrapper(counter), .summary = {}, .gap = {}};
    series.summary.number = next_number_++;
    series.summary.counter = counter;
    series.summary.source = sampler.name();
    group.series.push_back(std::move(series));
  }
  return group;
}

Collector::Group& Collector::group_of(SourceSampler& sampler, std::int64_t id) {
  const Key key{&sampler, id};
  if (const auto found = groups_.find(key); found != groups_.end()) return found->second;
  const auto groups = sampler.groups();
  const auto counters = std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.id == id; });
  CHECK_THAT(counters != groups.end(), "source {} lists its group {}", sampler.name(), id);
  Group& group = groups_.emplace(key, make_group(sampler, *counters)).first->second;  // a store may refuse it
  order_.push_back(key);
  return group;
}

void Collector::drain(SourceSampler& sampler) {
  if (!sampler.has_looked()) return;
  Tick tick;
  std::vector<Reading> readings;
  while (sampler.ring().pop(tick, readings)) take(group_of(sampler, tick.group), tick, readings);
}

void Collector::take(Group& group, const Tick& tick, const std::vector<Reading>& readings) {
  CHECK_EQUAL(readings.size(), group.series.size(), "a tick has a reading a counter");
  SampleBlock& block = group.block;
  if (block.columns.empty()) {
    block.columns.resize(group.series.size());
    for (std::size_t i = 0; i < group.series.size(); ++i) block.columns[i].series = group.series[i].id;
  }
  block.before.push_back(tick.before);
  block.after.push_back(tick.after);
  for (std::size_t i = 0; i < readings.size(); ++i) {
    Series& series = group.series[i];
    const Reading reading = known(series, tick, readings[i], (tick.are_exact >> std::min<std::size_t>(i, 63) & 1) != 0);
    SampleColumn& column = block.columns[i];
    column.present.push_back(reading.absent == nullptr ? 1 : 0);
    if (series.summary.counter.is_integer)
      column.integers.push_back(reading.integer);
    else
      column.reals.push_back(reading.real);
  }
}

// The reading as it is stored: unwrapped when cumulative.
Reading Collector::known(Series& series, const Tick& tick, Reading reading, bool is_exact) {
  const Counter& counter = series.summary.counter;
  if (reading.absent == nullptr && !counter.is_integer && !std::isfinite(reading.real))
    reading = Reading::none("not a number");
  if (reading.absent != nullptr) {
    note_absent(series, tick.before, tick.after, 1, reading.absent);
    return Reading::none(reading.absent);
  }
  series.gap.reset();
  if (counter.kind == CounterKind::cumulative) {
    const auto step = series.unwrapper.next(reading, tick.before, tick.after, is_exact);
    if (step.unknown != nullptr) {
      gaps_.push_back(
          {.series = series.id, .begin = step.since, .end = tick.before, .ticks = 0, .reason = step.unknown});
      series.summary.note_gap(step.unknown, 0, tick.before - step.since);
    }
    reading = step.value;
  }
  const double value = counter.is_integer ? static_cast<double>(reading.integer) : reading.real;
  series.summary.add(value, tick.before);
  return reading;
}

void Collector::note_absent(Series& series, Nanoseconds begin, Nanoseconds end, std::int64_t readings,
                            const char* reason) {
  const Nanoseconds from = series.gap ? series.gap->end : begin;
  if (!series.gap || series.gap->reason != reason)
    series.gap = GapRecord{.series = series.id, .begin = begin, .end = end, .ticks = 0, .reason = reason};
  series.gap->end = end;
  series.gap->ticks += readings;
  series.summary.note_gap(reason, readings, end - from);
  // Growing, it replaces what was written of it.
  const auto same = std::find_if(gaps_.begin(), gaps_.end(), [&](const GapRecord& gap) {
    return gap.series == series.id && gap.begin == series.gap->begin && store_ != nullptr;
  });
  if (same != gaps_.end())
    *same = *series.gap;
  else if (store_ != nullptr)
    gaps_.push_back(*series.gap);
}

void Collector::note_stuck(SourceSampler& sampler, Nanoseconds since, Nanoseconds now) {
  constexpr const char* reason = "a call has not returned";
  const Nanoseconds period = sampler.period();
  for (const CounterGroup& counters : sampler.groups())
    for (Series& series : group_of(sampler, counters.id).series) {
      const Nanoseconds from = series.gap && series.gap->reason == reason ? series.gap->end : since;
      if (const std::int64_t readings = (now - from) / period; readings > 0)
        note_absent(series, since, now, readings, reason);
    }
}

void Collector::forget(const SourceSampler& sampler, std::int64_t group) {
  const Key key{&sampler, group};
  groups_.erase(key);
  std::erase(order_, key);
}

void Collector::commit(std::span<const SamplerRecord> samplers) {
  std::vector<SampleBlock> blocks;
  for (const Key& key : order_) {
    SampleBlock& block = groups_.at(key).block;
    if (!block.before.empty()) blocks.push_back(std::exchange(block, {}));
  }
  const auto gaps = std::exchange(gaps_, {});
  const bool has_news = !blocks.empty() || !gaps.empty() || !samplers.empty();
  if (store_ != nullptr && has_news) store_->append_samples(blocks, gaps, samplers);
}

std::vector<CounterSummary> Collector::summaries() const {
  std::vector<CounterSummary> all;
  for (const Key& key : order_)
    for (const Series& series : groups_.at(key).series) all.push_back(series.summary);
  return all;
}

}  // namespace batchscope
