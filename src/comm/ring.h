// The ring's arithmetic: how a tensor is cut into chunks, and what each rank of a ring of n sends and receives.
// Reduce-scatter then all-gather (Patarasuk and Yuan 2009): 2 (n - 1) / n of the payload a rank, exactly so when n
// divides it; uneven chunks are accounted to the byte.
#pragma once

#include <cstdint>
#include <vector>

namespace batchscope {

struct Traffic {
  std::int64_t tx_bytes = 0, rx_bytes = 0;
  Traffic& operator+=(const Traffic& other) {
    tx_bytes += other.tx_bytes;
    rx_bytes += other.rx_bytes;
    return *this;
  }
};

// Elements (or rows) [begin, begin + count) of chunk i of n, as even as it goes.
struct Chunk {
  std::int64_t begin = 0, count = 0;
};
Chunk ring_chunk(std::int64_t total, std::int64_t n, std::int64_t i);
std::int64_t largest_ring_chunk(std::int64_t total, std::int64_t n);

// By formula, for `total` units of `unit_bytes` cut over n ranks.
Traffic ring_reduce_scatter_traffic(std::int64_t total, std::int64_t unit_bytes, std::int64_t n, std::int64_t rank);
Traffic ring_all_reduce_traffic(std::int64_t total, std::int64_t unit_bytes, std::int64_t n, std::int64_t rank);
// Every rank contributes part_bytes.
Traffic ring_all_gather_traffic(std::int64_t part_bytes, std::int64_t n);

// How NCCL puts a ring's bytes on a link. LL stores flags of 4 bytes beside every 4 of data, so that a reader needs no
// barrier; LL128 one of 8 in every 128; simple none. Counted on NVLink (docs/results/profiler_2xh100.json): LL and
// simple from 64 KiB on within 0.5 %, LL128 from 4 MiB on within 0.4 %; below that its lines are not full, and it sends
// up to half as much again (64 KiB).
enum class NcclProtocol { simple, ll, ll128 };
std::int64_t nccl_link_bytes(std::int64_t bytes, NcclProtocol protocol);

}  // namespace batchscope
