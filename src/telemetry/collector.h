// Takes readings from the rings: unwraps cumulative counters, keeps figures for the summary, writes to the store.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "store/store.h"
#include "telemetry/sampler.h"
#include "telemetry/summary/summary.h"
#include "telemetry/unwrap.h"

namespace batchscope {

class Collector {
 public:
  // Without a store only the figures are kept.
  Collector(StoreWriter* store, std::int64_t session) : store_(store), session_(session) {}

  // Takes all that is in the ring.
  void drain(SourceSampler& sampler);
  // Notes that the source has not returned from a call since then: all its counters are absent until now.
  void note_stuck(SourceSampler& sampler, Nanoseconds since, Nanoseconds now);
  // Writes what was taken since the last commit, and what the samplers say of themselves, in one transaction. Throws as
  // the store does; what it could not write is dropped.
  void commit(std::span<const SamplerRecord> samplers = {});
  // Drops the figures of a group of which nothing comes any more; what commit() was to write of it is lost.
  void forget(const SourceSampler& sampler, std::int64_t group);
  void stop_writing() { store_ = nullptr; }  // from here on only the figures are kept
  std::vector<CounterSummary> summaries() const;

 private:
  struct Series {
    std::int64_t id = 0;  // 0 without a store
    Unwrapper unwrapper;
    CounterSummary summary;
    std::optional<GapRecord> gap;  // the absent readings that the last reading belongs to
  };
  struct Group {
    std::vector<Series> series;
    SampleBlock block;
  };
  using Key = std::pair<const SourceSampler*, std::int64_t>;

  Group& group_of(SourceSampler& sampler, std::int64_t id);
  Group make_group(const SourceSampler& sampler, const CounterGroup& counters);
  void take(Group& group, const Tick& tick, const std::vector<Reading>& readings);
  Reading known(Series& series, const Tick& tick, Reading reading, bool is_exact);
  void note_absent(Series& series, Nanoseconds begin, Nanoseconds end, std::int64_t readings, const char* reason);

  StoreWriter* store_;
  std::int64_t session_;
  std::map<Key, Group> groups_;
  std::int64_t next_number_ = 0;  // of a counter
  std::vector<Key> order_;        // of appearance
  std::vector<GapRecord> gaps_;   // new or grown since the last commit
};

}  // namespace batchscope
