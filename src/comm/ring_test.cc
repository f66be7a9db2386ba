// Tests of the ring's arithmetic: the formulas against a simulation of who sends what to whom.
#include "comm/ring.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

namespace batchscope {
namespace {

// What each rank sends and receives in `steps` steps of a ring that begins with rank r sending chunk r + first.
std::vector<Traffic> simulate(std::int64_t total, std::int64_t unit_bytes, std::int64_t n, std::int64_t first,
                              std::int64_t steps) {
  std::vector<Traffic> traffic(static_cast<std::size_t>(n));
  for (std::int64_t step = 0; step < steps; ++step)
    for (std::int64_t rank = 0; rank < n; ++rank) {
      const std::int64_t bytes = ring_chunk(total, n, (rank + first - step + 2 * n) % n).count * unit_bytes;
      traffic[static_cast<std::size_t>(rank)].tx_bytes += bytes;
      traffic[static_cast<std::size_t>((rank + 1) % n)].rx_bytes += bytes;
    }
  return traffic;
}

RC_GTEST_PROP(Ring, ChunksCoverTheWholeAndDifferByOneAtMost, ()) {
  const auto total = *rc::gen::inRange<std::int64_t>(0, 10'000);
  const auto n = *rc::gen::inRange<std::int64_t>(1, 65);
  std::int64_t next = 0, least = total, most = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const Chunk chunk = ring_chunk(total, n, i);
    RC_ASSERT(chunk.begin == next);
    next += chunk.count;
    least = std::min(least, chunk.count);
    most = std::max(most, chunk.count);
  }
  RC_ASSERT(next == total);
  RC_ASSERT(most - least <= 1);
  RC_ASSERT(largest_ring_chunk(total, n) == most);
}

RC_GTEST_PROP(Ring, FormulasAreWhatASimulationCounts, ()) {
  const auto total = *rc::gen::inRange<std::int64_t>(0, 5'000);
  const auto unit_bytes = *rc::gen::inRange<std::int64_t>(1, 9);
  const auto n = *rc::gen::inRange<std::int64_t>(1, 17);
  const auto reduce = simulate(total, unit_bytes, n, 0, n - 1);
  const auto gather = simulate(total, unit_bytes, n, 1, n - 1);
  for (std::int64_t rank = 0; rank < n; ++rank) {
    const auto at = static_cast<std::size_t>(rank);
    const Traffic scattered = ring_reduce_scatter_traffic(total, unit_bytes, n, rank);
    RC_ASSERT(scattered.tx_bytes == reduce[at].tx_bytes);
    RC_ASSERT(scattered.rx_bytes == reduce[at].rx_bytes);
    const Traffic reduced = ring_all_reduce_traffic(total, unit_bytes, n, rank);
    RC_ASSERT(reduced.tx_bytes == reduce[at].tx_bytes + gather[at].tx_bytes);
    RC_ASSERT(reduced.rx_bytes == reduce[at].rx_bytes + gather[at].rx_bytes);
    const Traffic gathered = ring_all_gather_traffic(total * unit_bytes, n);
    RC_ASSERT(gathered.tx_bytes == (n - 1) * total * unit_bytes);
    RC_ASSERT(gathered.rx_bytes == gathered.tx_bytes);
  }
}

RC_GTEST_PROP(Ring, EvenChunksGiveTheTextbooksShare, ()) {
  const auto n = *rc::gen::inRange<std::int64_t>(1, 17);
  const auto total = n * *rc::gen::inRange<std::int64_t>(0, 1'000);
  for (std::int64_t rank = 0; rank < n; ++rank) {
    RC_ASSERT(ring_all_reduce_traffic(total, 4, n, rank).tx_bytes == 2 * (n - 1) * total * 4 / n);
    RC_ASSERT(ring_all_reduce_traffic(total, 4, n, rank).rx_bytes == 2 * (n - 1) * total * 4 / n);
  }
}

// What NVLink's counters said of an all-reduce over two GPUs (docs/results/profiler_2xh100.json).
TEST(NcclLinkBytes, AreWhatNvlinkCounted) {
  constexpr std::int64_t KiB = 1024, MiB = 1024 * KiB;
  struct Counted {
    NcclProtocol protocol;
    std::int64_t bytes;
    double of_formula;  // 2 (n - 1) / n of the size
  };
  for (const auto& [protocol, bytes, of_formula] : {
           Counted{NcclProtocol::ll, 64 * KiB, 2.0039},
           Counted{NcclProtocol::ll, MiB, 2.0007},
           Counted{NcclProtocol::ll, 1024 * MiB, 2.0005},
           Counted{NcclProtocol::ll128, 4 * MiB, 1.0685},
           Counted{NcclProtocol::ll128, 64 * MiB, 1.0673},
           Counted{NcclProtocol::ll128, 1024 * MiB, 1.0668},
           Counted{NcclProtocol::simple, 64 * KiB, 1.0044},
           Counted{NcclProtocol::simple, 1024 * MiB, 1.0000},
       }) {
    const std::int64_t formula = ring_all_reduce_traffic(bytes / 4, 4, 2, 0).tx_bytes;
    const double predicted = static_cast<double>(nccl_link_bytes(formula, protocol));
    EXPECT_NEAR(predicted / static_cast<double>(formula), of_formula, 0.005 * of_formula) << bytes;
  }
}

}  // namespace
}  // namespace batchscope
