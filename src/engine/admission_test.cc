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

std::vector<std::size_t> numbers(const Admission::Decision& decision) {
  std::vector<std::size_t> all;
  for (const NumberedRequest& one : decision.admitted) all.push_back(one.number);
  return all;
}

TEST(Admission, TakesWhatHasArrivedInOrderAsFarAsSlotsAreFree) {
  const auto requests = arriving({5, 0, 0, 20, 0, 7});
  ManualClock clock;
  clock.advance(milliseconds(100));
  ListedRequests source(requests, {0, 1, 2, 3, 4, 5}, clock, clock.now());
  Admission admission(source, 0, clock, clock.now());
  EXPECT_EQ(numbers(admission.next(2, false)), (RequestIndices{1, 2}));
  EXPECT_EQ(numbers(admission.next(0, true)), RequestIndices{});  // no slot
  EXPECT_EQ(numbers(admission.next(1, true)), RequestIndices{4});
  EXPECT_EQ(numbers(admission.next(1, true)), RequestIndices{});  // the next is not there yet
  clock.advance(milliseconds(8));
  const auto decision = admission.next(3, true);
  EXPECT_EQ(numbers(decision), (RequestIndices{0, 5}));
  EXPECT_EQ(decision.time, milliseconds(8));
}

TEST(Admission, WaitsForTheNextArrivalWhereNothingIsActive) {
  const auto requests = arriving({30, 10, 30});
  ManualClock clock;
  ListedRequests source(requests, {0, 1, 2}, clock, clock.now());
  Admission admission(source, 0, clock, clock.now());
  EXPECT_EQ(numbers(admission.next(4, false)), RequestIndices{1});
  EXPECT_EQ(clock.now(), milliseconds(10));
  EXPECT_EQ(numbers(admission.next(3, true)), RequestIndices{});
  EXPECT_EQ(clock.now(), milliseconds(10));
  EXPECT_EQ(numbers(admission.next(4, false)), (RequestIndices{0, 2}));
  EXPECT_EQ(clock.now(), milliseconds(30));
  const auto last = admission.next(4, false);
  EXPECT_EQ(numbers(last), RequestIndices{});
  EXPECT_TRUE(last.has_ended);
  EXPECT_EQ(clock.now(), milliseconds(30));
}

TEST(Admission, ServesItsReplicaAlone) {
  const auto requests = arriving({0, 0, 0, 0, 0});
  ManualClock clock;
  const Layout layout = Layout::parse("dp2");
  ListedRequests of_first(requests, requests_of_replica(5, layout, 0), clock, clock.now());
  ListedRequests of_second(requests, requests_of_replica(5, layout, 1), clock, clock.now());
  Admission first(of_first, 0, clock, clock.now()), second(of_second, 1, clock, clock.now());
  EXPECT_EQ(numbers(first.next(9, false)), (RequestIndices{0, 2, 4}));
  EXPECT_EQ(numbers(second.next(9, false)), (RequestIndices{1, 3}));
}

// The first rank of a replica decides, the others are told.
TEST(Admission, IsTheSameForEveryRank) {
  std::vector<int> arrivals;
  for (int i = 0; i < 300; ++i) arrivals.push_back(i / 20);
  const auto requests = arriving(arrivals);
  RequestIndices all(requests.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  constexpr int ranks = 3;
  ThreadMessages messages(ranks);
  const Nanoseconds begin = monotonic_clock().now();
  std::vector<std::vector<RequestIndices>> decisions(ranks);
  const auto follow = [&](int rank) {
    ListedRequests source(requests, all, monotonic_clock(), begin);
    Admission admission(source, 0, monotonic_clock(), begin, HostGroup({0, 1, 2}, rank, messages));
    std::size_t served = 0;
    for (std::size_t step = 0; served < requests.size(); ++step) {
      auto& mine = decisions[static_cast<std::size_t>(rank)];
      mine.push_back(numbers(admission.next(3, step % 2 == 0)));
      served += mine.back().size();
    }
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(follow, rank);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(decisions[1], decisions[0]);
  EXPECT_EQ(decisions[2], decisions[0]);
  RequestIndices served;
  for (const auto& decision : decisions[0]) served.insert(served.end(), decision.begin(), decision.end());
  EXPECT_EQ(served, all);
}

// Whatever a request says, the others hear it as it is.
TEST(Admission, TellsEverythingOfARequest) {
  struct One : RequestSource {
    Taken taken;
    Taken take(std::size_t, std::size_t, bool) override { return taken; }
  } source;
  source.taken = {
      .admitted = {{.number = 7,
                    .request = {.prompt = {1, 70000},
                                .new_tokens = 5,
                                .arrival = milliseconds(3),
                                .min_new_tokens = 2,
                                .stop_at_eos = false,
                                .log_probabilities = true,
                                .prompt_log_probabilities = true,
                                .sampling = {.temperature = 0.1, .top_p = 0.7, .seed = ~0ull, .sequence = 4}}}},
      .cancelled = {3, 9},
      .has_ended = true};
  ThreadMessages messages(2);
  ManualClock clock;
  Admission first(source, 0, clock, clock.now(), HostGroup({0, 1}, 0, messages));
  Admission second(source, 0, clock, clock.now(), HostGroup({0, 1}, 1, messages));
  first.next(1, false);
  const auto told = second.next(1, false);
  ASSERT_EQ(told.admitted.size(), 1u);
  EXPECT_EQ(told.admitted[0].number, 7u);
  EXPECT_EQ(told.admitted[0].request, source.taken.admitted[0].request);
  EXPECT_EQ(told.cancelled, source.taken.cancelled);
  EXPECT_TRUE(told.has_ended);
}

}  // namespace
}  // namespace batchscope
