// Sampling: no drift, what is missed is counted, a slow source delays no other, and nothing is invented.
#include "telemetry/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <condition_variable>
#include <mutex>

#include "base/cpus.h"
#include "base/error.h"
#include "telemetry/collector.h"

namespace batchscope {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

// One cumulative counter whose reading does what the test says.
class FakeSource : public Source {
 public:
  using Read = std::function<Reading()>;
  FakeSource(std::string name, Read read, Counter counter = {}) : name_(std::move(name)), read_(std::move(read)) {
    counter.name = "x_total";
    counter.unit = "bytes";
    counter.device = "d";
    groups_.push_back({.id = 1, .counters = {counter}});
  }
  std::string name() const override { return name_; }
  bool discover(const Clock&) override { return std::exchange(fresh_, false); }
  const std::vector<CounterGroup>& groups() const override { return groups_; }
  void read(std::size_t, Rows& rows) override {
    rows.add_now([&](std::span<Reading> out) { out[0] = read_(); });
  }

 private:
  std::string name_;
  Read read_;
  bool fresh_ = true;
  std::vector<CounterGroup> groups_;
};

// One that has looked for its devices.
class TestSampler : public SourceSampler {
 public:
  TestSampler(std::unique_ptr<Source> source, Nanoseconds asked, Clock& clock)
      : SourceSampler(std::move(source), asked, clock) {
    look_first();
  }
};

TestSampler sampler_of(FakeSource::Read read, Clock& clock, Nanoseconds period = milliseconds(10)) {
  return TestSampler(std::make_unique<FakeSource>("fake", std::move(read)), period, clock);
}

TEST(SourceSampler, DeadlinesDoNotDrift) {
  ManualClock clock;
  clock.advance(milliseconds(3));
  auto sampler = sampler_of(
      [&] {
        clock.advance(milliseconds(4));  // a reading takes time
        return Reading::of(std::int64_t{1});
      },
      clock);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(sampler.deadline(), milliseconds(3 + 10 * i));
    clock.sleep_until(sampler.deadline());
    sampler.tick();
  }
  EXPECT_EQ(sampler.figures().ticks, 1000);
  EXPECT_EQ(sampler.figures().missed, 0);
  EXPECT_EQ(sampler.figures().period_error_max, Nanoseconds(0));
  EXPECT_EQ(sampler.figures().call_max, milliseconds(4));
}

TEST(SourceSampler, StoppedForTenSecondsMissesAndSaysSo) {
  ManualClock clock;
  auto sampler = sampler_of([] { return Reading::of(std::int64_t{1}); }, clock);
  sampler.tick();
  clock.advance(std::chrono::seconds(10));  // as SIGSTOP does
  sampler.tick();
  sampler.tick();  // the deadline that has only just passed
  EXPECT_EQ(sampler.figures().ticks, 3);
  EXPECT_EQ(sampler.figures().missed, 998);  // deadlines 10 ms (read late), 20 … 9990 ms missed, 10 s read
  EXPECT_GT(sampler.deadline(), clock.now());
  EXPECT_EQ(sampler.figures().period_error_max, milliseconds(9990));
}

// One that changes its mind.
class PacedSource : public FakeSource {
 public:
  PacedSource() : FakeSource("a", [] { return Reading::of(std::int64_t{1}); }) {}
  Pace pace(Nanoseconds) const override { return pace_; }
  void prepare(Clock& clock, Nanoseconds) override { clock.sleep_until(clock.now() + milliseconds(70)); }

  Pace pace_{milliseconds(100), milliseconds(100)};
};

