// Products of small matrices that lie in a CPU's cache, for the attention kernel. Compiled once per instruction set.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace batchscope {

inline constexpr std::int64_t tile_lanes = 16;  // floats that are computed at once
constexpr std::int64_t whole_lanes(std::int64_t count) { return (count + tile_lanes - 1) / tile_lanes * tile_lanes; }

// out [rows, columns] = a [rows, depth] * b [depth, columns] (+ out, when asked to add). `columns` and the strides of b
// and out are whole lanes, b and out are aligned to 64 bytes. Rows up to the next multiple of four are touched.
void tile_gemm(const float* a, std::int64_t a_stride, const float* b, std::int64_t b_stride, float* out,
               std::int64_t out_stride, std::int64_t rows, std::int64_t depth, std::int64_t columns, bool add);

// A head's keys or values where they lie: [count, width], `stride` elements from one to the next.
template <class T>
struct HeadRows {
  const T* data;
  std::int64_t stride, count, width;
};

// scores [rows, keys.count] = queries [rows, keys.width] * keys^T, for few rows. Queries have zeros behind their width, up
// to whole lanes.
void few_scores(const float* queries, std::int64_t query_stride, std::int64_t rows, const HeadRows<float>& keys,
                float* scores, std::int64_t score_stride);
void few_scores(const float* queries, std::int64_t query_stride, std::int64_t rows, const HeadRows<BFloat16>& keys,
                float* scores, std::int64_t score_stride);

// out [rows, values.width] += weights [rows, values.count] * values, for few rows. out is aligned to 64 bytes and written
// up to whole lanes.
void add_few_values(const float* weights, std::int64_t weight_stride, std::int64_t rows, const HeadRows<float>& values,
                    float* out, std::int64_t out_stride);
void add_few_values(const float* weights, std::int64_t weight_stride, std::int64_t rows,
                    const HeadRows<BFloat16>& values, float* out, std::int64_t out_stride);

}  // namespace batchscope
