// What headers say.
#include "http/message.h"

#include <gtest/gtest.h>

#include <string>

namespace batchscope::http {
namespace {

TEST(RetryAfter, IsInWholeSeconds) {
  const auto asked = [](const std::string& value) { return retry_after({{"retry-after", value}}); };
  EXPECT_EQ(asked("0"), std::chrono::seconds(0));
  EXPECT_EQ(asked("120"), std::chrono::seconds(120));
  for (const char* other : {"", "-1", "1.5", "2 s", "99999999999", "Fri, 31 Dec 1999 23:59:59 GMT"})
    EXPECT_FALSE(asked(other)) << other;
  EXPECT_FALSE(retry_after({}));
}

}  // namespace
}  // namespace batchscope::http
