// A panel's sums stay in registers while its elements stream by (ops/panel_product.h).
#include "ops/panel_product.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "device/cpu/parallel_for.h"
#include "ops/row_math.h"

namespace batchscope {
namespace {

constexpr std::int64_t lanes = 16;
constexpr std::int64_t widest_panel = 64;
constexpr std::int64_t bytes_ahead = 4096;  // of the element in use; what a prefetch needs to hide a memory's latency

using Lanes [[gnu::vector_size(64)]] = float;
using Words [[gnu::vector_size(64)]] = std::uint32_t;

[[gnu::always_inline]] inline Lanes as_floats(const Words& words) {
  Lanes floats;
  std::memcpy(&floats, &words, sizeof floats);
  return floats;
}

// Of the upper bytes: Float8's conversion.
[[gnu::always_inline]] inline Lanes fp8_lanes(const Words& words) {
  return as_floats((words & 0x80000000u) | (words >> 4 & 0x07f00000u)) * 0x1p120f;
}

template <int rows, int width, class T>
[[gnu::always_inline]] inline void panel_sums(const float* x, std::int64_t x_stride, const T* panel, std::int64_t columns,
                                              float* sums) {
  Lanes sum[rows][width] = {};
  constexpr std::int64_t group = 4 / sizeof(T);  // of each row: one f32, two bf16 or four fp8
  const auto* at = reinterpret_cast<const std::byte*>(panel);
  for (std::int64_t k = 0; k < columns; k += group, at += width * sizeof(Words)) {
    Words words[width];
    std::memcpy(words, at, sizeof words);
    for (int w = 0; w < width; ++w)
      __builtin_prefetch(at + bytes_ahead + w * static_cast<std::int64_t>(sizeof(Words)));
    for (int r = 0; r < rows; ++r)
      for (int w = 0; w < width; ++w) {
        if constexpr (group == 1) {
          sum[r][w] += x[r * x_stride + k] * as_floats(words[w]);
        } else if constexpr (group == 2) {
          sum[r][w] += x[r * x_stride + k] * as_floats(words[w] << 16);
          sum[r][w] += x[r * x_stride + k + 1] * as_floats(words[w] & 0xffff0000u);
        }
      }
    if constexpr (group == 4)
      for (int w = 0; w < width; ++w) {
        const Lanes values[group] = {fp8_lanes(words[w] << 24), fp8_lanes(words[w] << 16), fp8_lanes(words[w] << 8),
                                     fp8_lanes(words[w])};
        for (int r = 0; r < rows; ++r)
          for (int i = 0; i < group; ++i) sum[r][w] += x[r * x_stride + k + i] * values[i];
      }
  }
  std::memcpy(sums, sum, sizeof sum);
}

template <int rows, class T>
[[gnu::always_inline]] inline void panel_sums(const float* x, std::int64_t x_stride, const T* panel, std::int64_t width,
                                              std::int64_t columns, float* sums) {
  switch (width / lanes) {
    case 1:
      return panel_sums<rows, 1>(x, x_stride, panel, columns, sums);
    case 2:
      return panel_sums<rows, 2>(x, x_stride, panel, columns, sums);
    case 3:
      return panel_sums<rows, 3>(x, x_stride, panel, columns, sums);
    default:
      return panel_sums<rows, 4>(x, x_stride, panel, columns, sums);
  }
}

template <class T>
[[gnu::always_inline]] inline void panel_sums(const float* x, std::int64_t x_stride, std::int64_t rows, const T* panel,
                                              std::int64_t width, std::int64_t columns, float* sums) {
  switch (rows) {
    case 1:
      return panel_sums<1>(x, x_stride, panel, width, columns, sums);
    case 2:
      return panel_sums<2>(x, x_stride, panel, width, columns, sums);
    case 3:
      return panel_sums<3>(x, x_stride, panel, width, columns, sums);
    default:
      return panel_sums<4>(x, x_stride, panel, width, columns, sums);
  }
}

// sums [rows, width] = x [rows, columns] * panel
BATCHSCOPE_TARGET_CLONES
void sums_of_panel(const float* x, std::int64_t x_stride, std::int64_t rows, const float* panel, std::int64_t width,
                   std::int64_t columns, float* sums) {
  panel_sums(x, x_stride, rows, panel, width, columns, sums);
}

BATCHSCOPE_TARGET_CLONES
void sums_of_panel(const float* x, std::int64_t x_stride, std::int64_t rows, const BFloat16* panel, std::int64_t width,
                   std::int64_t columns, float* sums) {
  panel_sums(x, x_stride, rows, panel, width, columns, sums);
}

BATCHSCOPE_TARGET_CLONES
void sums_of_panel(const float* x, std::int64_t x_stride, std::int64_t rows, const Float8* panel, std::int64_t width,
                   std::int64_t columns, float* sums) {
  panel_sums(x, x_stride, rows, panel, width, columns, sums);
}

constexpr std::int64_t most_sums = most_panel_product_rows * widest_panel;

// The same of a panel of fp8, whose first row is the weight's row `first`: each group's sums times its scales.
void scaled_sums_of_panel(const float* x, std::int64_t x_stride, std::int64_t rows, const Weight& weight,
                          std::int64_t first, float* sums) {
  const std::int64_t width = weight.values.panel;
  const auto* panel = weight.values.row<Float8>(first);
  std::fill_n(sums, rows * width, 0.0f);
  for (std::int64_t group = 0; group < weight.scales.columns; ++group) {
    alignas(64) float part[most_sums], scales[widest_panel];
    const std::int64_t begin = group * weight.scale_columns;
    const std::int64_t columns = std::min(weight.scale_columns, weight.columns() - begin);
    sums_of_panel(x + begin, x_stride, rows, panel + begin * width, width, columns, part);
    for (std::int64_t i = 0; i < width; ++i) scales[i] = weight.scales.row<float>(first + i)[group];
    for (std::int64_t row = 0; row < rows; ++row) {
      row_multiply(part + row * width, scales, width);
      row_add(sums + row * width, part + row * width, width);
    }
  }
}

// All rows as floats, one behind the other.
template <class T>
const float* float_rows(const Tensor& a, std::int64_t& stride) {
  if constexpr (std::is_same_v<T, float>) {
    stride = a.stride;
    return a.row<float>(0);
  } else {
    thread_local std::vector<float> wide;
    wide.resize(static_cast<std::size_t>(a.elements()));
    for (std::int64_t row = 0; row < a.rows; ++row) row_widen(a.row<T>(row), wide.data() + row * a.columns, a.columns);
    stride = a.columns;
    return wide.data();
  }
}

}  // namespace

void panel_product(const CpuContext& context, const Tensor& a, const Weight& weight, const Tensor& bias,
                   const Tensor& out) {
  CHECK_THAT(a.rows >= 1 && a.rows <= most_panel_product_rows, "{} rows are few", a.rows);
  for_dtype(a.dtype, [&]<class T>(T) {
    std::int64_t stride = 0;
    const float* x = float_rows<T>(a, stride);
    const std::int64_t width = weight.values.panel;
    parallel_for(context, weight.rows() / width, [&](std::int64_t index) {
      alignas(64) float sums[most_sums];
      const std::int64_t first = index * width;
      if (weight.is_scaled())
        scaled_sums_of_panel(x, stride, a.rows, weight, first, sums);
      else
        for_dtype(weight.values.dtype, [&]<class W>(W) {
          sums_of_panel(x, stride, a.rows, weight.values.row<W>(first), width, a.columns, sums);
        });
      for (std::int64_t row = 0; row < a.rows; ++row) {
        float* sum = sums + row * width;
        if (bias.elements() > 0) row_add(sum, float_row<1>(bias.row<T>(0) + first, width), width);
        T* to = out.row<T>(row) + first;
        if constexpr (std::is_same_v<T, float>)
          std::copy_n(sum, width, to);
        else
          row_narrow(sum, to, width);
      }
    });
  });
}

}  // namespace batchscope
