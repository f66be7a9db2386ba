// Tests of admission, with a clock that moves when told.
#include "engine/admission.h"

#include <gtest/gtest.h>

#include <thread>

#include "engine/generation.h"

namespace batchscope {
namespace {

using std::chrono::milliseconds;

std::vector<GenerateRequest> arriving(const std::vector<int>& at_ms) {
  std::vector<GenerateRequest> requests;
  for (const int ms : at_ms) requests.push_back({.prompt = {1}, .new_tokens = 1, .arrival = milliseconds(ms)});
  return requests;
}

TEST(Admission, TakesWhatHasArrivedInOrderAsFarAsSlotsAreFree) {
  const auto requests = arriving({5, 0, 0, 20, 0, 7});
  ManualClock clock;
  clock.advance(milliseconds(100));
  Admission admission(requests, {0, 1, 2, 3, 4, 5}, clock, clock.now());
  EXPECT_EQ(admission.at(0, 2, false).admitted, (RequestIndices{1, 2}));
  EXPECT_EQ(admission.at(1, 0, true).admitted, RequestIndices{});  // no slot
  EXPECT_EQ(admission.at(2, 1, true).admitted, RequestIndices{4});
  EXPECT_EQ(admission.at(3, 1, true).admitted, RequestIndices{});  // the next is not there yet
  clock.advance(milliseconds(8));
  EXPECT_EQ(admission.at(4, 3, true).admitted, (RequestIndices{0, 5}));
  EXPECT_EQ(admission.at(4, 3, true).time, milliseconds(8));
}

TEST(Admission, WaitsForTheNextArrivalWhereNothingIsActive) {
  const auto requests = arriving({30, 10, 30});
  ManualClock clock;
  Admission admission(requests, {0, 1, 2}, clock, clock.now());
  EXPECT_EQ(admission.at(0, 4, false).admitted, RequestIndices{1});
  EXPECT_EQ(clock.now(), milliseconds(10));
  EXPECT_EQ(admission.at(1, 3, true).admitted, RequestIndices{});
  EXPECT_EQ(clock.now(), milliseconds(10));
  EXPECT_EQ(admission.at(2, 4, false).admitted, (RequestIndices{0, 2}));
  EXPECT_EQ(clock.now(), milliseconds(30));
  EXPECT_EQ(admission.at(3, 4, false).admitted, RequestIndices{});  // all are served
  EXPECT_EQ(clock.now(), milliseconds(30));
}

TEST(Admission, ServesItsReplicaAlone) {
  const auto requests = arriving({0, 0, 0, 0, 0});
  ManualClock clock;
  const Layout layout = Layout::parse("dp2");
  Admission first(requests, requests_of_replica(5, layout, 0), clock, clock.now());
  Admission second(requests, requests_of_replica(5, layout, 1), clock, clock.now());
  EXPECT_EQ(first.at(0, 9, false).admitted, (RequestIndices{0, 2, 4}));
  EXPECT_EQ(second.at(0, 9, false).admitted, (RequestIndices{1, 3}));
}

// Ranks of a replica reach steps at different times and find the same decisions.
TEST(Admission, IsTheSameForEveryRank) {
  std::vector<int> arrivals;
  for (int i = 0; i < 300; ++i) arrivals.push_back(i / 20);
  const auto requests = arriving(arrivals);
  RequestIndices all(requests.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  Admission admission(requests, all, monotonic_clock(), monotonic_clock().now());
  const auto follow = [&] {
    std::vector<RequestIndices> decisions;
    std::size_t served = 0;
    for (std::size_t step = 0; served < requests.size(); ++step) {
      decisions.push_back(admission.at(step, 3, step % 2 == 0).admitted);
      served += decisions.back().size();
    }
    return decisions;
  };
  std::vector<RequestIndices> other;
  std::thread rank([&] { other = follow(); });
  const auto mine = follow();
  rank.join();
  EXPECT_EQ(mine, other);
  RequestIndices served;
  for (const auto& decision : mine) served.insert(served.end(), decision.begin(), decision.end());
  EXPECT_EQ(served, all);
}

}  // namespace
}  // namespace batchscope
