// Tests of collectives with N threads in one process: results, the same bits on every rank, every byte accounted for.
#include "comm/ring_communicator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "comm/thread_transport.h"
#include "device/plan/plan_device.h"
#include "ops/elementwise.h"
#include "ops/norm.h"
#include "ops/test_device.h"

namespace batchscope {
namespace {

// A rank as the test sees it: its device, and its end of the communicator.
struct TestRank {
  TestDevice device;
  Ledger ledger;
  CommunicationTime time;
  std::optional<RingCommunicator> comm;
};

class Ranks {
 public:
  explicit Ranks(int n) : page_(n), transport_(counters(n), monotonic_clock()), ranks_(static_cast<std::size_t>(n)) {
    std::vector<int> members;
    for (int i = 0; i < n; ++i) members.push_back(i);
    for (int i = 0; i < n; ++i) {
      TestRank& r = rank(i);
      r.comm.emplace(members, i, *r.device, r.ledger, &transport_, r.time);
    }
  }
  // Runs work(rank, i) on a thread each.
  void run(const std::function<void(TestRank&, int)>& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < size(); ++i) threads.emplace_back([&, i] { work(rank(i), i); });
    for (auto& thread : threads) thread.join();
  }
  TestRank& rank(int i) { return ranks_[static_cast<std::size_t>(i)]; }
  int size() const { return static_cast<int>(ranks_.size()); }
  ThreadTransport& transport() { return transport_; }

  // Predicted = counted = the counters page, per rank, to the byte; returns the bytes sent by all.
  std::int64_t expect_closed_ledger() {
    std::int64_t all_tx = 0, all_rx = 0;
    for (int i = 0; i < size(); ++i) {
      std::int64_t tx = 0, rx = 0;
      for (const LedgerEntry& entry : rank(i).ledger.entries()) {
        EXPECT_EQ(entry.rank, i);
        EXPECT_EQ(entry.predicted_tx_bytes, entry.counted_tx_bytes) << entry.collective << " of rank " << i;
        EXPECT_EQ(entry.predicted_rx_bytes, entry.counted_rx_bytes) << entry.collective << " of rank " << i;
        tx += entry.counted_tx_bytes.value();
        rx += entry.counted_rx_bytes.value();
      }
      EXPECT_EQ(page_.device(i).link_tx_bytes, tx) << "rank " << i;
      EXPECT_EQ(page_.device(i).link_rx_bytes, rx) << "rank " << i;
      all_tx += tx;
      all_rx += rx;
    }
    EXPECT_EQ(all_tx, all_rx);
    return all_tx;
  }

 private:
  std::vector<VirtualDeviceCounters*> counters(int n) {
    std::vector<VirtualDeviceCounters*> all;
    for (int i = 0; i < n; ++i) all.push_back(&page_.device(i));
    return all;
  }

  VirtualDevicePage page_;
  ThreadTransport transport_;
  std::vector<TestRank> ranks_;
};

// Different on every rank, and small whole numbers: sums are exact in both dtypes.
Tensor whole_numbers(TestRank& r, int rank, DType dtype, std::int64_t rows, std::int64_t columns) {
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>((static_cast<int>(i) * 7 + rank * 3) % 11 - 5);
  return r.device.floats(dtype, rows, columns, values);
}

// Calls body(ranks, n, dtype, columns) for group sizes 1 to 8 and payloads even, uneven, smaller than the group, none.
template <class Body>
void for_each_group(const Body& body) {
  for (int n = 1; n <= 8; ++n)
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const std::int64_t columns : {0, 1, 5, 24, 37}) {
        SCOPED_TRACE(testing::Message() << n << " ranks, " << name_of(dtype) << ", " << columns << " columns");
        Ranks ranks(n);
        body(ranks, n, dtype, columns);
      }
}

Matrix reduced(Ranks& ranks, const std::vector<Tensor>& parts, Reduce reduce) {
  Matrix out = ranks.rank(0).device.read(parts[0]);
  for (int i = 1; i < ranks.size(); ++i) {
    const Matrix part = ranks.rank(i).device.read(parts[static_cast<std::size_t>(i)]);
    for (std::size_t at = 0; at < out.values.size(); ++at)
      out.values[at] =
          reduce == Reduce::sum ? out.values[at] + part.values[at] : std::max(out.values[at], part.values[at]);
  }
  return out;
}

