// What `doctor` checks, on this machine.
#include "doctor/checks.h"

#include <gtest/gtest.h>

namespace batchscope {
namespace {

TEST(Checks, HaveStableNamesAndReasons) {
  for (const Check& check : run_checks()) {
    EXPECT_FALSE(check.id.empty() || check.what.empty() || check.why.empty()) << check.id;
    EXPECT_EQ(check.present, check.to_do.empty()) << check.id;
    EXPECT_TRUE(check.present || !check.needed) << check.id << ": " << check.why;
  }
}

}  // namespace
}  // namespace batchscope
