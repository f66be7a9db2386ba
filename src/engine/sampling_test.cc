// Tests of draws by counter.
#include "engine/sampling.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

#include "base/error.h"

namespace batchscope {
namespace {

TEST(Sampling, DrawsDependOnSeedRequestAndPosition) {
  const Sampling sampling{.temperature = 0.5, .top_p = 0.9, .seed = 7};
  const TokenDraw draw = draw_of(sampling, 20);
  EXPECT_EQ(draw.temperature, 0.5);
  EXPECT_EQ(draw.top_p, 0.9);
  EXPECT_EQ(draw.uniform, draw_of(sampling, 20).uniform);
  std::set<double> all;
  for (const std::uint64_t seed : {0, 1, 2})
    for (std::size_t request = 0; request < 30; ++request)
      for (std::int64_t position = 0; position < 30; ++position)
        all.insert(draw_of({.seed = seed, .sequence = request}, position).uniform);
  EXPECT_EQ(all.size(), 3u * 30 * 30);
}

TEST(Sampling, DrawsAreUniform) {
  constexpr int bins = 20, draws = 20000;
  std::array<int, bins> counts{};
  for (int i = 0; i < draws; ++i) {
    const double uniform = draw_of({.seed = 1, .sequence = static_cast<std::uint64_t>(i % 50)}, i / 50).uniform;
    ASSERT_GE(uniform, 0);
    ASSERT_LT(uniform, 1);
    ++counts[static_cast<std::size_t>(uniform * bins)];
  }
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - draws / bins) * (count - draws / bins) / (1.0 * draws / bins);
  EXPECT_LT(chi_square, 43.8);  // the 99.9 % point with 19 degrees of freedom
}

TEST(Sampling, RefusesWhatIsNoTemperatureAndNoShare) {
  EXPECT_EQ(parse_temperature("0", "--temperature"), 0);
  EXPECT_EQ(parse_temperature("1.5", "--temperature"), 1.5);
  for (const char* bad : {"", "-1", "nan", "inf", "1e", "hot", "1,5"})
    EXPECT_THROW(parse_temperature(bad, "--temperature"), InputError) << bad;
  EXPECT_EQ(parse_top_p("1", "--top-p"), 1);
  EXPECT_EQ(parse_top_p("0.05", "--top-p"), 0.05);
  for (const char* bad : {"", "0", "-0.5", "1.01", "nan", "90%"})
    EXPECT_THROW(parse_top_p(bad, "--top-p"), InputError) << bad;
}

}  // namespace
}  // namespace batchscope
