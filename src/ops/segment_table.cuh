// Segments and heads as attention's CUDA kernels read them: from the table in the device's memory, since a kernel in a
// graph runs again for other steps.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/attention.h"

namespace batchscope {

// AttentionSegment in 32 bits.
struct TableSegment {
  int query_begin, query_count, shared_begin, shared_count, own_begin, own_count;

  __device__ __forceinline__ int keys() const { return shared_count + own_count; }
  __device__ __forceinline__ int position(int query) const { return keys() - query_count + query; }
  __device__ __forceinline__ int first_key(int query, int window) const {
    return window == 0 ? 0 : max(position(query) + 1 - window, 0);
  }
  // Row of the segment's key `key`, the shared ones first.
  __device__ __forceinline__ int key_row(int key) const {
    return key < shared_count ? shared_begin + key : own_begin + (key - shared_count);
  }
};

struct SegmentTable {
  const std::int32_t* words;
  std::int64_t stride;

  explicit SegmentTable(const AttentionShape& shape)
      : words(shape.table.row<std::int32_t>(0)), stride(shape.table.stride) {}
  __device__ __forceinline__ TableSegment operator[](int index) const {
    const std::int32_t* row = words + index * stride;
    return {row[0], row[1], row[2], row[3], row[4], row[5]};
  }
};

// HeadMap in 32 bits.
struct DeviceHeads {
  int heads, head_dim, first_head, group, first_kv_head;

  explicit DeviceHeads(const HeadMap& map)
      : heads(static_cast<int>(map.heads)),
        head_dim(static_cast<int>(map.head_dim)),
        first_head(static_cast<int>(map.first_head)),
        group(static_cast<int>(map.group)),
        first_kv_head(static_cast<int>(map.first_kv_head)) {}
  __device__ __forceinline__ int kv_head(int head) const { return (first_head + head) / group - first_kv_head; }
  // The query heads [begin, end) that read a KV head.
  __device__ __forceinline__ int begin(int kv_head) const {
    return max((first_kv_head + kv_head) * group - first_head, 0);
  }
  __device__ __forceinline__ int end(int kv_head) const {
    return min((first_kv_head + kv_head + 1) * group - first_head, heads);
  }
};

}  // namespace batchscope
