// Tiles in vectors of sixteen floats: one AVX-512 register, two of AVX2, four of SSE.
#include "ops/tile_gemm.h"

#include <algorithm>
#include <cstring>

#include "base/target_clones.h"

namespace batchscope {
namespace {

using Lanes [[gnu::vector_size(64), gnu::may_alias]] = float;

[[gnu::always_inline]] inline Lanes load_lanes(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

[[gnu::always_inline]] inline Lanes load_lanes(const BFloat16* from) {
  using Halves [[gnu::vector_size(32)]] = std::uint16_t;
  using Words [[gnu::vector_size(64)]] = std::uint32_t;
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  Lanes lanes;
  std::memcpy(&lanes, &words, sizeof lanes);
  return lanes;
}

// The last ones of a row whose width is not whole lanes; zeros behind.
template <class T>
[[gnu::always_inline]] inline Lanes load_lanes(const T* from, std::int64_t count) {
  if (count >= tile_lanes) return load_lanes(from);
  T part[tile_lanes] = {};
  std::copy_n(from, count, part);
  return load_lanes(part);
}

// Rows of a cache lie far apart, so that what comes next has to be asked for.
template <class T>
[[gnu::always_inline]] inline void prefetch_row(const T* row, std::int64_t width) {
  constexpr std::int64_t line = 64 / sizeof(T);
  for (std::int64_t d = 0; d < width; d += line) __builtin_prefetch(row + d);
}
constexpr std::int64_t rows_ahead = 16;

// All lanes, halved four times.
[[gnu::always_inline]] inline float sum_of(const Lanes& lanes) {
  using Eight [[gnu::vector_size(32)]] = float;
  using Four [[gnu::vector_size(16)]] = float;
  const Eight eight = __builtin_shufflevector(lanes, lanes, 0, 1, 2, 3, 4, 5, 6, 7) +
                      __builtin_shufflevector(lanes, lanes, 8, 9, 10, 11, 12, 13, 14, 15);
  const Four four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

// Four rows of out, `width` vectors of columns, kept in registers.
template <int width>
[[gnu::always_inline]] inline void four_rows(const float* a, std::int64_t a_stride, const float* b,
                                             std::int64_t b_stride, float* out, std::int64_t out_stride,
                                             std::int64_t depth, bool add) {
  constexpr int rows = 4;
  Lanes sum[rows][width];
  for (int r = 0; r < rows; ++r)
    for (int w = 0; w < width; ++w)
      sum[r][w] = add ? *reinterpret_cast<const Lanes*>(out + r * out_stride + w * tile_lanes) : Lanes{};
  for (std::int64_t k = 0; k < depth; ++k) {
    Lanes row[width];
    for (int w = 0; w < width; ++w) row[w] = *reinterpret_cast<const Lanes*>(b + k * b_stride + w * tile_lanes);
    for (int r = 0; r < rows; ++r)
      for (int w = 0; w < width; ++w) sum[r][w] += a[r * a_stride + k] * row[w];
  }
  for (int r = 0; r < rows; ++r)
    for (int w = 0; w < width; ++w) *reinterpret_cast<Lanes*>(out + r * out_stride + w * tile_lanes) = sum[r][w];
}

// `rows` rows of queries against every key, which is loaded once for all of them.
template <int rows, class T>
[[gnu::always_inline]] inline void scores_of(const float* queries, std::int64_t query_stride, const HeadRows<T>& keys,
                                             float* scores, std::int64_t score_stride) {
  const std::int64_t whole = keys.width / tile_lanes * tile_lanes;
  for (std::int64_t j = 0; j < keys.count; ++j) {
    const T* key = keys.data + j * keys.stride;
    prefetch_row(key + rows_ahead * keys.stride, keys.width);
    Lanes sum[rows] = {};
    for (std::int64_t d = 0; d < whole; d += tile_lanes) {
      const Lanes lanes = load_lanes(key + d);
      for (int r = 0; r < rows; ++r) sum[r] += load_lanes(queries + r * query_stride + d) * lanes;
    }
    if (whole < keys.width) {
      const Lanes lanes = load_lanes(key + whole, keys.width - whole);
      for (int r = 0; r < rows; ++r) sum[r] += load_lanes(queries + r * query_stride + whole) * lanes;
    }
    for (int r = 0; r < rows; ++r) scores[r * score_stride + j] = sum_of(sum[r]);
  }
}

// `rows` rows of out, `width` vectors of columns, kept in registers; `columns` are left of the values' width.
template <int rows, int width, class T>
[[gnu::always_inline]] inline void add_values(const float* weights, std::int64_t weight_stride, const HeadRows<T>& values,
                                              std::int64_t column, float* out, std::int64_t out_stride) {
  Lanes sum[rows][width];
  for (int r = 0; r < rows; ++r)
    for (int w = 0; w < width; ++w)
      sum[r][w] = *reinterpret_cast<const Lanes*>(out + r * out_stride + column + w * tile_lanes);
  for (std::int64_t j = 0; j < values.count; ++j) {
    const T* value = values.data + j * values.stride + column;
    prefetch_row(value + rows_ahead * values.stride, width * tile_lanes);
    Lanes row[width];
    for (int w = 0; w < width; ++w)
      row[w] = width == 1 ? load_lanes(value, values.width - column) : load_lanes(value + w * tile_lanes);
    for (int r = 0; r < rows; ++r)
      for (int w = 0; w < width; ++w) sum[r][w] += weights[r * weight_stride + j] * row[w];
  }
  for (int r = 0; r < rows; ++r)
    for (int w = 0; w < width; ++w)
      *reinterpret_cast<Lanes*>(out + r * out_stride + column + w * tile_lanes) = sum[r][w];
}

template <int rows, class T>
[[gnu::always_inline]] inline void add_values(const float* weights, std::int64_t weight_stride, const HeadRows<T>& values,
                                              float* out, std::int64_t out_stride) {
  std::int64_t column = 0;
  for (; column + 4 * tile_lanes <= values.width; column += 4 * tile_lanes)
    add_values<rows, 4>(weights, weight_stride, values, column, out, out_stride);
  for (; column < values.width; column += tile_lanes)
    add_values<rows, 1>(weights, weight_stride, values, column, out, out_stride);
}

template <class T>
[[gnu::always_inline]] inline void scores_of(const float* queries, std::int64_t query_stride, std::int64_t rows,
                                             const HeadRows<T>& keys, float* scores, std::int64_t score_stride) {
  for (; rows >= 4; rows -= 4, queries += 4 * query_stride, scores += 4 * score_stride)
    scores_of<4>(queries, query_stride, keys, scores, score_stride);
  switch (rows) {
    case 3:
      return scores_of<3>(queries, query_stride, keys, scores, score_stride);
    case 2:
      return scores_of<2>(queries, query_stride, keys, scores, score_stride);
    case 1:
      return scores_of<1>(queries, query_stride, keys, scores, score_stride);
    default:
      return;
  }
}

template <class T>
[[gnu::always_inline]] inline void add_values(const float* weights, std::int64_t weight_stride, std::int64_t rows,
                                              const HeadRows<T>& values, float* out, std::int64_t out_stride) {
  for (; rows >= 4; rows -= 4, weights += 4 * weight_stride, out += 4 * out_stride)
    add_values<4>(weights, weight_stride, values, out, out_stride);
  switch (rows) {
    case 3:
      return add_values<3>(weights, weight_stride, values, out, out_stride);
    case 2:
      return add_values<2>(weights, weight_stride, values, out, out_stride);
    case 1:
      return add_values<1>(weights, weight_stride, values, out, out_stride);
    default:
      return;
  }
}

}  // namespace

BATCHSCOPE_TARGET_CLONES
void tile_gemm(const float* a, std::int64_t a_stride, const float* b, std::int64_t b_stride, float* out,
               std::int64_t out_stride, std::int64_t rows, std::int64_t depth, std::int64_t columns, bool add) {
  for (std::int64_t row = 0; row < rows; row += 4) {
    std::int64_t column = 0;
    for (; column + 4 * tile_lanes <= columns; column += 4 * tile_lanes)
      four_rows<4>(a + row * a_stride, a_stride, b + column, b_stride, out + row * out_stride + column, out_stride, depth,
                   add);
    for (; column < columns; column += tile_lanes)
      four_rows<1>(a + row * a_stride, a_stride, b + column, b_stride, out + row * out_stride + column, out_stride, depth,
                   add);
  }
}

BATCHSCOPE_TARGET_CLONES
void few_scores(const float* queries, std::int64_t query_stride, std::int64_t rows, const HeadRows<float>& keys,
                float* scores, std::int64_t score_stride) {
  scores_of(queries, query_stride, rows, keys, scores, score_stride);
}

BATCHSCOPE_TARGET_CLONES
void few_scores(const float* queries, std::int64_t query_stride, std::int64_t rows, const HeadRows<BFloat16>& keys,
                float* scores, std::int64_t score_stride) {
  scores_of(queries, query_stride, rows, keys, scores, score_stride);
}

BATCHSCOPE_TARGET_CLONES
void add_few_values(const float* weights, std::int64_t weight_stride, std::int64_t rows, const HeadRows<float>& values,
                    float* out, std::int64_t out_stride) {
  add_values(weights, weight_stride, rows, values, out, out_stride);
}

BATCHSCOPE_TARGET_CLONES
void add_few_values(const float* weights, std::int64_t weight_stride, std::int64_t rows,
                    const HeadRows<BFloat16>& values, float* out, std::int64_t out_stride) {
  add_values(weights, weight_stride, rows, values, out, out_stride);
}

}  // namespace batchscope
