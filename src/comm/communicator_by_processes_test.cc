// The collectives where ranks are processes that MPI passes messages between; run by mpirun (CMakeLists.txt).
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "comm/ring_communicator.h"
#include "comm/test_processes.h"
#include "ops/test_device.h"

namespace batchscope {
namespace {

// One rank, with its links' counters.
class ByProcesses : public testing::Test {
 protected:
  void SetUp() override {
    world_ = TestProcesses::world();
    if (world_ == nullptr) GTEST_SKIP() << "mpirun -n 4 comm_test --gtest_filter='ByProcesses.*' runs it";
    page_ = std::make_unique<VirtualDevicePage>(1);
    std::vector<VirtualDeviceCounters*> counters(static_cast<std::size_t>(size()));
    counters[static_cast<std::size_t>(rank())] = &page_->device(0);
    transport_ = world_->make_transport(counters, monotonic_clock());
    std::vector<int> members(static_cast<std::size_t>(size()));
    std::iota(members.begin(), members.end(), 0);
    comm_ = std::make_unique<RingCommunicator>(members, rank(), *device_, ledger_, transport_.get(), time_);
  }
  int rank() const { return world_->first(); }
  int size() const { return world_->size(); }

  // Predicted by formula, counted by MPI, and the link's own: all the same.
  void expect_closed_ledger() {
    std::int64_t tx = 0, rx = 0;
    for (const LedgerEntry& entry : ledger_.entries()) {
      EXPECT_EQ(entry.predicted_tx_bytes, entry.counted_tx_bytes) << entry.collective;
      EXPECT_EQ(entry.predicted_rx_bytes, entry.counted_rx_bytes) << entry.collective;
      tx += entry.counted_tx_bytes.value();
      rx += entry.counted_rx_bytes.value();
    }
    EXPECT_EQ(page_->device(0).link_tx_bytes, tx);
    EXPECT_EQ(page_->device(0).link_rx_bytes, rx);
  }

  ProcessWorld* world_ = nullptr;
  TestDevice device_;
  std::unique_ptr<VirtualDevicePage> page_;
  std::unique_ptr<Transport> transport_;
  Ledger ledger_;
  CommunicationTime time_;
  std::unique_ptr<RingCommunicator> comm_;
};

// Different in every rank, small whole numbers: sums are exact.
std::vector<float> values_of(int rank, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>((static_cast<int>(i % 1000) * 7 + rank * 3) % 11 - 5);
  return values;
}

TEST_F(ByProcesses, AllReduceIsTheReduction) {
  // None, fewer than ranks, uneven, and more than a library sends at once.
  for (const std::int64_t columns : {0, 1, 5, 37, 1'000'003}) {
    for (const Reduce reduce : {Reduce::sum, Reduce::max}) {
      const Tensor x = device_.floats(DType::f32, 1, columns, values_of(rank(), columns));
      std::vector<float> want = values_of(0, columns);
      for (int other = 1; other < size(); ++other) {
        const auto part = values_of(other, columns);
        for (std::size_t i = 0; i < want.size(); ++i)
          want[i] = reduce == Reduce::sum ? want[i] + part[i] : std::max(want[i], part[i]);
      }
      world_->together([&] { comm_->all_reduce(x, reduce, "test"); });
      EXPECT_EQ(device_->download(x), want);
    }
  }
  expect_closed_ledger();
}

TEST_F(ByProcesses, AllGatherAndBroadcastReachEveryRank) {
  std::vector<float> want;
  for (int other = 0; other < size(); ++other) {
    const auto part = values_of(other, 18);
    want.insert(want.end(), part.begin(), part.end());
  }
  std::vector<float> mine(want.size());
  std::copy_n(want.begin() + 18 * rank(), 18, mine.begin() + 18 * rank());
  const Tensor all = device_.floats(DType::f32, 2 * size(), 9, mine);
  world_->together([&] { comm_->all_gather(all, "test"); });
  EXPECT_EQ(device_->download(all), want);
  for (int root = 0; root < size(); ++root) {
    const Tensor x = device_.floats(DType::f32, 1, 5, values_of(rank(), 5));
    world_->together([&] { comm_->broadcast(x, root, "test"); });
    EXPECT_EQ(device_->download(x), values_of(root, 5));
  }
  expect_closed_ledger();
}

TEST_F(ByProcesses, ManyMessagesAndBarriersKeepTheirOrder) {
  world_->together([&] {
    for (int message = 0; message < 500; ++message) {
      const Tensor x = device_.floats(DType::f32, 1, 1, {static_cast<float>(rank() == 0 ? message : -1)});
      if (rank() > 0) comm_->recv(x, rank() - 1, "boundary");
      EXPECT_EQ(device_->download(x), std::vector<float>{static_cast<float>(message)});
      if (rank() + 1 < size()) comm_->send(x, rank() + 1, "boundary");
      if (message % 10 == 0) comm_->barrier();
    }
  });
  expect_closed_ledger();
}

TEST_F(ByProcesses, AFailureWakesAllAndWorkGoesOn) {
  for (int round = 0; round < 20; ++round) {
    EXPECT_THROW(world_->together([&] {
      if (rank() == round % size()) throw OutOfMemory("it is full");
      // Larger than what goes before its receiver asks for it.
      comm_->all_reduce(device_.floats(DType::f32, 1, 1'000'000, std::vector<float>(1'000'000)), Reduce::sum, "failed");
    }),
                 OutOfMemory);
    const Tensor ones = device_.floats(DType::f32, 1, 9, std::vector<float>(9, 1.0f));
    world_->together([&] { comm_->all_reduce(ones, Reduce::sum, "again"); });
    EXPECT_EQ(device_->download(ones), std::vector<float>(9, static_cast<float>(size())));
  }
}

TEST_F(ByProcesses, HostsTellEachOther) {
  world_->together([&] {
    HostGroup all = world_->all_ranks(rank());
    for (int round = 0; round < 200; ++round) {
      const std::string large(static_cast<std::size_t>(round * 1000), 'x');
      EXPECT_EQ(all.broadcast(rank() == 0 ? large : ""), large);
      const auto gathered = all.gather(large + std::to_string(rank()));
      for (std::size_t from = 0; from < gathered.size(); ++from) EXPECT_EQ(gathered[from], large + std::to_string(from));
    }
  });
}

}  // namespace
}  // namespace batchscope