TEST(Communicator, AllReduceGivesEveryRankTheReduction) {
  for_each_group([](Ranks& ranks, int n, DType dtype, std::int64_t columns) {
    for (const Reduce reduce : {Reduce::sum, Reduce::max}) {
      std::vector<Tensor> x;
      for (int i = 0; i < n; ++i) x.push_back(whole_numbers(ranks.rank(i), i, dtype, 3, columns));
      const Matrix want = reduced(ranks, x, reduce);
      ranks.run([&](TestRank& r, int i) { r.comm->all_reduce(x[static_cast<std::size_t>(i)], reduce, "test"); });
      for (int i = 0; i < n; ++i) expect_near(ranks.rank(i).device.read(x[static_cast<std::size_t>(i)]), want, 0);
    }
    EXPECT_EQ(ranks.expect_closed_ledger(), 2 * 2 * (n - 1) * 3 * columns * size_of(dtype));
  });
}

TEST(Communicator, SumsThatRoundAreTheSameBitsOnEveryRank) {
  for (int n = 2; n <= 8; ++n) {
    Ranks ranks(n);
    std::vector<Tensor> x;
    for (int i = 0; i < n; ++i) {
      std::vector<float> values(101);
      for (std::size_t at = 0; at < values.size(); ++at)
        values[at] = std::sin(static_cast<float>(at * 31 + static_cast<std::size_t>(i) * 17));
      x.push_back(ranks.rank(i).device.floats(DType::f32, 1, 101, values));
    }
    const Matrix want = reduced(ranks, x, Reduce::sum);
    ranks.run([&](TestRank& r, int i) { r.comm->all_reduce(x[static_cast<std::size_t>(i)], Reduce::sum, "test"); });
    const Matrix first = ranks.rank(0).device.read(x[0]);
    expect_near(first, want, 0, n * n * roundoff(DType::f32));
    for (int i = 1; i < n; ++i) expect_near(ranks.rank(i).device.read(x[static_cast<std::size_t>(i)]), first, 0);
  }
}

TEST(Communicator, AllGatherBringsEveryPart) {
  for_each_group([](Ranks& ranks, int n, DType dtype, std::int64_t columns) {
    std::vector<Tensor> all;
    Matrix want(2 * n, columns);
    for (int i = 0; i < n; ++i) {
      all.push_back(ranks.rank(i).device.empty(dtype, 2 * n, columns));
      const Tensor mine = all.back().row_range(2 * i, 2);
      const Tensor values = whole_numbers(ranks.rank(i), i, dtype, 2, columns);
      maximum(ranks.rank(i).device, mine, values);  // fresh memory is 0; exact for what follows
      const Matrix part = ranks.rank(i).device.read(mine);
      std::copy(part.values.begin(), part.values.end(), want.values.begin() + 2 * i * columns);
    }
    ranks.run([&](TestRank& r, int i) { r.comm->all_gather(all[static_cast<std::size_t>(i)], "test"); });
    for (int i = 0; i < n; ++i) expect_near(ranks.rank(i).device.read(all[static_cast<std::size_t>(i)]), want, 0);
    EXPECT_EQ(ranks.expect_closed_ledger(), n * (n - 1) * 2 * columns * size_of(dtype));
  });
}

TEST(Communicator, BroadcastReachesEveryRankFromAnyRoot) {
  for_each_group([](Ranks& ranks, int n, DType dtype, std::int64_t columns) {
    const int root = n / 2;
    std::vector<Tensor> x;
    for (int i = 0; i < n; ++i) x.push_back(whole_numbers(ranks.rank(i), i, dtype, 2, columns));
    const Matrix want = ranks.rank(root).device.read(x[static_cast<std::size_t>(root)]);
    ranks.run([&](TestRank& r, int i) { r.comm->broadcast(x[static_cast<std::size_t>(i)], root, "test"); });
    for (int i = 0; i < n; ++i) expect_near(ranks.rank(i).device.read(x[static_cast<std::size_t>(i)]), want, 0);
    EXPECT_EQ(ranks.expect_closed_ledger(), (n - 1) * 2 * columns * size_of(dtype));
  });
}