TEST(SourceSampler, APaceThatChangesIsFollowed) {
  ManualClock clock;
  auto owned = std::make_unique<PacedSource>();
  PacedSource& source = *owned;
  TestSampler sampler(std::move(owned), milliseconds(1), clock);
  sampler.begin(Nanoseconds(0));
  std::vector<std::int64_t> deadlines;
  const auto run = [&](int ticks) {
    for (int i = 0; i < ticks; ++i) {
      deadlines.push_back(sampler.deadline() / milliseconds(1));
      clock.sleep_until(sampler.deadline());
      sampler.tick();
    }
  };
  run(3);
  source.pace_ = {milliseconds(10), milliseconds(20)};
  run(3);
  EXPECT_THAT(deadlines, ElementsAre(70, 170, 270, 370, 380, 390));
  EXPECT_EQ(sampler.figures().period_error_max, Nanoseconds(0));
}

TEST(SourceSampler, TheFirstPeriodGivesItItsPlaceAmongOthers) {
  ManualClock clock;
  auto sampler = sampler_of([] { return Reading::of(std::int64_t{1}); }, clock);
  sampler.begin(milliseconds(3), 0.4);
  std::vector<std::int64_t> deadlines;
  for (int i = 0; i < 4; ++i) {
    deadlines.push_back(sampler.deadline() / milliseconds(1));
    clock.sleep_until(sampler.deadline());
    sampler.tick();
  }
  EXPECT_THAT(deadlines, ElementsAre(3, 7, 17, 27));
  EXPECT_EQ(sampler.figures().missed, 0);
}

TEST(SourceSampler, AnotherPeriodCountsFromTheLastDeadline) {
  ManualClock clock;
  auto sampler = sampler_of([] { return Reading::of(std::int64_t{1}); }, clock, seconds(10));
  sampler.tick();
  EXPECT_EQ(sampler.deadline(), seconds(10));
  EXPECT_FALSE(sampler.is_to_change_period());
  clock.advance(seconds(3));
  sampler.set_period(seconds(5));
  EXPECT_TRUE(sampler.is_to_change_period());
  sampler.follow_period();
  EXPECT_EQ(sampler.deadline(), seconds(5));
  sampler.set_period(seconds(1));
  sampler.follow_period();
  EXPECT_EQ(sampler.deadline(), seconds(3));  // at once
  sampler.tick();
  EXPECT_EQ(sampler.deadline(), seconds(4));
  sampler.set_period(seconds(2));
  sampler.follow_period();
  EXPECT_EQ(sampler.deadline(), seconds(5));
  EXPECT_EQ(sampler.figures().missed, 0);
}

TEST(CpuBudget, DearSourcesAreReadMoreRarelyThanWanted) {
  const auto cost = [](int wanted_ms, int longest_ms, int cpu_us) {
    return ReadingCost{.pace = {milliseconds(wanted_ms), milliseconds(longest_ms)},
                       .cpu = std::chrono::microseconds(cpu_us)};
  };
  const std::vector costs = {cost(100, 5000, 10), cost(100, 5000, 3000), cost(100, 5000, 6000), cost(50, 75, 500)};
  EXPECT_THAT(periods_within({1}, costs),
              ElementsAre(milliseconds(100), milliseconds(100), milliseconds(100), milliseconds(50)));
  const auto periods = periods_within({0.03}, costs);
  double sum = 0;
  for (std::size_t i = 0; i < costs.size(); ++i) sum += to_seconds(costs[i].cpu) / to_seconds(periods[i]);
  EXPECT_NEAR(sum, 0.03, 1e-4);
  EXPECT_EQ(periods[0], milliseconds(100));
  EXPECT_NEAR(to_seconds(periods[2]) / to_seconds(periods[1]), 2, 1e-3);
  const auto rarest = periods_within({0}, costs);
  EXPECT_EQ(rarest[3], milliseconds(75));
  EXPECT_GT(rarest[2], milliseconds(4000));
  EXPECT_EQ(rarest[0], milliseconds(100)) << "cheap beside what cannot be read more rarely";
}

