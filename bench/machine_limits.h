// What this machine can do at best, measured now: the limits that figures are held against.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace batchscope {

// A projection's weight: [out_features, in_features], used `count` times a pass.
struct WeightSize {
  std::int64_t out_features = 0, in_features = 0, count = 1;
};

// FLOP/s of oneDNN's own matmul, in the layout that it chooses for the weights itself, over all these weights with
// `tokens` rows each: the best of several rounds.
double gemm_flop_per_s(DType dtype, std::span<const WeightSize> weights, std::int64_t tokens, int threads);

// Bytes/s of reading memory that no cache holds: the best of several rounds.
double read_bytes_per_s(int threads);

}  // namespace batchscope
