// Products of small matrices that lie in a CPU's cache, for the attention kernel. Compiled once per instruction set.
#pragma once

#include <cstdint>

namespace batchscope {

inline constexpr std::int64_t tile_lanes = 16;  // floats that are computed at once
constexpr std::int64_t whole_lanes(std::int64_t count) { return (count + tile_lanes - 1) / tile_lanes * tile_lanes; }

// out [rows, columns] = a [rows, depth] * b [depth, columns] (+ out, when asked to add). `columns` and the strides of b
// and out are whole lanes, b and out are aligned to 64 bytes. Rows up to the next multiple of four are touched.
void tile_gemm(const float* a, std::int64_t a_stride, const float* b, std::int64_t b_stride, float* out,
               std::int64_t out_stride, std::int64_t rows, std::int64_t depth, std::int64_t columns, bool add);

// out [rows, columns] = a [rows, depth] * b [columns, depth]^T, both in rows of `depth`, whole lanes.
void tile_dots(const float* a, const float* b, std::int64_t depth, float* out, std::int64_t out_stride,
               std::int64_t rows, std::int64_t columns);

}  // namespace batchscope
