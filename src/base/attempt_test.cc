// Calls that return, that throw, and that never do.
#include "base/attempt.h"

#include <gtest/gtest.h>

#include <memory>

namespace batchscope {
namespace {

TEST(Attempt, GivesWhatTheCallGave) {
  Attempt<std::unique_ptr<int>> attempt([] { return std::make_unique<int>(7); });
  const auto result = attempt.wait_for(std::chrono::seconds(10));
  ASSERT_TRUE(result);
  EXPECT_EQ(**result, 7);
  Attempt<int> failing([]() -> int { throw Failure("no"); });
  EXPECT_THROW(failing.wait_for(std::chrono::seconds(10)), Failure);
}

TEST(Attempt, LeavesBehindWhatDoesNotReturn) {
  auto release = std::make_shared<std::promise<void>>();
  Attempt<int> attempt([release] {
    release->get_future().wait();
    return 1;
  });
  EXPECT_FALSE(attempt.wait_for(std::chrono::milliseconds(100)));
  release->set_value();
  EXPECT_TRUE(attempt.wait_for(std::chrono::seconds(10)));
}

}  // namespace
}  // namespace batchscope
