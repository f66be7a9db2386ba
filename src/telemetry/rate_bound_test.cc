// What rates say of a time in which a counter was not read; and what a recording makes of that.
#include "telemetry/rate_bound.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "telemetry/collector.h"

namespace batchscope {
namespace {

using std::chrono::milliseconds;

Counter rate_counter() {
  Counter counter;
  counter.name = "bytes_per_second";
  counter.unit = "bytes per second";
  counter.device = "gpu:0";
  counter.kind = CounterKind::window;
  counter.is_integer = false;
  counter.refresh = milliseconds(100);
  counter.rate_of = "bytes_total";
  return counter;
}

RateBound bound_of(double rate, int readings) {
  RateBound bound(rate_counter());
  for (int i = 0; i < readings; ++i) bound.add(Reading::of(rate), milliseconds(100 * i));
  return bound;
}

TEST(RateBound, IsAtLeastWhatWentAtASteadyRate) {
  const RateBound bound = bound_of(1000, 20);
  const auto most = bound.most_within(milliseconds(500), milliseconds(700));
  ASSERT_TRUE(most);
  EXPECT_GT(*most, 1000 * 0.2);
  EXPECT_LT(*most, 1000 * 2);
}

// A burst shows one to two periods after it went.
TEST(RateBound, CountsWhatShowsLate) {
  RateBound bound(rate_counter());
  for (int i = 0; i < 10; ++i) bound.add(Reading::of(i == 5 ? 1e6 : 0.0), milliseconds(100 * i));
  for (const int begin : {210, 310}) {
    const auto most = bound.most_within(milliseconds(begin), milliseconds(begin + 90));
    ASSERT_TRUE(most);
    EXPECT_GT(*most, 1e5) << begin;
  }
  EXPECT_EQ(*bound.most_within(milliseconds(510), milliseconds(600)), 0);
}

TEST(RateBound, SaysNothingOfWhatItsReadingsDoNotEnclose) {
  EXPECT_FALSE(bound_of(0, 20).most_within(milliseconds(-1), milliseconds(100)));
  EXPECT_FALSE(bound_of(0, 20).most_within(milliseconds(500), milliseconds(1701)));
  EXPECT_TRUE(bound_of(0, 20).most_within(milliseconds(500), milliseconds(1700)));
  EXPECT_FALSE(bound_of(0, 0).has_passed(milliseconds(0)));
  EXPECT_FALSE(bound_of(0, 3).has_passed(milliseconds(1)));
  EXPECT_TRUE(bound_of(0, 3).has_passed(milliseconds(0)));
}

TEST(RateBound, AnAbsentReadingEndsIt) {
  RateBound bound = bound_of(0, 10);
  bound.add(Reading::none("refused"), milliseconds(1000));
  for (int i = 11; i < 20; ++i) bound.add(Reading::of(0.0), milliseconds(100 * i));
  EXPECT_FALSE(bound.most_within(milliseconds(500), milliseconds(600)));
  EXPECT_FALSE(bound.most_within(milliseconds(1050), milliseconds(1200)));
  EXPECT_TRUE(bound.most_within(milliseconds(1100), milliseconds(1200)));
}

// A counter that wraps at 1000, in the same rows as its rate; both are what the test says.
class LinkSource : public Source {
 public:
  LinkSource() {
    Counter counter;
    counter.name = "bytes_total";
    counter.unit = "bytes";
    counter.device = "gpu:0";
    counter.kind = CounterKind::cumulative;
    counter.modulus = 1000;
    counter.wrap_time = milliseconds(150);
    groups_.push_back({.id = 1, .counters = {counter}});
    groups_.push_back({.id = 2, .counters = {rate_counter()}});
  }
  std::string name() const override { return "link"; }
  bool discover(const Clock&) override { return std::exchange(fresh_, false); }
  const std::vector<CounterGroup>& groups() const override { return groups_; }
  void read(std::size_t group, Rows& rows) override {
    rows.add_now([&](std::span<Reading> out) {
      out[0] = group == 0 ? Reading::of(total % 1000) : std::isnan(rate) ? Reading::none("refused") : Reading::of(rate);
    });
  }

  std::int64_t total = 0;
  double rate = 0;

 private:
  bool fresh_ = true;
  std::vector<CounterGroup> groups_;
};

struct GapRun {
  ManualClock clock;
  LinkSource* source = new LinkSource;
  SourceSampler sampler{std::unique_ptr<Source>(source), milliseconds(100), clock};
  Collector collector{nullptr, 0};

  void tick(int times, std::int64_t bytes) {
    for (int i = 0; i < times; ++i) {
      clock.sleep_until(sampler.deadline());
      source->total += bytes;
      sampler.tick();
      collector.drain(sampler);
      collector.commit();
    }
  }
  // Half a second in which nothing could be read and `bytes` went, as the rates say, or not.
  CounterSummary over_a_gap(std::int64_t bytes, double rate) {
    tick(10, 10);
    clock.advance(milliseconds(500));
    source->rate = rate;
    tick(1, bytes);
    source->rate = 0;
    tick(10, 10);
    return collector.summaries().at(0);
  }
};

TEST(CollectorGaps, AnIncreaseIsKnownWhereTheRateLeavesNoRoomForAWrap) {
  GapRun run;
  const CounterSummary summary = run.over_a_gap(300, 100);
  EXPECT_TRUE(summary.total_is_complete());
  EXPECT_EQ(*summary.total(), 9 * 10 + 300 + 10 * 10);
  EXPECT_TRUE(summary.gaps.empty());
}

TEST(CollectorGaps, AnIncreaseStaysUnknownWhereItMayHaveWrapped) {
  GapRun run;
  const CounterSummary summary = run.over_a_gap(2300, 5000);
  EXPECT_FALSE(summary.total_is_complete());
  EXPECT_EQ(*summary.total(), 9 * 10 + 10 * 10);
}

TEST(CollectorGaps, WithoutARateItStaysUnknown) {
  GapRun run;
  const CounterSummary summary = run.over_a_gap(300, std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(summary.total_is_complete());
}

TEST(CollectorGaps, ALongGapStaysUnknown) {
  GapRun run;
  run.tick(10, 10);
  run.clock.advance(std::chrono::seconds(2));
  run.tick(10, 10);
  EXPECT_FALSE(run.collector.summaries().at(0).total_is_complete());
}

}  // namespace
}  // namespace batchscope
