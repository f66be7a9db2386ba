// Sums over an interval, against counters whose course is known.
#include "telemetry/summary/phase_sums.h"

#include <gtest/gtest.h>

namespace batchscope {
namespace {

constexpr Nanoseconds ms(std::int64_t count) { return std::chrono::milliseconds(count); }

// 100 a second from 1 s to 3 s, and nothing else; read every `period`, first `offset` after 0.
SampleSeries counter(Nanoseconds period, Nanoseconds offset, Nanoseconds until = ms(4000)) {
  SampleSeries series;
  for (Nanoseconds t = offset; t <= until; t += period) {
    series.before.push_back(t - ms(1));
    series.after.push_back(t + ms(1));
    series.reals.push_back(5000 + 100 * std::clamp(to_seconds(t) - 1, 0.0, 2.0));
  }
  return series;
}

TEST(PhaseSums, GrowEvenlyBetweenReadings) {
  for (const std::int64_t period : {10, 40})
    for (const std::int64_t offset : {0, 3, 9}) {
      const SampleSeries series = counter(ms(period), ms(offset));
      EXPECT_NEAR(increase_over(series, {}, ms(1000), ms(3000)).value(), 200, 200 * largest_sum_error);
      EXPECT_NEAR(increase_over(series, {}, ms(1500), ms(2500)).value(), 100, 0.01);  // within the steady part
    }
}

TEST(PhaseSums, AreAbsentRatherThanGuessed) {
  const SampleSeries series = counter(ms(100), ms(0), ms(2000));
  EXPECT_FALSE(increase_over(series, {}, ms(1000), ms(2100)));  // the last reading lies before its end
  EXPECT_FALSE(increase_over(counter(ms(100), ms(50)), {}, ms(0), ms(2000)));
  EXPECT_FALSE(increase_over(counter(ms(1000), ms(0)), {}, ms(1400), ms(1500)));  // a tenth of one step
  EXPECT_FALSE(increase_over({}, {}, ms(0), ms(1)));
  const GapRecord unknown{.begin = ms(1600), .end = ms(1700)}, before{.begin = ms(100), .end = ms(200)};
  EXPECT_FALSE(increase_over(series, {&unknown, 1}, ms(1000), ms(2000)));
  EXPECT_TRUE(increase_over(series, {&before, 1}, ms(1000), ms(2000)));
  // Of a counter that stands still it is known that nothing went.
  EXPECT_EQ(increase_over(series, {}, ms(200), ms(700)), 0.0);
}

TEST(PhaseSums, MeansWeighReadingsByTheirTime) {
  SampleSeries series;
  for (const auto& [at, value] : {std::pair(0, 9.0), {1000, 0.0}, {1500, 1.0}, {3000, 0.5}, {4000, 0.7}}) {
    series.before.push_back(ms(at));
    series.after.push_back(ms(at));
    series.reals.push_back(value);
  }
  EXPECT_NEAR(mean_over(series, ms(1000), ms(2000)).value(), (0.5 * 1 + 0.5 * 0.5) / 1, 1e-9);
  EXPECT_NEAR(mean_over(series, ms(3000), ms(5000)).value(), 0.7, 1e-9);
  EXPECT_FALSE(mean_over(series, ms(5000), ms(6000)));
}

}  // namespace
}  // namespace batchscope
