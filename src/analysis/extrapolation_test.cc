// What the whole would have taken, where batches cost exactly what the regression takes for granted, and less exactly.
#include "analysis/extrapolation.h"

#include <gtest/gtest.h>

#include <vector>

namespace batchscope {
namespace {

SampledBatch sampled(std::int64_t tokens, double seconds) { return {tokens, from_seconds(seconds)}; }

TEST(WholeTime, OfBatchesThatCostSoMuchAndSoMuchATokenIsExact) {
  const std::vector<SampledBatch> sample{sampled(400, 0.005 + 400e-5), sampled(300, 0.005 + 300e-5),
                                         sampled(100, 0.005 + 100e-5)};
  const WholeTime whole = whole_time(0.023, sample, 60, 12'000);
  EXPECT_NEAR(whole.seconds, 60 * 0.005 + 12'000 * 1e-5, 1e-6);
  EXPECT_NEAR(*whole.low, whole.seconds, 1e-5);
  // What lies between batches grows with them.
  EXPECT_NEAR(whole_time(0.046, sample, 60, 12'000).seconds, 2 * whole.seconds, 1e-5);
}

TEST(WholeTime, ItsErrorIsThatOfTheBatches) {
  const std::vector<SampledBatch> uneven{sampled(400, 4.4), sampled(300, 2.8), sampled(200, 2.2), sampled(100, 0.9)};
  const WholeTime whole = whole_time(10.3, uneven, 400, 100'000);
  EXPECT_LT(*whole.low, 1000);
  EXPECT_GT(*whole.high, 1000);
  EXPECT_GT(*whole.high - *whole.low, 50);
  const std::vector<SampledBatch> two{sampled(400, 4), sampled(100, 1)};
  EXPECT_FALSE(whole_time(5, two, 40, 10'000).high);
  EXPECT_NEAR(whole_time(5, two, 40, 10'000).seconds, 100, 1);
  const std::vector<SampledBatch> one{sampled(400, 4)};
  EXPECT_NEAR(whole_time(4, one, 10, 4'000).seconds, 40, 1);
}

}  // namespace
}  // namespace batchscope
