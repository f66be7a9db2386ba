// Tiles in vectors of sixteen floats: one AVX-512 register, two of AVX2, four of SSE.
#include "ops/tile_gemm.h"

#include "base/target_clones.h"

namespace batchscope {
namespace {

using Lanes [[gnu::vector_size(64), gnu::may_alias]] = float;

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
void tile_dots(const float* a, const float* b, std::int64_t depth, float* out, std::int64_t out_stride,
               std::int64_t rows, std::int64_t columns) {
  for (std::int64_t column = 0; column < columns; ++column)
    for (std::int64_t row = 0; row < rows; ++row) {
      Lanes sum{};
      for (std::int64_t k = 0; k < depth; k += tile_lanes)
        sum += *reinterpret_cast<const Lanes*>(a + row * depth + k) *
               *reinterpret_cast<const Lanes*>(b + column * depth + k);
      float total = 0;
      for (int lane = 0; lane < tile_lanes; ++lane) total += sum[lane];
      out[row * out_stride + column] = total;
    }
}

}  // namespace batchscope
