// Looking at counters while they are sampled (telemetry/live.h).
#include "telemetry/live.h"

#include <utility>

#include "telemetry/recording.h"

namespace batchscope {

Live::Live(std::vector<std::unique_ptr<Source>> sources, const SamplerOptions& options, std::shared_ptr<LateGpus> late,
           std::vector<std::string> kinds)
    : begin_(monotonic_clock().now()),
      late_(std::move(late)),
      kinds_(std::move(kinds)),
      collector_(nullptr, 0),
      sampler_(std::move(sources), options) {}

Live::~Live() { sampler_.stop(); }

RecordingSummary Live::look() {
  const std::lock_guard guard(mutex_);
  if (late_ != nullptr) {
    auto sources = late_->take();
    keep_kinds(sources, kinds_);
    for (auto& source : sources) sampler_.add(std::move(source));
  }
  const Nanoseconds now = monotonic_clock().now();
  RecordingSummary summary{.elapsed = now - begin_};
  for (const auto& source : sampler_.sources()) {
    const auto ended = source->ended_groups();  // before the ring is emptied of their last readings
    collector_.drain(*source);
    for (const std::int64_t group : ended) {
      collector_.forget(*source, group);
      source->forget_group(group);
    }
    if (const auto since = source->stuck_since()) collector_.note_stuck(*source, *since, now);
    summary.samplers.push_back(source->figures());
  }
  collector_.commit();
  summary.counters = collector_.summaries();
  sampler_.keep_to_budget({});
  return summary;
}

}  // namespace batchscope
