// Sampling threads (telemetry/sampler.h).
#include "telemetry/sampler.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <csignal>

#include "base/check.h"
#include "base/error.h"

namespace batchscope {
namespace {

constexpr std::size_t ring_bytes = 4 << 20;                           // seconds of readings at the shortest period
constexpr Nanoseconds longest_sleep = std::chrono::milliseconds(50);  // how soon stop() is noticed

// Signals are for the main thread: a sampling thread that caught one could not act on it. The kernel may not put a
// wake-up off to bundle it with others, as it does by 50 us by default.
void prepare_thread() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  prctl(PR_SET_TIMERSLACK, 1UL);
}

void add_one(std::atomic<std::int64_t>& value, std::int64_t by = 1) {
  value.store(value.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace

SourceSampler::SourceSampler(std::unique_ptr<Source> source, Nanoseconds period, Clock& clock)
    : source_(std::move(source)),
      name_(source_->name()),
      period_(source_->period().value_or(period)),
      clock_(clock),
      start_(clock.now()),
      ring_(ring_bytes) {
  CHECK_THAT(period_ > Nanoseconds(0), "a sampling period is positive, that of {} is {} ns", name_, period_.count());
  last_ns_ = start_.count();
  discover(start_);
}

void SourceSampler::discover(Nanoseconds now) {
  discovered_ = now;
  if (!source_->discover()) return;
  std::size_t most = 0;
  const std::lock_guard guard(groups_mutex_);
  for (const CounterGroup& group : source_->groups()) {
    most = std::max(most, group.counters.size());
    const bool known = std::any_of(all_groups_.begin(), all_groups_.end(),
                                   [&](const CounterGroup& other) { return other.id == group.id; });
    if (!known) all_groups_.push_back(group);
  }
  if (readings_.size() < most) readings_.resize(most);
}

void SourceSampler::read() {
  const auto& groups = source_->groups();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const std::span<Reading> readings(readings_.data(), groups[g].counters.size());
    std::fill(readings.begin(), readings.end(), Reading{});
    Tick tick{.group = groups[g].id, .readings = readings.size()};
    tick.before = clock_.now();
    source_->read(g, readings);
    tick.after = clock_.now();
    calls_.add(tick.after - tick.before);
    if (!ring_.push(tick, readings)) add_one(dropped_);
  }
  cpu_ns_.store(thread_cpu_time().count(), std::memory_order_relaxed);
  last_ns_.store(clock_.now().count(), std::memory_order_relaxed);
}

void SourceSampler::tick() {
  lateness_.add(clock_.now() - deadline());
  read();
  add_one(ticks_);
  if (clock_.now() - discovered_ >= source_->discovery_period()) discover(clock_.now());

  // A deadline that has passed by less than a period is still read, late; older ones are missed.
  const std::int64_t due = (clock_.now() - start_) / period_;
  const std::int64_t following = std::max(next_ + 1, due);
  add_one(missed_, following - next_ - 1);
  next_ = following;
}

std::vector<CounterGroup> SourceSampler::groups() const {
  const std::lock_guard guard(groups_mutex_);
  return all_groups_;
}

SamplerFigures SourceSampler::figures() const {
  const auto elapsed = last_ns_.load(std::memory_order_relaxed) - start_.count();
  SamplerFigures out{.source = name_,
                     .period = period_,
                     .ticks = ticks_.load(std::memory_order_relaxed),
                     .missed = missed_.load(std::memory_order_relaxed),
                     .dropped = dropped_.load(std::memory_order_relaxed),
                     .period_error_p50 = lateness_.quantile(0.5),
                     .period_error_p99 = lateness_.quantile(0.99),
                     .period_error_max = lateness_.max(),
                     .call_p50 = calls_.quantile(0.5),
                     .call_p99 = calls_.quantile(0.99),
                     .call_max = calls_.max()};
  if (elapsed > 0)
    out.cpu_share = static_cast<double>(cpu_ns_.load(std::memory_order_relaxed)) / static_cast<double>(elapsed);
  return out;
}

Sampler::Sampler(std::vector<std::unique_ptr<Source>> sources, const SamplerOptions& options)
    : clock_(options.clock != nullptr ? *options.clock : monotonic_clock()) {
  if (options.period < shortest_period)
    throw InputError("--period: {} ns is too short; the shortest is 1ms", options.period.count());
  for (auto& source : sources)
    sources_.push_back(std::make_unique<SourceSampler>(std::move(source), options.period, clock_));
  for (auto& source : sources_) threads_.emplace_back([this, &source] { run(*source); });
}

Sampler::~Sampler() { stop(); }

void Sampler::stop() {
  stop_ = true;
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void Sampler::run(SourceSampler& source) {
  prepare_thread();
  while (!stop_) {
    while (!stop_ && clock_.now() < source.deadline())
      clock_.sleep_until(std::min(source.deadline(), clock_.now() + longest_sleep));
    if (!stop_) source.tick();
  }
  source.read();
}

}  // namespace batchscope
