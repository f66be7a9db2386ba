// Tests of the fabric: failures wake those who wait, links are paced to the nanosecond of an injected clock.
#include "comm/fabric.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

namespace batchscope {
namespace {

using namespace std::chrono_literals;

// Moves only when slept on; any thread may.
class SharedClock : public Clock {
 public:
  Nanoseconds now() const override { return Nanoseconds(now_.load()); }
  void sleep_until(Nanoseconds deadline) override {
    sleeps_ += 1;
    std::int64_t now = now_;
    while (now < deadline.count() && !now_.compare_exchange_weak(now, deadline.count())) {
    }
  }
  Nanoseconds unix_now() const override { return now(); }
  int sleeps() const { return sleeps_; }

 private:
  std::atomic<std::int64_t> now_{0};
  std::atomic<int> sleeps_{0};
};

struct Message {
  std::vector<std::byte> bytes;
  explicit Message(std::int64_t size, int value = 0)
      : bytes(static_cast<std::size_t>(size), static_cast<std::byte>(value)) {}
  std::int64_t size() const { return static_cast<std::int64_t>(bytes.size()); }
};

// One message from a rank to another, both ends in this thread.
void pass(Fabric& fabric, int from, int to, std::int64_t size) {
  const Message sent(size, 42);
  Message got(size);
  fabric.post(from, to, sent.bytes.data(), size);
  fabric.take(from, to, got.bytes.data(), size);
  fabric.await_taken(from, to);
  EXPECT_EQ(got.bytes, sent.bytes);
}

TEST(Fabric, CopiesAndCountsAtBothEnds) {
  VirtualDevicePage page(2);
  Fabric fabric({&page.device(0), &page.device(1)}, monotonic_clock());
  pass(fabric, 0, 1, 1000);
  pass(fabric, 1, 0, 7);
  pass(fabric, 0, 1, 0);
  EXPECT_EQ(page.device(0).link_tx_bytes, 1000);
  EXPECT_EQ(page.device(0).link_rx_bytes, 7);
  EXPECT_EQ(page.device(1).link_tx_bytes, 7);
  EXPECT_EQ(page.device(1).link_rx_bytes, 1000);
}

TEST(Fabric, ALargeMessageTakesItsTimeExactly) {
  SharedClock clock;
  Fabric fabric({nullptr, nullptr}, clock);
  fabric.set_link({.bytes_per_second = 1e9, .latency = 5us});
  pass(fabric, 0, 1, 1'000'000);
  EXPECT_EQ(clock.now(), 1ms + 5us);
  pass(fabric, 0, 1, 2'000'000);
  EXPECT_EQ(clock.now(), 3ms + 10us);
}

TEST(Fabric, SmallMessagesAreDebtThatIsSleptOffInOnePiece) {
  SharedClock clock;
  Fabric fabric({nullptr, nullptr}, clock);
  fabric.set_link({.bytes_per_second = 1e9, .latency = 5us});
  for (int i = 0; i < 20; ++i) pass(fabric, 0, 1, 10'000);  // 15 us each
  EXPECT_EQ(clock.sleeps(), 0);                             // 300 us is not yet too much
  pass(fabric, 0, 1, 10'000);
  EXPECT_EQ(clock.sleeps(), 1);
  EXPECT_EQ(clock.now(), 21 * 15us);
}

TEST(Fabric, EachReceiversLinkIsItsOwn) {
  SharedClock clock;
  Fabric fabric({nullptr, nullptr, nullptr}, clock);
  fabric.set_link({.bytes_per_second = 1e9});
  pass(fabric, 0, 1, 200'000);
  pass(fabric, 0, 2, 200'000);
  EXPECT_EQ(clock.now(), 0us);  // one link with 400 us to carry would have slept
  pass(fabric, 2, 1, 200'000);
  EXPECT_EQ(clock.now(), 400us);
}

TEST(Fabric, UnpacedAndEmptyMessagesTakeNoTime) {
  SharedClock clock;
  Fabric fabric({nullptr, nullptr}, clock);
  pass(fabric, 0, 1, 1'000'000);
  fabric.set_link({.bytes_per_second = 1, .latency = 1s});
  pass(fabric, 0, 1, 0);
  EXPECT_EQ(clock.now(), 0s);
}

TEST(Fabric, ManyThreadsArePacedToTheSlowestLinksTotal) {
  SharedClock clock;
  constexpr int ranks = 4, messages = 10;
  Fabric fabric({nullptr, nullptr, nullptr, nullptr}, clock);
  fabric.set_link({.bytes_per_second = 1e9});
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] {
      const Message sent(500'000, rank);
      Message got(500'000);
      for (int i = 0; i < messages; ++i) {
        fabric.post(rank, (rank + 1) % ranks, sent.bytes.data(), sent.size());
        fabric.take((rank + ranks - 1) % ranks, rank, got.bytes.data(), got.size());
        fabric.await_taken(rank, (rank + 1) % ranks);
      }
    });
  for (auto& thread : threads) thread.join();
  // In step, 5 ms; a rank that comes late finds its link idle and begins anew, but no later than the steps before it.
  EXPECT_GE(clock.now(), 5ms);
  EXPECT_LE(clock.now(), ranks * 5ms);
}

TEST(Fabric, AFailedRankWakesAllWhoWaitAndResetHeals) {
  Fabric fabric({nullptr, nullptr, nullptr}, monotonic_clock());
  const Message sent(8, 1);
  Message got(8);
  std::atomic<int> woken{0};
  fabric.post(2, 0, sent.bytes.data(), 8);  // which nobody takes
  std::thread receiver([&] {
    EXPECT_THROW(fabric.take(0, 1, got.bytes.data(), 8), PeerFailed);
    ++woken;
  });
  std::thread sender([&] {
    EXPECT_THROW(fabric.await_taken(2, 0), PeerFailed);
    ++woken;
  });
  fabric.abort();
  receiver.join();
  sender.join();
  EXPECT_EQ(woken, 2);
  EXPECT_THROW(fabric.post(0, 1, sent.bytes.data(), 8), PeerFailed);
  fabric.reset();
  pass(fabric, 0, 1, 8);
  pass(fabric, 2, 0, 8);
  pass(fabric, 0, 2, 8);
}

TEST(Fabric, SizesThatDisagreeAreADefect) {
  Fabric fabric({nullptr, nullptr}, monotonic_clock());
  const Message sent(8);
  Message got(8);
  fabric.post(0, 1, sent.bytes.data(), 8);
  EXPECT_THROW(fabric.post(0, 1, sent.bytes.data(), 8), std::logic_error);
  EXPECT_THROW(fabric.take(0, 1, got.bytes.data(), 4), std::logic_error);
}

}  // namespace
}  // namespace batchscope
