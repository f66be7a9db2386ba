// Sampling threads (telemetry/sampler.h).
#include "telemetry/sampler.h"

#include <sys/prctl.h>

#include <algorithm>
#include <cmath>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_limit.h"
#include "base/thread_signals.h"

namespace batchscope {
namespace {

constexpr Nanoseconds longest_silence = std::chrono::seconds(1);  // of a group whose values do not change
constexpr Nanoseconds longest_wait_for_rows = std::chrono::milliseconds(300);
constexpr auto longest_wait_for_first_looks = std::chrono::seconds(2);
constexpr auto longest_wait_at_the_end = std::chrono::seconds(3);  // for a call to return

// The kernel may not put a wake-up off to bundle it with others, as it does by 50 us by default.
void prepare_thread() {
  leave_signals_to_others();
  prctl(PR_SET_TIMERSLACK, 1UL);
}

// Room for some seconds, with devices that may still come.
std::size_t ring_bytes(const std::vector<CounterGroup>& groups, Nanoseconds period) {
  std::size_t row_bytes = 0;
  for (const CounterGroup& group : groups) row_bytes += sizeof(Tick) + group.counters.size() * sizeof(Reading);
  const double bytes = static_cast<double>(row_bytes) * 8 / to_seconds(period);
  return static_cast<std::size_t>(std::clamp(bytes, 256.0 * 1024, 4096.0 * 1024));
}

void add_one(std::atomic<std::int64_t>& value, std::int64_t by = 1) {
  value.store(value.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

// Sources of equal periods, as of several GPUs, are not read at the same instants: in the driver they would wait for
// each other. Each has a place in their periods; multiples of the golden section lie far apart, however many there are.
double place_of(std::size_t index) {
  constexpr double golden_section = 0.6180339887498949;
  return std::fmod(golden_section * static_cast<double>(index + 1), 1.0);
}
constexpr Nanoseconds longest_first_delay = std::chrono::milliseconds(30);

}  // namespace

class SourceSampler::Call {
 public:
  explicit Call(SourceSampler& sampler) : since_ns_(sampler.in_call_since_ns_) {
    since_ns_.store(sampler.clock_.now().count(), std::memory_order_relaxed);
  }
  ~Call() { since_ns_.store(0, std::memory_order_relaxed); }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  std::atomic<std::int64_t>& since_ns_;
};

class SourceSampler::GroupRows : public Rows {
 public:
  GroupRows(SourceSampler& sampler, const CounterGroup& group, Kept& kept)
      : sampler_(sampler), group_(group), kept_(kept), row_(sampler.readings_.data(), group.counters.size()) {}
  Clock& clock() const override { return sampler_.clock_; }
  std::span<Reading> row() override {
    std::fill(row_.begin(), row_.end(), Reading{});
    return row_;
  }
  void add(Nanoseconds before, Nanoseconds after, std::uint64_t are_exact) override {
    if (group_.refreshes_slowly && only_repeats(before)) return;
    if (!sampler_.ring_->push(
            {.group = group_.id, .before = before, .after = after, .are_exact = are_exact, .readings = row_.size()},
            row_))
      add_one(sampler_.dropped_);
    sampler_.has_rows_.store(true, std::memory_order_relaxed);
  }

 private:
  bool only_repeats(Nanoseconds when) {
    const bool same = kept_.row.size() == row_.size() && std::equal(row_.begin(), row_.end(), kept_.row.begin());
    if (same && when - kept_.when < longest_silence) return true;
    kept_.row.assign(row_.begin(), row_.end());  // of the same size each time: nothing is allocated
    kept_.when = when;
    return false;
  }

  SourceSampler& sampler_;
  const CounterGroup& group_;
  Kept& kept_;
  std::span<Reading> row_;
};

SourceSampler::SourceSampler(std::unique_ptr<Source> source, Nanoseconds asked, Clock& clock)
    : source_(std::move(source)),
      name_(source_->name()),
      clock_(clock),
      asked_(asked),
      longest_call_(source_->longest_call()),
      start_(clock.now()) {
  ask_pace();
  period_ = pace_.wanted;
  CHECK_THAT(period_ > Nanoseconds(0), "a sampling period is positive, that of {} is {} ns", name_, period_.count());
  began_ns_ = start_.count();
  period_ns_ = wanted_period_ns_ = period_.count();
}

void SourceSampler::look_first() {
  discover(clock_.now());
  ring_ = std::make_unique<TickRing>(ring_bytes(source_->groups(), period_));
  has_looked_.store(true, std::memory_order_release);
}

void SourceSampler::begin(Nanoseconds delay, double first_period) {
  first_period_ = first_period;
  {
    const Call call(*this);
    source_->prepare(clock_, asked_);
  }
  ask_pace();
  follow_period();
  start_ = clock_.now() + delay;
  next_ = 0;
  began_ns_ = clock_.now().count();
}

void SourceSampler::ask_pace() {
  const Pace pace = source_->pace(asked_);
  if (pace == pace_) return;
  const std::lock_guard guard(groups_mutex_);
  pace_ = pace;
  set_period(pace.wanted);
}

Pace SourceSampler::pace() const {
  const std::lock_guard guard(groups_mutex_);
  return pace_;
}

void SourceSampler::discover(Nanoseconds now) {
  discovered_ = now;
  const bool changed = [this] {
    const Call call(*this);
    return source_->discover(clock_);
  }();
  if (!changed) return;
  std::size_t most = 0;
  const std::lock_guard guard(groups_mutex_);
  ended_groups_.clear();
  for (const CounterGroup& group : all_groups_) {
    const bool there = std::any_of(source_->groups().begin(), source_->groups().end(),
                                   [&](const CounterGroup& other) { return other.id == group.id; });
    if (!there) ended_groups_.push_back(group.id);
  }
  for (const CounterGroup& group : source_->groups()) {
    most = std::max(most, group.counters.size());
    const bool known = std::any_of(all_groups_.begin(), all_groups_.end(),
                                   [&](const CounterGroup& other) { return other.id == group.id; });
    if (!known) all_groups_.push_back(group);
  }
  if (readings_.size() < most) readings_.resize(most);
  std::vector<Kept> kept(source_->groups().size());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    kept[i] = {.group = source_->groups()[i].id};
    for (Kept& old : kept_)
      if (old.group == kept[i].group) kept[i] = std::move(old);
    kept[i].row.reserve(source_->groups()[i].counters.size());
  }
  kept_ = std::move(kept);
}

void SourceSampler::read(bool is_last) {
  const auto& groups = source_->groups();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    GroupRows rows(*this, groups[g], kept_[g]);
    const Nanoseconds before = clock_.now();
    {
      const Call call(*this);
      is_last ? source_->read_last(g, rows) : source_->read(g, rows);
    }
    calls_.add(clock_.now() - before);
  }
  const std::int64_t cpu_ns = thread_cpu_time().count();
  cpu_ns_.store(cpu_ns, std::memory_order_relaxed);
  if (readings_made_.load(std::memory_order_relaxed) == 0) first_cpu_ns_.store(cpu_ns, std::memory_order_relaxed);
  add_one(readings_made_);
}

void SourceSampler::read_last() { read(true); }

void SourceSampler::tick() {
  lateness_.add(clock_.now() - deadline());
  read(false);
  if (ticks_.load(std::memory_order_relaxed) == 0) start_ -= from_seconds((1 - first_period_) * to_seconds(period_));
  add_one(ticks_);
  if (clock_.now() - discovered_ >= source_->discovery_period()) discover(clock_.now());

  // A deadline that has passed by less than a period is still read, late; older ones are missed.
  const std::int64_t due = (clock_.now() - start_) / period_;
  const std::int64_t following = std::max(next_ + 1, due);
  add_one(missed_, std::max<std::int64_t>(following - next_ - 1 - source_->take_own_readings(), 0));
  next_ = following;
  ask_pace();
  follow_period();
}

// The new period counts from the last deadline, as far as it has not passed already.
void SourceSampler::follow_period() {
  const Nanoseconds wanted(wanted_period_ns_.load(std::memory_order_relaxed));
  if (wanted == period_) return;
  start_ = std::max(deadline() - period_ + wanted, clock_.now());
  next_ = 0;
  period_ = wanted;
  period_ns_.store(period_.count(), std::memory_order_relaxed);
}

std::optional<ReadingCost> SourceSampler::cost() const {
  const std::int64_t readings = readings_made_.load(std::memory_order_relaxed);
  if (readings < 2) return std::nullopt;
  const std::int64_t cpu_ns = cpu_ns_.load(std::memory_order_relaxed) - first_cpu_ns_.load(std::memory_order_relaxed);
  return ReadingCost{.pace = pace(), .cpu = Nanoseconds(cpu_ns / (readings - 1))};
}

std::optional<Nanoseconds> SourceSampler::stuck_since() const {
  const Nanoseconds since(in_call_since_ns_.load(std::memory_order_relaxed));
  if (since == Nanoseconds(0) || clock_.now() - since < longest_call_) return std::nullopt;
  return since;
}

std::vector<CounterGroup> SourceSampler::groups() const {
  const std::lock_guard guard(groups_mutex_);
  return all_groups_;
}

std::vector<std::int64_t> SourceSampler::ended_groups() const {
  const std::lock_guard guard(groups_mutex_);
  return ended_groups_;
}

void SourceSampler::forget_group(std::int64_t id) {
  const std::lock_guard guard(groups_mutex_);
  std::erase_if(all_groups_, [&](const CounterGroup& group) { return group.id == id; });
  std::erase(ended_groups_, id);
}

SamplerFigures SourceSampler::figures() const {
  const auto elapsed = clock_.now().count() - began_ns_.load(std::memory_order_relaxed);
  SamplerFigures out{.source = name_,
                     .period = period(),
                     .wanted = pace().wanted,
                     .curve = pace().curve,
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
  if (const auto since = stuck_since()) out.stuck = clock_.now() - *since;
  return out;
}

Sampler::Sampler(std::vector<std::unique_ptr<Source>> sources, const SamplerOptions& options)
    : account_began_(monotonic_clock().now()), options_(options) {
  if (options.period < shortest_period)
    throw InputError("--period: {} ns is too short; the shortest is 1ms", options.period.count());
  try {
    for (auto& source : sources) start(std::move(source));
  } catch (...) {  // no more threads may be started
    stop();
    throw;
  }
  wait_for_first_looks();
}

void Sampler::start(std::unique_ptr<Source> source) {
  const auto sampler = std::make_shared<SourceSampler>(std::move(source), options_.period, monotonic_clock());
  const auto state = std::make_shared<ThreadState>();
  const std::lock_guard guard(mutex_);
  if (is_stopped_) return;
  const double place = place_of(running_.size());
  std::thread thread([sampler, state, place] { run(*sampler, *state, place); });
  running_.push_back({.source = sampler, .state = state, .thread = std::move(thread)});
}

void Sampler::add(std::unique_ptr<Source> source) {
  try {
    start(std::move(source));
  } catch (const std::system_error& error) {
    if (!is_lack_of_threads(error)) throw;
  }
}

void Sampler::wait_for_first_looks() {
  const auto deadline = std::chrono::steady_clock::now() + longest_wait_for_first_looks;
  for (const Running& one : running_) {
    std::unique_lock lock(one.state->mutex);
    one.state->changed.wait_until(lock, deadline, [&] { return one.state->has_looked; });
  }
}

Sampler::~Sampler() { stop(); }

std::vector<std::shared_ptr<SourceSampler>> Sampler::sources() const {
  const std::lock_guard guard(mutex_);
  std::vector<std::shared_ptr<SourceSampler>> sources;
  for (const Running& one : running_) sources.push_back(one.source);
  return sources;
}

void Sampler::stop() {
  {
    const std::lock_guard guard(mutex_);
    if (std::exchange(is_stopped_, true)) return;  // nothing is added any more
  }
  for (const Running& one : running_) {
    const std::lock_guard guard(one.state->mutex);
    one.state->stop = true;
    one.state->changed.notify_all();
  }
  const auto deadline = std::chrono::steady_clock::now() + longest_wait_at_the_end;
  for (Running& one : running_) {
    std::unique_lock lock(one.state->mutex);
    const bool ended = one.state->changed.wait_until(lock, deadline, [&] { return one.state->ended; });
    lock.unlock();
    ended ? one.thread.join() : one.thread.detach();
  }
}

void Sampler::read_now() {
  std::vector<std::shared_ptr<ThreadState>> states;
  {
    const std::lock_guard guard(mutex_);
    for (const Running& one : running_) states.push_back(one.state);
  }
  for (const auto& state : states) {
    const std::lock_guard guard(state->mutex);
    state->read_now = !state->ended;
    state->changed.notify_all();
  }
  const auto deadline = std::chrono::steady_clock::now() + longest_wait_for_rows;
  for (const auto& state : states) {
    std::unique_lock lock(state->mutex);
    state->changed.wait_until(lock, deadline, [&] { return !state->read_now; });
  }
}

void Sampler::wait_for_rows() const {
  const auto is_waited_for = [](const auto& source) { return !source->has_rows() && !source->groups().empty(); };
  const auto sources = this->sources();
  Clock& clock = monotonic_clock();
  const Nanoseconds deadline = clock.now() + longest_wait_for_rows;
  while (std::any_of(sources.begin(), sources.end(), is_waited_for) && clock.now() < deadline)
    clock.sleep_until(clock.now() + std::chrono::milliseconds(5));
}

void Sampler::start_account() {
  const std::lock_guard guard(mutex_);
  is_account_to_start_ = true;
}

void Sampler::keep_to_budget(const OtherCost& other) {
  const std::lock_guard guard(mutex_);
  std::vector<ReadingCost> costs;
  Nanoseconds spent = other.spent;
  for (const Running& one : running_) {
    const Pace pace = one.source->pace();
    costs.push_back(pace.is_extra ? ReadingCost{.pace = pace} : one.source->cost().value_or(ReadingCost{.pace = pace}));
    if (!pace.is_extra) spent += one.source->cpu_time();
  }
  const Nanoseconds now = monotonic_clock().now();
  if (std::exchange(is_account_to_start_, false)) {
    account_began_ = now;
    spent_before_ = spent;
  }
  const auto& [cores, keeps_curves] = options_.cpu_budget;
  const double left = budget_left(cores, spent - spent_before_, now - account_began_) - other.share;
  const auto periods = periods_within({.cores = left, .keeps_curves = keeps_curves}, costs);
  for (std::size_t i = 0; i < running_.size(); ++i) {
    const Running& one = running_[i];
    // Small changes are not worth another period.
    const double change = to_seconds(periods[i]) / to_seconds(one.source->period());
    if (change <= 1.05 && change >= 0.9) continue;
    const std::lock_guard state_guard(one.state->mutex);
    one.source->set_period(periods[i]);
    one.state->changed.notify_all();
  }
}

// Waits for its deadlines and for little else: with tens of threads, waking each a few times a second for nothing
// would cost more than some of them do.
void Sampler::run(SourceSampler& source, ThreadState& state, double place) {
  prepare_thread();
  source.look_first();
  {
    const std::lock_guard guard(state.mutex);
    state.has_looked = true;
    state.changed.notify_all();
  }
  source.begin(from_seconds(place * to_seconds(longest_first_delay)), 0.5 + place / 2);
  std::unique_lock lock(state.mutex);
  const auto is_woken = [&] { return state.stop || state.read_now || source.is_to_change_period(); };
  while (!state.stop) {
    const std::chrono::steady_clock::time_point deadline(source.deadline());  // the monotonic clock's
    if (state.changed.wait_until(lock, deadline, is_woken)) {
      source.follow_period();
      if (!state.read_now || state.stop) continue;
      lock.unlock();
      source.read_extra();
      lock.lock();
      state.read_now = false;
      state.changed.notify_all();
      continue;
    }
    lock.unlock();
    source.tick();
    lock.lock();
  }
  lock.unlock();
  source.read_last();
  lock.lock();
  state.ended = true;
  state.read_now = false;
  state.changed.notify_all();
}

}  // namespace batchscope