TEST(Communicator, ManyMessagesAndBarriersKeepTheirOrder) {
  Ranks ranks(3);
  ranks.run([&](TestRank& r, int i) {
    for (int message = 0; message < 50; ++message) {
      const Tensor x = r.device.floats(DType::f32, 1, 1, {static_cast<float>(i == 0 ? message : -1)});
      if (i > 0) r.comm->recv(x, i - 1, "boundary");
      EXPECT_EQ(r.device.read(x).at(0, 0), message);
      if (i < 2) r.comm->send(x, i + 1, "boundary");
      if (message % 10 == 0) r.comm->barrier();
    }
  });
  EXPECT_EQ(ranks.expect_closed_ledger(), 2 * 50 * 4);
}

// What a step enqueues is in a device's trace, in order; an all-reduce of three adds what two others have.
TEST(Communicator, ATraceHasCollectivesBehindTheirOwnKernels) {
  PlanDevice device("plan");
  Ledger ledger;
  CommunicationTime time;
  RingCommunicator comm({0, 1, 2}, 1, device, ledger, nullptr, time);
  const Tensor x = device.arena().allocate("x", MemoryUse::activations, DType::f32, 2, 3);
  Trace trace;
  device.observe(&trace);
  add(device, x, x);
  comm.all_reduce(x, Reduce::sum, "mlp");
  comm.send(x, 2, "boundary");
  device.observe(nullptr);
  add(device, x, x);
  ASSERT_EQ(trace.entries().size(), 5u);
  EXPECT_EQ(std::get<Work>(trace.entries()[0]).op, "add");
  const auto& all_reduce = std::get<CollectiveWork>(trace.entries()[3]);
  EXPECT_EQ(all_reduce.collective, "all_reduce");
  EXPECT_EQ(all_reduce.payload_bytes, 24);
  EXPECT_EQ(all_reduce.ranks, 3);
  EXPECT_EQ(all_reduce.kernels, 2);
  EXPECT_EQ(std::get<CollectiveWork>(trace.entries()[4]).kernels, 0);
}

TEST(Communicator, GroupsOfSomeRanksKeepToThemselves) {
  Ranks ranks(4);
  std::vector<Tensor> x;
  for (int i = 0; i < 4; ++i) x.push_back(ranks.rank(i).device.floats(DType::f32, 1, 1, {std::ldexp(1.0f, i)}));
  ranks.run([&](TestRank& r, int i) {  // ranks 0 and 2, and ranks 3 and 1, whose first member is the higher one
    const std::vector<int> members = i % 2 == 0 ? std::vector<int>{0, 2} : std::vector<int>{3, 1};
    RingCommunicator pair(members, i == members[0] ? 0 : 1, *r.device, r.ledger, &ranks.transport(), r.time);
    pair.all_reduce(x[static_cast<std::size_t>(i)], Reduce::sum, "test");
  });
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(ranks.rank(i).device.read(x[static_cast<std::size_t>(i)]).at(0, 0), i % 2 == 0 ? 5 : 10);
  ranks.expect_closed_ledger();
}

