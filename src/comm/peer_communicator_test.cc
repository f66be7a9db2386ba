// Tests of what collectives of GPUs cost, as they are planned; what they do is tested on a GPU
// (provider/cuda_devices_gpu_test.cc).
#include "comm/peer_communicator.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "comm/peer_mailbox.h"
#include "device/plan/plan_device.h"

namespace batchscope {
namespace {

const LinkSpec nvlink, pcie{.kind = LinkKind::pcie};

// What every rank's call goes into its ledger with.
std::vector<LedgerEntry> planned(int ranks, bool by_processes, const LinkSpec& link,
                                 const std::function<void(Communicator&, Device&, int rank)>& call) {
  std::vector<int> members;
  for (int rank = 0; rank < ranks; ++rank) members.push_back(rank);
  std::vector<LedgerEntry> entries;
  for (int rank = 0; rank < ranks; ++rank) {
    PlanDevice device("plan", {});
    Ledger ledger;
    PeerCommunicator communicator(members, rank, device, ledger, by_processes, link, {});
    call(communicator, device, rank);
    EXPECT_EQ(ledger.entries().size(), 1u);
    entries.push_back(ledger.entries().front());
  }
  return entries;
}

Tensor tensor(Device& device, std::int64_t rows, std::int64_t columns, DType dtype = DType::bf16) {
  return device.arena().allocate("test", MemoryUse::activations, dtype, rows, columns);
}

std::int64_t sum(const std::vector<LedgerEntry>& entries, std::int64_t LedgerEntry::*bytes) {
  std::int64_t all = 0;
  for (const LedgerEntry& entry : entries) all += entry.*bytes;
  return all;
}

TEST(PeerCommunicator, AnAllReduceMovesEachPartToItsOwnerAndBack) {
  for (const int ranks : {2, 3, 8})
    for (const std::int64_t columns : {1, 7, 24, 4099})
      for (const bool by_processes : {false, true}) {
        const auto entries = planned(ranks, by_processes, nvlink, [&](Communicator& communicator, Device& device, int) {
          communicator.all_reduce(tensor(device, 1, columns), Reduce::sum, "test");
        });
        const std::int64_t bytes = columns * 2;
        EXPECT_EQ(sum(entries, &LedgerEntry::predicted_tx_bytes), 2 * (ranks - 1) * bytes);
        EXPECT_EQ(sum(entries, &LedgerEntry::predicted_rx_bytes), 2 * (ranks - 1) * bytes);
        EXPECT_EQ(entries.front().algorithm, by_processes ? "two-shot, staged" : "two-shot");
      }
}

TEST(PeerCommunicator, WhatGoesByWayOfTheHostIsSentOnce) {
  for (const int ranks : {2, 3, 8})
    for (const std::int64_t columns : {1, 7, 24, 4099}) {
      const auto reduced = planned(ranks, false, pcie, [&](Communicator& communicator, Device& device, int) {
        communicator.all_reduce(tensor(device, 1, columns), Reduce::sum, "test");
      });
      for (const LedgerEntry& entry : reduced) EXPECT_EQ(entry.predicted_tx_bytes, columns * 2);
      EXPECT_EQ(sum(reduced, &LedgerEntry::predicted_rx_bytes), 2 * (ranks - 1) * columns * 2);
      const auto gathered = planned(ranks, false, pcie, [&](Communicator& communicator, Device& device, int) {
        communicator.all_gather(tensor(device, ranks, columns), "test");
      });
      for (const LedgerEntry& entry : gathered) {
        EXPECT_EQ(entry.predicted_tx_bytes, columns * 2);
        EXPECT_EQ(entry.predicted_rx_bytes, (ranks - 1) * columns * 2);
      }
    }
}

TEST(PeerCommunicator, FewRowsArePushedToAllInOneShot) {
  const auto fused = [](int ranks, std::int64_t rows, bool by_processes, const LinkSpec& link) {
    return planned(ranks, by_processes, link,
                   [&](Communicator& communicator, Device& device, int) {
                     communicator.all_reduce_add(tensor(device, rows, 6656), tensor(device, rows, 6656), "test");
                   })
        .front();
  };
  const std::int64_t row_bytes = 6656 * 2;
  EXPECT_EQ(fused(2, 1, false, nvlink).algorithm, "one-shot");
  EXPECT_EQ(fused(2, 1, false, nvlink).predicted_tx_bytes, 2 * row_bytes) << "a flag beside each word";
  EXPECT_EQ(fused(4, 3, false, nvlink).predicted_rx_bytes, 3 * 2 * 3 * row_bytes);
  const std::int64_t most = most_pushed_bytes / row_bytes;
  EXPECT_EQ(fused(2, most, false, nvlink).algorithm, "one-shot");
  EXPECT_EQ(fused(2, most + 1, false, nvlink).algorithm, "two-shot");
  EXPECT_EQ(fused(3, most, false, nvlink).algorithm, "two-shot");
  EXPECT_EQ(fused(2, 1, true, nvlink).algorithm, "two-shot, staged");
  EXPECT_EQ(fused(2, 1, false, pcie).algorithm, "two-shot, staged");
  EXPECT_EQ(fused(2, 1, false, pcie).predicted_tx_bytes, row_bytes);
}

}  // namespace
}  // namespace batchscope
