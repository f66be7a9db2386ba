// Tests of the transport of threads: failures wake those who wait, links are paced to the nanosecond of an injected clock.
#include "comm/thread_transport.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "base/error.h"

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
void pass(ThreadTransport& transport, int from, int to, std::int64_t size) {
  const Message sent(size, 42);
  Message got(size);
  transport.post(from, to, sent.bytes.data(), size);
  transport.take(from, to, got.bytes.data(), size);
  transport.await_taken(from, to);
  EXPECT_EQ(got.bytes, sent.bytes);
}

TEST(ThreadTransport, CopiesAndCountsAtBothEnds) {
  VirtualDevicePage page(2);
  ThreadTransport transport({&page.device(0), &page.device(1)}, monotonic_clock());
  pass(transport, 0, 1, 1000);
  pass(transport, 1, 0, 7);
  pass(transport, 0, 1, 0);
  EXPECT_EQ(page.device(0).link_tx_bytes, 1000);
  EXPECT_EQ(page.device(0).link_rx_bytes, 7);
  EXPECT_EQ(page.device(1).link_tx_bytes, 7);
  EXPECT_EQ(page.device(1).link_rx_bytes, 1000);
}

TEST(ThreadTransport, ALargeMessageTakesItsTimeExactly) {
  SharedClock clock;
  ThreadTransport transport({nullptr, nullptr}, clock);
  transport.set_link({.bytes_per_second = 1e9, .latency = 5us});
  pass(transport, 0, 1, 1'000'000);
  EXPECT_EQ(clock.now(), 1ms + 5us);
  pass(transport, 0, 1, 2'000'000);
  EXPECT_EQ(clock.now(), 3ms + 10us);
}

TEST(ThreadTransport, SmallMessagesAreDebtThatIsSleptOffInOnePiece) {
  SharedClock clock;
  ThreadTransport transport({nullptr, nullptr}, clock);
  transport.set_link({.bytes_per_second = 1e9, .latency = 5us});
  for (int i = 0; i < 20; ++i) pass(transport, 0, 1, 10'000);  // 15 us each
  EXPECT_EQ(clock.sleeps(), 0);                             // 300 us is not yet too much
  pass(transport, 0, 1, 10'000);
  EXPECT_EQ(clock.sleeps(), 1);
  EXPECT_EQ(clock.now(), 21 * 15us);
}

TEST(ThreadTransport, EachReceiversLinkIsItsOwn) {
  SharedClock clock;
  ThreadTransport transport({nullptr, nullptr, nullptr}, clock);
  transport.set_link({.bytes_per_second = 1e9});
  pass(transport, 0, 1, 200'000);
  pass(transport, 0, 2, 200'000);
  EXPECT_EQ(clock.now(), 0us);  // one link with 400 us to carry would have slept
  pass(transport, 2, 1, 200'000);
  EXPECT_EQ(clock.now(), 400us);
}

TEST(ThreadTransport, UnpacedAndEmptyMessagesTakeNoTime) {
  SharedClock clock;
  ThreadTransport transport({nullptr, nullptr}, clock);
  pass(transport, 0, 1, 1'000'000);
  transport.set_link({.bytes_per_second = 1, .latency = 1s});
  pass(transport, 0, 1, 0);
  EXPECT_EQ(clock.now(), 0s);
}

TEST(ThreadTransport, ManyThreadsArePacedToTheSlowestLinksTotal) {
  SharedClock clock;
  constexpr int ranks = 4, messages = 10;
  ThreadTransport transport({nullptr, nullptr, nullptr, nullptr}, clock);
  transport.set_link({.bytes_per_second = 1e9});
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] {
      const Message sent(500'000, rank);
      Message got(500'000);
      for (int i = 0; i < messages; ++i) {
        transport.post(rank, (rank + 1) % ranks, sent.bytes.data(), sent.size());
        transport.take((rank + ranks - 1) % ranks, rank, got.bytes.data(), got.size());
        transport.await_taken(rank, (rank + 1) % ranks);
      }
    });
  for (auto& thread : threads) thread.join();
  // In step, 5 ms; a rank that comes late finds its link idle and begins anew, but no later than the steps before it.
  EXPECT_GE(clock.now(), 5ms);
  EXPECT_LE(clock.now(), ranks * 5ms);
}

TEST(ThreadTransport, AFailedRankWakesAllWhoWaitAndResetHeals) {
  ThreadTransport transport({nullptr, nullptr, nullptr}, monotonic_clock());
  const Message sent(8, 1);
  Message got(8);
  std::atomic<int> woken{0};
  transport.post(2, 0, sent.bytes.data(), 8);  // which nobody takes
  std::thread receiver([&] {
    EXPECT_THROW(transport.take(0, 1, got.bytes.data(), 8), PeerFailed);
    ++woken;
  });
  std::thread sender([&] {
    EXPECT_THROW(transport.await_taken(2, 0), PeerFailed);
    ++woken;
  });
  transport.abort();
  receiver.join();
  sender.join();
  EXPECT_EQ(woken, 2);
  EXPECT_THROW(transport.post(0, 1, sent.bytes.data(), 8), PeerFailed);
  transport.reset();
  pass(transport, 0, 1, 8);
  pass(transport, 2, 0, 8);
  pass(transport, 0, 2, 8);
}

TEST(ThreadTransport, SizesThatDisagreeAreNamed) {
  ThreadTransport transport({nullptr, nullptr}, monotonic_clock());
  const Message sent(8);
  Message got(8);
  transport.post(0, 1, sent.bytes.data(), 8);
  EXPECT_THROW(transport.post(0, 1, sent.bytes.data(), 8), std::logic_error);
  EXPECT_THROW(transport.take(0, 1, got.bytes.data(), 4), Failure);
}

}  // namespace
}  // namespace batchscope