// A curve is drawn whatever it costs, unless the user says how much it may.
TEST(CpuBudget, KeepsMainCurves) {
  const ReadingCost curve{.pace = Pace::main_curve(milliseconds(100)), .cpu = milliseconds(3)},
      other{.pace = Pace::relaxed(milliseconds(100)), .cpu = milliseconds(3)};
  const auto kept = periods_within({.cores = 0.01, .keeps_curves = true}, std::vector{curve, other});
  EXPECT_EQ(kept[0], curve_period);
  EXPECT_GT(kept[1], std::chrono::seconds(1));
  const auto thrifty = periods_within({.cores = 0.01}, std::vector{curve, other});
  EXPECT_EQ(thrifty[0], thrifty[1]);
  EXPECT_NEAR(to_seconds(thrifty[0]), 0.6, 1e-3);
  EXPECT_EQ(Pace::main_curve(std::chrono::seconds(2)).curve, std::chrono::seconds(2));
}

TEST(CpuBudget, IsAShareOfTheMachine) {
  const CpuBudget budget = default_cpu_budget();
  EXPECT_TRUE(budget.keeps_curves);
  EXPECT_DOUBLE_EQ(budget.cores, std::max(0.05, 0.005 * usable_cpus()));
  EXPECT_DOUBLE_EQ(parse_cpu_budget("10%", "x").cores, 0.1);
  EXPECT_DOUBLE_EQ(parse_cpu_budget("2", "x").cores, 2);
  EXPECT_FALSE(parse_cpu_budget("60%", "x").keeps_curves);
  EXPECT_THROW(parse_cpu_budget("much", "x"), InputError);
}

// The first readings cost more than others: later ones are so rare that all together keep to the budget.
TEST(CpuBudget, WhatWasOverspentIsSavedAgain) {
  EXPECT_DOUBLE_EQ(budget_left(0.03, milliseconds(200), seconds(10)), 0.027);
  double spent_s = 0.4;
  for (int second = 1; second <= 60; ++second)
    spent_s += std::max(0.0, budget_left(0.03, from_seconds(spent_s), seconds(second)));
  EXPECT_LE(spent_s / 60, 0.03);
  EXPECT_GT(spent_s / 60, 0.025);
  EXPECT_DOUBLE_EQ(budget_left(0.03, seconds(1), seconds(1)), 0.015);
}

TEST(SourceSampler, LostReadingsAreCounted) {
  ManualClock clock;
  auto sampler = sampler_of([] { return Reading::of(std::int64_t{1}); }, clock);
  for (int i = 0; i < 100'000; ++i) {
    clock.sleep_until(sampler.deadline());
    sampler.tick();
  }
  std::int64_t taken = 0;
  Tick tick;
  std::vector<Reading> readings;
  while (sampler.ring().pop(tick, readings)) ++taken;
  EXPECT_GT(sampler.figures().dropped, 0);
  EXPECT_EQ(taken + sampler.figures().dropped, 100'000);
}

// The slow source's reading returns only when the fast one has been read 20 times: if one waited for the other, this
// would never end.
TEST(Sampler, SlowSourceDelaysNoOther) {
  std::mutex mutex;
  std::condition_variable changed;
  int fast = 0;
  bool slow_done = false;
  std::vector<std::unique_ptr<Source>> sources;
  sources.push_back(std::make_unique<FakeSource>("slow", [&] {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return fast >= 20; });
    slow_done = true;
    changed.notify_all();
    return Reading::of(std::int64_t{1});
  }));
  sources.push_back(std::make_unique<FakeSource>("fast", [&] {
    const std::lock_guard lock(mutex);
    ++fast;
    changed.notify_all();
    return Reading::of(std::int64_t{1});
  }));
  Sampler sampler(std::move(sources), {.period = milliseconds(1)});
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return slow_done; });
  }
  sampler.stop();
  EXPECT_GE(fast, 20);
}

