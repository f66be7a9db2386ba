// Ticks: round values, few of them, told apart, whatever the range.
#include "report/figure/figure_scale.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <set>

namespace batchscope {
namespace {

using testing::ElementsAre;

std::vector<std::string> labels(const FigureAxis& axis, std::initializer_list<double> values, int most = 7) {
  Extent extent(axis.logarithmic);
  for (const double value : values) extent.add(value);
  std::vector<std::string> texts;
  const Scale scale(axis, extent, most);
  for (const Scale::Tick& tick : scale.ticks()) texts.push_back(tick.label);
  return texts;
}

TEST(Scale, TicksAreRound) {
  EXPECT_THAT(labels({.unit = FigureUnit::seconds}, {1.1, 5.6}), ElementsAre("0", "1", "2", "3", "4", "5", "6"));
  EXPECT_THAT(labels({.unit = FigureUnit::share}, {0.8, 1}, 5),
              ElementsAre("0 %", "20 %", "40 %", "60 %", "80 %", "100 %"));
  EXPECT_THAT(labels({.unit = FigureUnit::bytes}, {3 << 20}, 4), ElementsAre("0", "1 MiB", "2 MiB", "3 MiB", "4 MiB"));
  EXPECT_THAT(labels({.unit = FigureUnit::count, .logarithmic = true}, {1, 64}),
              ElementsAre("1", "2", "4", "8", "16", "32", "64"));
  EXPECT_THAT(labels({.unit = FigureUnit::count, .logarithmic = true}, {1}), ElementsAre("1", "2"));
  EXPECT_THAT(labels({.unit = FigureUnit::milliseconds, .logarithmic = true}, {3, 150}),
              ElementsAre("5", "10", "20", "50", "100"));
  EXPECT_THAT(labels({.unit = FigureUnit::per_s}, {45000}, 3),
              ElementsAre("0", "20\u00a0000", "40\u00a0000", "60\u00a0000"));
  EXPECT_THAT(labels({.unit = FigureUnit::count}, {2}), ElementsAre("0", "1", "2", "3"));  // no half items
}

TEST(Scale, NumbersKeepWhatTellsThemApart) {
  EXPECT_EQ(number_text(0), "0");
  EXPECT_EQ(number_text(1.5), "1.5");
  EXPECT_EQ(number_text(2e6), "2·10⁶");
  EXPECT_EQ(number_text(-1e-12), "-10⁻¹²");
  EXPECT_EQ(number_text(1e300), "10³⁰⁰");
}

TEST(Scale, AnIntervalWithoutEndDoesNotFlattenTheRest) {
  Extent extent(false);
  extent.add(1);
  extent.add(2);
  extent.add_interval(-50, 100);
  extent.add(std::numeric_limits<double>::quiet_NaN());
  extent.add(std::numeric_limits<double>::infinity());
  EXPECT_EQ(extent.bounds().first, 0);
  EXPECT_EQ(extent.bounds().second, 3);
}

RC_GTEST_PROP(Scale, EveryRangeHasTicksInOrderAndApart, ()) {
  FigureAxis axis{.unit = static_cast<FigureUnit>(*rc::gen::inRange(0, 9))};
  axis.logarithmic = *rc::gen::arbitrary<bool>();
  axis.from_zero = *rc::gen::arbitrary<bool>();
  Extent extent(axis.logarithmic);
  std::vector<double> values;
  for (const int exponent : *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(-400, 400))))
    values.push_back((*rc::gen::arbitrary<bool>() ? 1.3 : -1.3) * std::pow(10, exponent));
  for (const double value : values) extent.add(value);
  const Scale scale(axis, extent, 7);
  RC_ASSERT(!scale.ticks().empty());
  RC_ASSERT(scale.ticks().size() <= 40u);
  double last = -1;
  std::set<std::string> texts;
  for (const Scale::Tick& tick : scale.ticks()) {
    const double at = scale.fraction(tick.value);
    RC_ASSERT(at > last - 1e-9 && at >= -1e-6 && at <= 1 + 1e-6);
    RC_ASSERT(tick.label.find("nan") == std::string::npos && tick.label.find("inf") == std::string::npos);
    texts.insert(tick.label);
    last = at;
  }
  RC_ASSERT(texts.size() == scale.ticks().size());
}

}  // namespace
}  // namespace batchscope