TEST(Communicator, AllReduceAddRmsNormIsItsThreeSteps) {
  for_each_group([](Ranks& ranks, int n, DType dtype, std::int64_t columns) {
    if (columns == 0) return;
    for (const std::int64_t rows : {1, 4, 9}) {  // fewer rows than ranks, too: some chunks are empty
      const auto count = static_cast<std::size_t>(n);
      std::vector<Tensor> x(count), y(count), plain_x(count), plain_y(count), weight(count);
      for (int i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(i);
        TestDevice& device = ranks.rank(i).device;
        x[at] = whole_numbers(ranks.rank(i), 1, dtype, rows, columns);
        y[at] = whole_numbers(ranks.rank(i), i, dtype, rows, columns);
        plain_x[at] = device.copy(x[at]);
        plain_y[at] = device.copy(y[at]);
        weight[at] = whole_numbers(ranks.rank(i), 2, dtype, 1, columns);
      }
      ranks.run([&](TestRank& r, int i) {
        const auto at = static_cast<std::size_t>(i);
        r.comm->all_reduce_add_rms_norm(x[at], y[at], weight[at], 1e-5f, y[at], "fused");
        r.comm->all_reduce(plain_y[at], Reduce::sum, "plain");
        add(r.device, plain_x[at], plain_y[at]);
        rms_norm(r.device, plain_x[at], weight[at], 1e-5f, plain_y[at]);
      });
      for (int i = 0; i < n; ++i) {  // sums of whole numbers are exact in any order: no difference at all
        const auto at = static_cast<std::size_t>(i);
        TestDevice& device = ranks.rank(i).device;
        expect_near(device.read(x[at]), device.read(plain_x[at]), 0);
        expect_near(device.read(y[at]), device.read(plain_y[at]), 0);
      }
    }
    ranks.expect_closed_ledger();
  });
}

TEST(Communicator, APlannedCallIsPredictedAlikeAndMovesNothing) {
  Ranks ranks(3);
  std::vector<Tensor> x;
  for (int i = 0; i < 3; ++i) x.push_back(whole_numbers(ranks.rank(i), i, DType::bf16, 7, 5));
  ranks.run([&](TestRank& r, int i) { r.comm->all_reduce(x[static_cast<std::size_t>(i)], Reduce::sum, "test"); });
  for (int i = 0; i < 3; ++i) {
    PlanDevice device("plan");
    Ledger ledger;
    CommunicationTime time;
    RingCommunicator comm({0, 1, 2}, i, device, ledger, nullptr, time);
    const Tensor planned = device.arena().allocate("x", MemoryUse::activations, DType::bf16, 7, 5);
    comm.all_reduce(planned, Reduce::sum, "test");
    comm.barrier();
    ASSERT_EQ(ledger.entries().size(), 1u);
    const LedgerEntry& real = ranks.rank(i).ledger.entries()[0];
    EXPECT_EQ(ledger.entries()[0].predicted_tx_bytes, real.counted_tx_bytes);
    EXPECT_EQ(ledger.entries()[0].predicted_rx_bytes, real.counted_rx_bytes);
    EXPECT_EQ(ledger.entries()[0].counted_tx_bytes, std::nullopt);
  }
}

TEST(Communicator, ARankThatFailsWakesTheOthersAndResetHeals) {
  Ranks ranks(4);
  std::vector<Tensor> x;
  for (int i = 0; i < 4; ++i) x.push_back(ranks.rank(i).device.floats(DType::f32, 1, 9, std::vector<float>(9, 1.0f)));
  std::atomic<int> peers_failed{0};
  ranks.run([&](TestRank& r, int i) {
    if (i == 2) return ranks.transport().abort();  // as the engine does when a rank throws
    try {
      r.comm->all_reduce(x[static_cast<std::size_t>(i)], Reduce::sum, "test");
    } catch (const PeerFailed&) {
      ++peers_failed;
    }
  });
  EXPECT_EQ(peers_failed, 3);
  ranks.transport().reset();
  ranks.run([&](TestRank& r, int i) {
    EXPECT_EQ(r.device->arena().used(), 64) << "staging is released by a failed call, too";
    const Tensor ones = r.device.floats(DType::f32, 1, 9, std::vector<float>(9, 1.0f));
    r.comm->all_reduce(ones, Reduce::sum, "again");
    EXPECT_EQ(r.device.read(ones).values, std::vector<double>(9, 4)) << "rank " << i;
  });
}

TEST(Communicator, StridedTensorsAreRefused) {
  Ranks ranks(2);
  const Tensor strided = ranks.rank(0).device.random(DType::f32, 3, 4, 2);
  EXPECT_THROW(ranks.rank(0).comm->all_reduce(strided, Reduce::sum, "test"), std::logic_error);
  EXPECT_THROW(ranks.rank(0).comm->send(strided, 1, "test"), std::logic_error);
  EXPECT_THROW(ranks.rank(0).comm->recv(strided, 1, "test"), std::logic_error);
}

}  // namespace
}  // namespace batchscope