// As of a server that answers without an end, or a driver that hangs.
TEST(Sampler, AFirstLookThatHangsHoldsNobodyUp) {
  struct Gate {
    std::mutex mutex{};
    std::condition_variable changed{};
    bool is_open = false;
  };
  class HangingSource : public FakeSource {
   public:
    explicit HangingSource(Gate& gate)
        : FakeSource("hangs", [] { return Reading::of(std::int64_t{1}); }), gate_(gate) {}
    bool discover(const Clock& clock) override {
      std::unique_lock lock(gate_.mutex);
      gate_.changed.wait(lock, [&] { return gate_.is_open; });
      return FakeSource::discover(clock);
    }

   private:
    Gate& gate_;
  };
  Gate gate;
  std::vector<std::unique_ptr<Source>> sources;
  sources.push_back(std::make_unique<HangingSource>(gate));
  sources.push_back(std::make_unique<FakeSource>("other", [] { return Reading::of(std::int64_t{1}); }));
  const auto begin = std::chrono::steady_clock::now();
  Sampler sampler(std::move(sources), {.period = milliseconds(1)});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(4));
  Collector collector(nullptr, 0);
  const auto drain = [&] {
    for (const auto& source : sampler.sources()) collector.drain(*source);
  };
  drain();
  EXPECT_GT(sampler.sources()[1]->figures().ticks, 0);
  EXPECT_TRUE(sampler.sources()[0]->groups().empty());
  while (!sampler.sources()[0]->figures().stuck) std::this_thread::sleep_for(milliseconds(1));
  {
    const std::lock_guard lock(gate.mutex);
    gate.is_open = true;
    gate.changed.notify_all();
  }
  while (!sampler.sources()[0]->has_rows()) std::this_thread::sleep_for(milliseconds(1));
  drain();
  sampler.stop();
}

