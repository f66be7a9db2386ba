// Tests of rank threads: all run, the failure that was the cause is passed on, the team goes on working after it.
#include "engine/team.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <stdexcept>
#include <string>

#include "comm/thread_transport.h"

namespace batchscope {
namespace {

void nothing() {}

TEST(Team, RunsEveryRankOnItsOwnThreadEachTime) {
  Team team(4);
  std::vector<std::thread::id> ids(4), again(4);
  team.run([&](int rank) { ids[static_cast<std::size_t>(rank)] = std::this_thread::get_id(); }, nothing);
  team.run([&](int rank) { again[static_cast<std::size_t>(rank)] = std::this_thread::get_id(); }, nothing);
  EXPECT_EQ(ids, again);
  EXPECT_EQ(std::set<std::thread::id>(ids.begin(), ids.end()).size(), 4u);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), std::this_thread::get_id()), 0);
}

TEST(Team, ManyRunsInARowLoseNone) {
  Team team(3);
  std::atomic<int> runs{0};
  for (int i = 0; i < 500; ++i) team.run([&](int) { ++runs; }, nothing);
  EXPECT_EQ(runs, 1500);
}

// Rank `culprit` throws, the others wait for it through the transport.
std::string failure_of(Team& team, ThreadTransport& transport, int ranks, int culprit) {
  try {
    team.run(
        [&](int rank) {
          if (rank == culprit) throw std::runtime_error("rank " + std::to_string(rank) + " is the cause");
          std::byte byte{};
          transport.take(culprit, rank, &byte, 1);
        },
        [&] { transport.abort(); });
  } catch (const std::exception& error) {
    transport.reset();
    return error.what();
  }
  ADD_FAILURE() << ranks << " ranks ran";
  return "";
}

TEST(Team, TheCauseIsPassedOnWhicheverRankItWas) {
  Team team(4);
  ThreadTransport transport(std::vector<VirtualDeviceCounters*>(4), monotonic_clock());
  for (int round = 0; round < 25; ++round)
    for (int culprit = 0; culprit < 4; ++culprit)
      ASSERT_EQ(failure_of(team, transport, 4, culprit), "rank " + std::to_string(culprit) + " is the cause");
}

TEST(Team, WorksAgainAfterAFailure) {
  Team team(2);
  EXPECT_THROW(team.run([](int) { throw std::runtime_error("both"); }, nothing), std::runtime_error);
  std::atomic<int> runs{0};
  team.run([&](int) { ++runs; }, nothing);
  EXPECT_EQ(runs, 2);
}

TEST(Team, RanksThatOnlyWaitedArePassedOnWhenThereIsNoOtherCause) {
  Team team(2);
  EXPECT_THROW(team.run([](int) { throw PeerFailed(); }, nothing), PeerFailed);
}

TEST(Team, FailedIsCalledForEachThatThrows) {
  Team team(3);
  std::atomic<int> calls{0};
  const auto work = [](int rank) {
    if (rank != 1) throw std::runtime_error("failed");
  };
  EXPECT_THROW(team.run(work, [&] { ++calls; }), std::runtime_error);
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace batchscope
