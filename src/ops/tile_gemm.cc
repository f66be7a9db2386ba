// Tiles in registers of any instruction set.
#include "ops/tile_gemm.h"

#include <algorithm>

#include "ops/vectors.h"

namespace batchscope {
namespace {

// Rows of a cache lie far apart, so that what comes next has to be asked for.
template <class T>
[[gnu::always_inline]] inline void prefetch_row(const T* row, std::int64_t width) {
  constexpr std::int64_t line = 64 / sizeof(T);
  for (std::int64_t d = 0; d < width; d += line) __builtin_prefetch(row + d);
}
constexpr std::int64_t rows_ahead = 16;

// Four rows of out, `width` registers of columns, kept there.
template <int bytes, int width>
[[gnu::always_inline]] inline void four_rows(const float* a, std::int64_t a_stride, const float* b,
                                             std::int64_t b_stride, float* out, std::int64_t out_stride,
                                             std::int64_t depth, bool add) {
  using Floats = typename Vectors<bytes>::Floats;
  constexpr int rows = 4, lanes = Vectors<bytes>::lanes;
  Floats sum[rows][width];
  for (int r = 0; r < rows; ++r)
    for (int w = 0; w < width; ++w)
      sum[r][w] = add ? *reinterpret_cast<const Floats*>(out + r * out_stride + w * lanes) : Floats{};
  for (std::int64_t k = 0; k < depth; ++k) {
    Floats row[width];
    for (int w = 0; w < width; ++w) row[w] = *reinterpret_cast<const Floats*>(b + k * b_stride + w * lanes);
    for (int r = 0; r < rows; ++r)
      for (int w = 0; w < width; ++w) sum[r][w] += a[r * a_stride + k] * row[w];
  }
  for (int r = 0; r < rows; ++r)
    for (int w = 0; w < width; ++w) *reinterpret_cast<Floats*>(out + r * out_stride + w * lanes) = sum[r][w];
}

template <int bytes>
[[gnu::always_inline]] inline void all_rows(const float* a, std::int64_t a_stride, const float* b, std::int64_t b_stride,
                                            float* out, std::int64_t out_stride, std::int64_t rows, std::int64_t depth,
                                            std::int64_t columns, bool add) {
  constexpr int width = Vectors<bytes>::most_sums / 4, wide = width * Vectors<bytes>::lanes;
  for (std::int64_t row = 0; row < rows; row += 4) {
    const float* from = a + row * a_stride;
    float* to = out + row * out_stride;
    std::int64_t column = 0;
    for (; column + wide <= columns; column += wide)
      four_rows<bytes, width>(from, a_stride, b + column, b_stride, to + column, out_stride, depth, add);
    for (; column < columns; column += Vectors<bytes>::lanes)
      four_rows<bytes, 1>(from, a_stride, b + column, b_stride, to + column, out_stride, depth, add);
  }
}

// `rows` rows of queries against every key, which is loaded once for all of them.
template <int bytes, int rows, class T>
[[gnu::always_inline]] inline void scores_of(const float* queries, std::int64_t query_stride, const HeadRows<T>& keys,
                                             float* scores, std::int64_t score_stride) {
  using Floats = typename Vectors<bytes>::Floats;
  constexpr int lanes = Vectors<bytes>::lanes;
  const std::int64_t whole = keys.width / lanes * lanes;
  for (std::int64_t j = 0; j < keys.count; ++j) {
    const T* key = keys.data + j * keys.stride;
    prefetch_row(key + rows_ahead * keys.stride, keys.width);
    Floats sum[rows] = {};
    for (std::int64_t d = 0; d < whole; d += lanes) {
      const Floats some = load_floats<bytes>(key + d);
      for (int r = 0; r < rows; ++r) sum[r] += load_floats<bytes>(queries + r * query_stride + d) * some;
    }
    if (whole < keys.width) {
      const Floats some = load_floats<bytes>(key + whole, keys.width - whole);
      for (int r = 0; r < rows; ++r) sum[r] += load_floats<bytes>(queries + r * query_stride + whole) * some;
    }
    for (int r = 0; r < rows; ++r) scores[r * score_stride + j] = sum_of<bytes>(sum[r]);
  }
}

// `rows` rows of out, `width` registers of columns, kept there; `column` is the first of the values'.
template <int bytes, int rows, int width, class T>
[[gnu::always_inline]] inline void add_values(const float* weights, std::int64_t weight_stride, const HeadRows<T>& values,
                                              std::int64_t column, float* out, std::int64_t out_stride) {
  using Floats = typename Vectors<bytes>::Floats;
  constexpr int lanes = Vectors<bytes>::lanes;
  Floats sum[rows][width];
  for (int r = 0; r < rows; ++r)
    for (int w = 0; w < width; ++w)
      sum[r][w] = *reinterpret_cast<const Floats*>(out + r * out_stride + column + w * lanes);
  for (std::int64_t j = 0; j < values.count; ++j) {
    const T* value = values.data + j * values.stride + column;
    prefetch_row(value + rows_ahead * values.stride, width * lanes);
    Floats row[width];
    for (int w = 0; w < width; ++w)
      row[w] = width == 1 ? load_floats<bytes>(value, values.width - column) : load_floats<bytes>(value + w * lanes);
    for (int r = 0; r < rows; ++r)
      for (int w = 0; w < width; ++w) sum[r][w] += weights[r * weight_stride + j] * row[w];
  }
  for (int r = 0; r < rows; ++r)
    for (int w = 0; w < width; ++w)
      *reinterpret_cast<Floats*>(out + r * out_stride + column + w * lanes) = sum[r][w];
}

template <int bytes, int rows, class T>
[[gnu::always_inline]] inline void add_values(const float* weights, std::int64_t weight_stride, const HeadRows<T>& values,
                                              float* out, std::int64_t out_stride) {
  constexpr int width = Vectors<bytes>::most_sums / 4, wide = width * Vectors<bytes>::lanes;
  std::int64_t column = 0;
  for (; column + wide <= values.width; column += wide)
    add_values<bytes, rows, width>(weights, weight_stride, values, column, out, out_stride);
  for (; column < values.width; column += Vectors<bytes>::lanes)
    add_values<bytes, rows, 1>(weights, weight_stride, values, column, out, out_stride);
}

template <int bytes, class T>
[[gnu::always_inline]] inline void all_scores(const float* queries, std::int64_t query_stride, std::int64_t rows,
                                              const HeadRows<T>& keys, float* scores, std::int64_t score_stride) {
  for (; rows >= 4; rows -= 4, queries += 4 * query_stride, scores += 4 * score_stride)
    scores_of<bytes, 4>(queries, query_stride, keys, scores, score_stride);
  switch (rows) {
    case 3:
      return scores_of<bytes, 3>(queries, query_stride, keys, scores, score_stride);
    case 2:
      return scores_of<bytes, 2>(queries, query_stride, keys, scores, score_stride);
    case 1:
      return scores_of<bytes, 1>(queries, query_stride, keys, scores, score_stride);
    default:
      return;
  }
}

template <int bytes, class T>
[[gnu::always_inline]] inline void add_all_values(const float* weights, std::int64_t weight_stride, std::int64_t rows,
                                                  const HeadRows<T>& values, float* out, std::int64_t out_stride) {
  for (; rows >= 4; rows -= 4, weights += 4 * weight_stride, out += 4 * out_stride)
    add_values<bytes, 4>(weights, weight_stride, values, out, out_stride);
  switch (rows) {
    case 3:
      return add_values<bytes, 3>(weights, weight_stride, values, out, out_stride);
    case 2:
      return add_values<bytes, 2>(weights, weight_stride, values, out, out_stride);
    case 1:
      return add_values<bytes, 1>(weights, weight_stride, values, out, out_stride);
    default:
      return;
  }
}

namespace per_target {

BATCHSCOPE_PER_TARGET(void tile_gemm(const float* a, std::int64_t a_stride, const float* b, std::int64_t b_stride,
                                     float* out, std::int64_t out_stride, std::int64_t rows, std::int64_t depth,
                                     std::int64_t columns, bool add),
                      all_rows<register_bytes>(a, a_stride, b, b_stride, out, out_stride, rows, depth, columns, add))

BATCHSCOPE_PER_TARGET(void few_scores(const float* queries, std::int64_t query_stride, std::int64_t rows,
                                      const HeadRows<float>& keys, float* scores, std::int64_t score_stride),
                      all_scores<register_bytes>(queries, query_stride, rows, keys, scores, score_stride))

BATCHSCOPE_PER_TARGET(void few_scores(const float* queries, std::int64_t query_stride, std::int64_t rows,
                                      const HeadRows<BFloat16>& keys, float* scores, std::int64_t score_stride),
                      all_scores<register_bytes>(queries, query_stride, rows, keys, scores, score_stride))

BATCHSCOPE_PER_TARGET(void add_few_values(const float* weights, std::int64_t weight_stride, std::int64_t rows,
                                          const HeadRows<float>& values, float* out, std::int64_t out_stride),
                      add_all_values<register_bytes>(weights, weight_stride, rows, values, out, out_stride))

BATCHSCOPE_PER_TARGET(void add_few_values(const float* weights, std::int64_t weight_stride, std::int64_t rows,
                                          const HeadRows<BFloat16>& values, float* out, std::int64_t out_stride),
                      add_all_values<register_bytes>(weights, weight_stride, rows, values, out, out_stride))

}  // namespace per_target
}  // namespace

void tile_gemm(const float* a, std::int64_t a_stride, const float* b, std::int64_t b_stride, float* out,
               std::int64_t out_stride, std::int64_t rows, std::int64_t depth, std::int64_t columns, bool add) {
  per_target::tile_gemm(a, a_stride, b, b_stride, out, out_stride, rows, depth, columns, add);
}

void few_scores(const float* queries, std::int64_t query_stride, std::int64_t rows, const HeadRows<float>& keys,
                float* scores, std::int64_t score_stride) {
  per_target::few_scores(queries, query_stride, rows, keys, scores, score_stride);
}

void few_scores(const float* queries, std::int64_t query_stride, std::int64_t rows, const HeadRows<BFloat16>& keys,
                float* scores, std::int64_t score_stride) {
  per_target::few_scores(queries, query_stride, rows, keys, scores, score_stride);
}

void add_few_values(const float* weights, std::int64_t weight_stride, std::int64_t rows, const HeadRows<float>& values,
                    float* out, std::int64_t out_stride) {
  per_target::add_few_values(weights, weight_stride, rows, values, out, out_stride);
}

void add_few_values(const float* weights, std::int64_t weight_stride, std::int64_t rows,
                    const HeadRows<BFloat16>& values, float* out, std::int64_t out_stride) {
  per_target::add_few_values(weights, weight_stride, rows, values, out, out_stride);
}

}  // namespace batchscope