TEST(Sampler, TooShortAPeriodIsRefused) { EXPECT_THROW(Sampler({}, {.period = Nanoseconds(999'999)}), InputError); }

RC_GTEST_PROP(TickRing, GivesBackWhatItTookInOrder, (const std::vector<std::uint8_t>& sizes)) {
  TickRing ring(512);
  std::int64_t pushed = 0, popped = 0;
  Tick tick;
  std::vector<Reading> readings;
  for (const std::uint8_t size : sizes) {
    const std::vector<Reading> some(size % 8, Reading::of(pushed));
    if (ring.push({.group = pushed, .readings = some.size()}, some)) {
      ++pushed;
      continue;
    }
    RC_ASSERT(ring.pop(tick, readings));
    RC_ASSERT(tick.group == popped++);
    for (const Reading& reading : readings) RC_ASSERT(reading.integer == tick.group && reading.absent == nullptr);
  }
  while (ring.pop(tick, readings)) RC_ASSERT(tick.group == popped++);
  RC_ASSERT(pushed == popped);
}

RC_GTEST_PROP(Histogram, QuantilesAreWithinFivePercent, ()) {
  auto values =
      *rc::gen::nonEmpty(rc::gen::container<std::vector<std::int64_t>>(rc::gen::inRange<std::int64_t>(0, 1LL << 40)));
  Histogram histogram;
  for (const auto value : values) histogram.add(Nanoseconds(value));
  std::sort(values.begin(), values.end());
  for (const double share : {0.0, 0.5, 0.99}) {
    const auto exact = values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
    const auto found = histogram.quantile(share)->count();
    RC_ASSERT(std::abs(found - exact) <= exact / 20 + 1);
  }
  RC_ASSERT(histogram.max() == Nanoseconds(values.back()));
}

// A counter that wraps at 100, and could in 1 s.
Counter wrapping() {
  Counter counter;
  counter.kind = CounterKind::cumulative;
  counter.modulus = 100;
  counter.wrap_time = std::chrono::seconds(1);
  return counter;
}

RC_GTEST_PROP(Unwrapper, FollowsACounterThatIsReadOftenEnough, ()) {
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 51));
  Unwrapper unwrapper(wrapping());
  std::int64_t total = 42;
  Nanoseconds now{0};
  unwrapper.next(Reading::of(total % 100), now, now);
  for (const int step : steps) {
    total += step;
    now += milliseconds(500);
    const auto result = unwrapper.next(Reading::of(total % 100), now, now + milliseconds(1));
    RC_ASSERT(result.unknown == nullptr);
    RC_ASSERT(result.value.integer == total);
  }
}

TEST(Unwrapper, MoreThanTheLinkCarriesIsNoWrap) {
  Unwrapper unwrapper(wrapping());
  unwrapper.next(Reading::of(std::int64_t{90}), Nanoseconds(0), Nanoseconds(1));
  const auto reset = unwrapper.next(Reading::of(std::int64_t{5}), milliseconds(100), milliseconds(101));
  EXPECT_STREQ(reset.unknown, counter_went_back);
  EXPECT_EQ(reset.value.integer, 90);
  EXPECT_EQ(unwrapper.next(Reading::of(std::int64_t{8}), milliseconds(200), milliseconds(201)).value.integer, 93);
  Reading lacking = Reading::of(std::int64_t{10});
  lacking.lost = "why";  // the source knows better
  const auto part = unwrapper.next(lacking, milliseconds(300), milliseconds(301));
  EXPECT_STREQ(part.unknown, "why");
  EXPECT_EQ(part.value.integer, 95);
}

TEST(Unwrapper, WhatCannotBeKnownIsLeftOut) {
  Unwrapper unwrapper(wrapping());
  unwrapper.next(Reading::of(std::int64_t{10}), Nanoseconds(0), Nanoseconds(1));
  const auto late = unwrapper.next(Reading::of(std::int64_t{30}), milliseconds(900), milliseconds(1000));
  EXPECT_NE(late.unknown, nullptr);
  EXPECT_EQ(late.value.integer, 10);
  EXPECT_EQ(late.since, Nanoseconds(0));
  const auto after = unwrapper.next(Reading::of(std::int64_t{35}), milliseconds(1100), milliseconds(1101));
  EXPECT_EQ(after.unknown, nullptr);
  EXPECT_EQ(after.value.integer, 15);

  const auto exact = unwrapper.next(Reading::of(std::int64_t{320}), milliseconds(3000), milliseconds(3001), true);
  EXPECT_EQ(exact.unknown, nullptr);
  EXPECT_EQ(exact.value.integer, 300);

  Counter plain;
  plain.kind = CounterKind::cumulative;
  Unwrapper reset(plain);
  reset.next(Reading::of(std::int64_t{50}), Nanoseconds(0), Nanoseconds(1));
  EXPECT_NE(reset.next(Reading::of(std::int64_t{3}), Nanoseconds(2), Nanoseconds(3)).unknown, nullptr);
}

TEST(Collector, AbsentReadingsAreGapsNotZeros) {
  ManualClock clock;
  int call = 0;
  Counter gauge;
  gauge.is_integer = false;
  TestSampler sampler(std::make_unique<FakeSource>(
                          "fake",
                          [&] {
                            ++call;
                            if (call == 3 || call == 4) return Reading::none("permission refused");
                            return Reading::of(call == 6 ? std::nan("") : 2.0 * call);
                          },
                          gauge),
                      milliseconds(10), clock);
  Collector collector(nullptr, 0);
  for (int i = 0; i < 6; ++i) {
    clock.sleep_until(sampler.deadline());
    sampler.tick();
  }
  collector.drain(sampler);
  collector.commit();
  const auto summary = collector.summaries().at(0);
  EXPECT_EQ(summary.count, 3);
  EXPECT_EQ(summary.absent, 3);
  EXPECT_EQ(summary.min, 2.0);
  EXPECT_DOUBLE_EQ(*summary.mean(), (2.0 + 4 + 10) / 3);
  ASSERT_EQ(summary.gaps.size(), 2U);
  EXPECT_EQ(summary.gaps[0].reason, "permission refused");
  EXPECT_EQ(summary.gaps[0].readings, 2);
  EXPECT_EQ(summary.gaps[1].reason, "not a number");
}

}  // namespace
}  // namespace batchscope
