// Reading /proc/stat: only the CPUs that are ours count.
#include "study/disturbance.h"

#include <gtest/gtest.h>

namespace batchscope {
namespace {

constexpr const char* stat_text =
    "cpu  1000 0 0 0 0 0 0 0 0 0\n"
    "cpu0 100 10 20 5000 7 1 2 3 50 0\n"
    "cpu1 900 0 0 5000 0 0 0 0 0 0\n"
    "intr 1 2 3\n";

TEST(Disturbance, CountsBusyTicksOfOurCpus) {
  const bool first[] = {true, false}, both[] = {true, true}, three[] = {true, true, true}, none[] = {false, false};
  EXPECT_DOUBLE_EQ(parse_busy_seconds(stat_text, first, 2, 100).value(), 1.36);
  EXPECT_DOUBLE_EQ(parse_busy_seconds(stat_text, both, 2, 100).value(), 10.36);
  EXPECT_FALSE(parse_busy_seconds(stat_text, three, 3, 100));
  EXPECT_FALSE(parse_busy_seconds(stat_text, none, 2, 100));
  EXPECT_FALSE(parse_busy_seconds("", first, 2, 100));
}

TEST(Disturbance, AShortTimeSaysNothing) { EXPECT_FALSE(Disturbance().others_share()); }

}  // namespace
}  // namespace batchscope
