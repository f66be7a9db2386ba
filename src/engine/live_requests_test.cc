// Tests of the queue of callers' requests.
#include "engine/live_requests.h"

#include <gtest/gtest.h>

#include <thread>

namespace batchscope {
namespace {

NumberedRequest numbered(std::size_t number, std::size_t prompt) {
  return {.number = number, .request = {.prompt = std::vector<std::int32_t>(prompt, 1), .new_tokens = 1}};
}

std::vector<std::size_t> numbers(const RequestSource::Taken& taken) {
  std::vector<std::size_t> all;
  for (const NumberedRequest& one : taken.admitted) all.push_back(one.number);
  return all;
}

using Numbers = std::vector<std::size_t>;

TEST(LiveRequests, AreTakenInOrderAsFarAsSlotsAndTokensGo) {
  LiveRequests requests({.queue = 5, .prompt_tokens = 6});
  EXPECT_TRUE(requests.submit({numbered(1, 9), numbered(2, 3), numbered(3, 3)}));
  EXPECT_TRUE(requests.submit({numbered(4, 1)}));
  EXPECT_EQ(numbers(requests.take(0, 4, false)), Numbers{1});  // alone, since it is too long for company
  EXPECT_EQ(numbers(requests.take(0, 0, true)), Numbers{});
  EXPECT_EQ(numbers(requests.take(0, 4, true)), (Numbers{2, 3}));
  EXPECT_EQ(requests.waiting(), 1u);
}

TEST(LiveRequests, AQueueThatIsFullTakesAllOrNone) {
  LiveRequests requests({.queue = 2, .prompt_tokens = 6});
  EXPECT_FALSE(requests.submit({numbered(1, 1), numbered(2, 1), numbered(3, 1)}));
  EXPECT_EQ(requests.waiting(), 0u);
  EXPECT_TRUE(requests.submit({numbered(1, 1), numbered(2, 1)}));
  EXPECT_FALSE(requests.submit({numbered(3, 1)}));
}

TEST(LiveRequests, ThoseNobodyWantsLeaveTheQueueOrAreTold) {
  LiveRequests requests({.replicas = 2, .queue = 5, .prompt_tokens = 6});
  requests.submit({numbered(1, 1), numbered(2, 1), numbered(3, 1)});
  EXPECT_EQ(numbers(requests.take(1, 1, false)), Numbers{1});
  requests.cancel(2);
  requests.cancel(1);
  EXPECT_EQ(requests.waiting(), 1u);
  const auto taken = requests.take(1, 0, true);
  EXPECT_EQ(taken.cancelled, Numbers{1});
  EXPECT_TRUE(requests.take(1, 0, true).cancelled.empty());
  EXPECT_EQ(numbers(requests.take(0, 5, false)), Numbers{3});
}

TEST(LiveRequests, WhoeverWaitsIsWokenByARequestAndByTheEnd) {
  LiveRequests requests({.queue = 5, .prompt_tokens = 6});
  std::thread caller([&] { requests.submit({numbered(1, 1)}); });
  EXPECT_EQ(numbers(requests.take(0, 1, false)), Numbers{1});
  caller.join();
  std::thread last([&] { requests.end(); });
  EXPECT_TRUE(requests.take(0, 1, false).has_ended);
  last.join();
  EXPECT_FALSE(requests.submit({numbered(2, 1)}));
}

}  // namespace
}  // namespace batchscope
