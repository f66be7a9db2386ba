// Tests of ranks that are processes, over a network of threads with faults: what each says of a lost, doubled or late
// message, that a failure is everybody's, and that work goes on after it.
#include "comm/process_world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "base/error.h"
#include "comm/test_passer.h"

namespace batchscope {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

ProcessPlace place_of(int rank) {
  // Two hosts of two ranks; the first's share their CPUs.
  return {rank < 2 ? "a" : "b", rank < 2 ? "machine a" : "machine b", 100 + rank, "1",
          rank < 2 ? std::vector<int>{0, 1} : std::vector<int>{rank}};
}

// Runs work(world) as each of the processes; what each of them threw, "" for nothing.
std::vector<std::string> run(TestNetwork& network, int processes, const std::function<void(ProcessWorld&)>& work,
                             Nanoseconds time_out = 1min) {
  std::vector<std::string> errors(static_cast<std::size_t>(processes));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < processes; ++rank)
    threads.emplace_back([&, rank] {
      try {
        ProcessWorld world(std::make_unique<TestPasser>(network, rank), place_of(rank), time_out);
        work(world);
      } catch (const std::exception& error) {
        errors[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  for (auto& thread : threads) thread.join();
  return errors;
}

// One message of four bytes round the ring.
void pass_round(ProcessWorld& world, std::int32_t value) {
  const int self = world.first(), right = (self + 1) % world.size(), left = (self + world.size() - 1) % world.size();
  const std::int32_t sent = value + self;
  std::int32_t got = 0;
  world.post(right, reinterpret_cast<const std::byte*>(&sent), sizeof sent);
  EXPECT_EQ(world.take(left, reinterpret_cast<std::byte*>(&got), sizeof got).bytes, 4);
  EXPECT_EQ(world.await_posted(right), 4);
  EXPECT_EQ(got, value + left);
}

TEST(ProcessWorld, KnowsWhoIsWhere) {
  TestNetwork network(4);
  const auto errors = run(network, 4, [](ProcessWorld& world) {
    const int rank = world.first();
    EXPECT_EQ(world.size(), 4);
    EXPECT_EQ(world.device_index(rank), rank % 2);
    EXPECT_EQ(world.cpu_sharers(), rank < 2 ? 2 : 1);
    EXPECT_EQ(world.host(), rank < 2 ? "a" : "b");
    EXPECT_EQ(world.beside(), std::vector<pid_t>{100 + (rank ^ 1)});
    // Their clocks are really one.
    EXPECT_EQ(world.clock_offset().error > 0ns, rank >= 2);
    EXPECT_LE(std::chrono::abs(world.clock_offset().offset), world.clock_offset().error);
  });
  EXPECT_THAT(errors, testing::Each(""));
}

TEST(ProcessWorld, PassesMessagesOfDevicesAndOfHosts) {
  TestNetwork network(3);
  const auto errors = run(network, 3, [](ProcessWorld& world) {
    for (int round = 0; round < 100; ++round)
      world.together([&] {
        pass_round(world, round);
        HostGroup all = world.all_ranks(world.first());
        EXPECT_EQ(all.broadcast(world.first() == 0 ? "go" : ""), "go");
        const auto gathered = all.gather(std::string(static_cast<std::size_t>(world.first()), 'x'));
        EXPECT_EQ(gathered, world.first() > 0 ? std::vector<std::string>() : std::vector<std::string>({"", "x", "xx"}));
        EXPECT_EQ(all.all_gather(std::to_string(world.first())), std::vector<std::string>({"0", "1", "2"}));
      });
  });
  EXPECT_THAT(errors, testing::Each(""));
}

TEST(ProcessWorld, AMessageThatIsLostEndsAllWithBothNames) {
  TestNetwork network(3);
  network.fault(0, 1, 2, Fault::lost);
  const auto begin = monotonic_clock().now();
  const auto errors = run(
      network, 3,
      [](ProcessWorld& world) {
        for (int round = 0; round < 5; ++round) world.together([&] { pass_round(world, round); });
      },
      200ms);
  for (const std::string& error : errors)
    EXPECT_THAT(error, HasSubstr("rank 1 has waited 200.0 ms for message 2 of rank 0: it was lost, or rank 0 hangs"));
  EXPECT_LT(monotonic_clock().now() - begin, 5s);
}

TEST(ProcessWorld, AMessageThatIsLostShowsInTheNextOne) {
  TestNetwork network(2);
  network.fault(0, 1, 2, Fault::lost);
  const auto errors = run(
      network, 2,
      [](ProcessWorld& world) {
        world.together([&] {
          std::int32_t value = 0;
          auto* bytes = reinterpret_cast<std::byte*>(&value);
          for (int i = 0; i < 5; ++i) world.first() == 0 ? world.post(1, bytes, 4) : (void)world.take(0, bytes, 4);
        });
      },
      200ms);
  for (const std::string& error : errors)
    EXPECT_THAT(error,
                HasSubstr("rank 1 expects message 2 of rank 0 and got message 3: a message was lost or doubled"));
}

TEST(ProcessWorld, AMessageThatIsDoubledIsSeen) {
  for (const int which : {1, 4}) {  // 4: the last, behind which nothing comes
    TestNetwork network(3);
    network.fault(2, 0, which, Fault::doubled);
    const auto errors = run(
        network, 3,
        [](ProcessWorld& world) {
          world.together([&] {
            for (int round = 0; round < 5; ++round) pass_round(world, round);
          });
        },
        200ms);
    for (const std::string& error : errors)
      EXPECT_THAT(error, HasSubstr(which == 1 ? "rank 0 expects message 2 of rank 2 and got message 1"
                                              : "rank 0 has got message 4 of rank 2, which was not expected"));
  }
}

TEST(ProcessWorld, AMessageThatIsLateIsWaitedFor) {
  TestNetwork network(2);
  network.fault(0, 1, 1, Fault::late);
  const auto errors = run(network, 2, [&](ProcessWorld& world) {
    const Nanoseconds begin = monotonic_clock().now();
    pass_round(world, 0);  // before rank 0 sends the late one it has heard of this rank, whose clock runs by then
    pass_round(world, 1);
    EXPECT_GE(monotonic_clock().now() - begin, world.first() == 1 ? network.delay : 0ns);
    world.together([] {});
  });
  EXPECT_THAT(errors, testing::Each(""));
}

// As when a device is out of memory: its kind is kept, and the next piece of work finds nothing of this one.
TEST(ProcessWorld, AFailureIsEverybodysAndWorkGoesOn) {
  TestNetwork network(4);
  std::atomic<int> failures{0};
  const auto errors = run(network, 4, [&](ProcessWorld& world) {
    for (int round = 0; round < 20; ++round) {
      try {
        world.together([&] {
          pass_round(world, round);
          if (world.first() == round % 4) throw OutOfMemory("it is full");
          world.all_ranks(world.first()).gather("a message that rank 0 may not take");
          for (int i = 0; i < 3; ++i) pass_round(world, i);
        });
        FAIL() << "a rank has failed";
      } catch (const OutOfMemory& error) {
        ++failures;
        EXPECT_THAT(error.what(), HasSubstr("it is full"));
        const std::string who = "rank " + std::to_string(round % 4) + " on";
        EXPECT_THAT(error.what(), HasSubstr(world.first() == round % 4 ? "" : who));
      }
      world.together([&] { pass_round(world, 1000); });
    }
  });
  EXPECT_EQ(failures, 80);
  EXPECT_THAT(errors, testing::Each(""));
}

// A failure that all have passes through pieces of work that contain it; another one is told.
TEST(ProcessWorld, WorkWithinWorkFailsOnce) {
  TestNetwork network(3);
  const auto errors = run(network, 3, [](ProcessWorld& world) {
    EXPECT_THROW(world.together([&] {
      world.together([&] {
        if (world.first() == 2) throw InputError("no such file");
      });
    }),
                 InputError);
    EXPECT_THROW(world.together([&] {
      try {
        world.together([&] {
          if (world.first() == 1) throw Failure("a cell failed");
        });
      } catch (const Failure&) {
        if (world.first() == 0) throw OutOfMemory("what came of it");
      }
    }),
                 OutOfMemory);
    EXPECT_THROW(world.together([&] {  // before another process's inner work
      if (world.first() == 1) throw TimedOut("too slow");
      world.together([&] { pass_round(world, 0); });
    }),
                 TimedOut);
    world.together([&] { pass_round(world, 7); });
  });
  EXPECT_THAT(errors, testing::Each(""));
}

}  // namespace
}  // namespace batchscope
