// A panel's sums stay in registers while its elements stream by (ops/panel_product.h).
#include "ops/panel_product.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "device/cpu/parallel_for.h"
#include "ops/row_math.h"
#include "ops/vectors.h"

namespace batchscope {
namespace {

constexpr std::int64_t widest_panel = 64;
constexpr std::int64_t bytes_ahead = 4096;  // of the element in use; what a prefetch needs to hide a memory's latency

// Of the upper bytes: Float8's conversion.
template <int bytes>
[[gnu::always_inline]] inline typename Vectors<bytes>::Floats fp8_floats(const typename Vectors<bytes>::Words& words) {
  return as_floats<bytes>((words & 0x80000000u) | (words >> 4 & 0x07f00000u)) * 0x1p120f;
}

// `width` registers of a panel's rows, the first of which is at `panel`: their sums stay in registers.
template <int bytes, int rows, int width, class T>
[[gnu::always_inline]] inline void some_sums(const float* x, std::int64_t x_stride, const std::byte* panel,
                                             std::int64_t panel_rows, std::int64_t columns, float* sums) {
  using Floats = typename Vectors<bytes>::Floats;
  using Words = typename Vectors<bytes>::Words;
  constexpr std::int64_t group = 4 / sizeof(T);  // of each row: one f32, two bf16 or four fp8
  Floats sum[rows][width] = {};
  for (std::int64_t k = 0; k < columns; k += group, panel += panel_rows * 4) {
    Words words[width];
    std::memcpy(words, panel, sizeof words);
    for (int ahead = 0; ahead < width * bytes; ahead += 64) __builtin_prefetch(panel + bytes_ahead + ahead);
    for (int r = 0; r < rows; ++r)
      for (int w = 0; w < width; ++w) {
        if constexpr (group == 1) {
          sum[r][w] += x[r * x_stride + k] * as_floats<bytes>(words[w]);
        } else if constexpr (group == 2) {
          sum[r][w] += x[r * x_stride + k] * as_floats<bytes>(words[w] << 16);
          sum[r][w] += x[r * x_stride + k + 1] * as_floats<bytes>(words[w] & 0xffff0000u);
        }
      }
    if constexpr (group == 4)
      for (int w = 0; w < width; ++w) {
        const Floats values[group] = {fp8_floats<bytes>(words[w] << 24), fp8_floats<bytes>(words[w] << 16),
                                      fp8_floats<bytes>(words[w] << 8), fp8_floats<bytes>(words[w])};
        for (int r = 0; r < rows; ++r)
          for (int i = 0; i < group; ++i) sum[r][w] += x[r * x_stride + k + i] * values[i];
      }
  }
  for (int r = 0; r < rows; ++r)
    for (int w = 0; w < width; ++w)
      store_floats<bytes>(sum[r][w], sums + r * panel_rows + w * Vectors<bytes>::lanes);
}

// As many registers at a time as there are for `rows` rows; one pass over the panel where that is all of them.
template <int bytes, int rows, class T>
[[gnu::always_inline]] inline void sums_of_rows(const float* x, std::int64_t x_stride, const std::byte* panel,
                                                std::int64_t panel_rows, std::int64_t columns, float* sums) {
  constexpr int most = Vectors<bytes>::most_sums / rows;
  for (std::int64_t done = 0; done < panel_rows;) {
    const std::int64_t left = (panel_rows - done) / Vectors<bytes>::lanes;
    const auto take = [&]<int width>() __attribute__((always_inline)) {
      some_sums<bytes, rows, width, T>(x, x_stride, panel + done * 4, panel_rows, columns, sums + done);
      done += width * Vectors<bytes>::lanes;
    };
    if (most >= 8 && left >= 8)
      take.template operator()<std::min(most, 8)>();
    else if (most >= 4 && left >= 4)
      take.template operator()<std::min(most, 4)>();
    else if (most >= 3 && left >= 3)
      take.template operator()<std::min(most, 3)>();
    else if (most >= 2 && left >= 2)
      take.template operator()<std::min(most, 2)>();
    else
      take.template operator()<1>();
  }
}

template <int bytes, class T>
[[gnu::always_inline]] inline void sums_of(const float* x, std::int64_t x_stride, std::int64_t rows, const T* panel,
                                           std::int64_t panel_rows, std::int64_t columns, float* sums) {
  const auto* at = reinterpret_cast<const std::byte*>(panel);
  switch (rows) {
    case 1:
      return sums_of_rows<bytes, 1, T>(x, x_stride, at, panel_rows, columns, sums);
    case 2:
      return sums_of_rows<bytes, 2, T>(x, x_stride, at, panel_rows, columns, sums);
    case 3:
      return sums_of_rows<bytes, 3, T>(x, x_stride, at, panel_rows, columns, sums);
    default:
      return sums_of_rows<bytes, 4, T>(x, x_stride, at, panel_rows, columns, sums);
  }
}

// sums [rows, panel_rows] = x [rows, columns] * panel
BATCHSCOPE_PER_TARGET(void sums_of_panel(const float* x, std::int64_t x_stride, std::int64_t rows, const float* panel,
                                         std::int64_t panel_rows, std::int64_t columns, float* sums),
                      sums_of<register_bytes>(x, x_stride, rows, panel, panel_rows, columns, sums))

BATCHSCOPE_PER_TARGET(void sums_of_panel(const float* x, std::int64_t x_stride, std::int64_t rows, const BFloat16* panel,
                                         std::int64_t panel_rows, std::int64_t columns, float* sums),
                      sums_of<register_bytes>(x, x_stride, rows, panel, panel_rows, columns, sums))

BATCHSCOPE_PER_TARGET(void sums_of_panel(const float* x, std::int64_t x_stride, std::int64_t rows, const Float8* panel,
                                         std::int64_t panel_rows, std::int64_t columns, float* sums),
                      sums_of<register_bytes>(x, x_stride, rows, panel, panel_rows, columns, sums))

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
