// The ring's formulas. After reduce-scatter rank r holds chunk r + 1; it sent all chunks but that one.
#include "comm/ring.h"

#include <algorithm>

namespace batchscope {

Chunk ring_chunk(std::int64_t total, std::int64_t n, std::int64_t i) {
  const std::int64_t even = total / n, rest = total % n;
  return {i * even + std::min(i, rest), even + (i < rest ? 1 : 0)};
}

std::int64_t largest_ring_chunk(std::int64_t total, std::int64_t n) { return ring_chunk(total, n, 0).count; }

Traffic ring_reduce_scatter_traffic(std::int64_t total, std::int64_t unit_bytes, std::int64_t n, std::int64_t rank) {
  return {(total - ring_chunk(total, n, (rank + 1) % n).count) * unit_bytes,
          (total - ring_chunk(total, n, rank).count) * unit_bytes};
}

Traffic ring_all_reduce_traffic(std::int64_t total, std::int64_t unit_bytes, std::int64_t n, std::int64_t rank) {
  Traffic traffic = ring_reduce_scatter_traffic(total, unit_bytes, n, rank);
  traffic += ring_reduce_scatter_traffic(total, unit_bytes, n, (rank + 1) % n);  // all-gather sends on what it holds
  return traffic;
}

Traffic ring_all_gather_traffic(std::int64_t part_bytes, std::int64_t n) {
  return {(n - 1) * part_bytes, (n - 1) * part_bytes};
}

std::int64_t nccl_link_bytes(std::int64_t bytes, NcclProtocol protocol) {
  switch (protocol) {
    case NcclProtocol::ll:
      return 2 * bytes;
    case NcclProtocol::ll128:
      return (bytes + 119) / 120 * 128;
    case NcclProtocol::simple:
      break;
  }
  return bytes;
}

}  // namespace batchscope
