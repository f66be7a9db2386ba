// Tests of matrix products: against double precision, and one GEMM for three projections against three.
#include "ops/linear.h"

#include <gtest/gtest.h>

#include "ops/gemm_cpu.h"
#include "ops/test_device.h"

namespace batchscope {
namespace {

struct Product {
  Matrix value, bound;  // bound: sum of |a| |b|, what rounding errors are proportional to
};

Product product(const Matrix& a, const Matrix& b, Transpose transpose_b) {
  const std::int64_t columns = transpose_b == Transpose::yes ? b.rows : b.columns;
  Product out{Matrix(a.rows, columns), Matrix(a.rows, columns)};
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      for (std::int64_t k = 0; k < a.columns; ++k) {
        const double term = a.at(i, k) * (transpose_b == Transpose::yes ? b.at(j, k) : b.at(k, j));
        out.value.at(i, j) += term;
        out.bound.at(i, j) += std::abs(term);
      }
  return out;
}

// k additions in f32 in any order, then one rounding to the dtype.
void expect_product(const Matrix& got, const Product& want, DType dtype, std::int64_t k) {
  ASSERT_EQ(got.values.size(), want.value.values.size());
  for (std::size_t i = 0; i < got.values.size(); ++i)
    ASSERT_NEAR(got.values[i], want.value.values[i],
                static_cast<double>(k + 2) * roundoff(DType::f32) * want.bound.values[i] +
                    1.01 * roundoff(dtype) * std::abs(want.value.values[i]))
        << "element " << i;
}

TEST(Linear, IsTheProductInDoublePrecision) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    for (const std::int64_t rows : {0, 1, 3, 17})
      for (const std::int64_t width : {1, 13, 64}) {
        const Tensor x = device.random(dtype, rows, width, gap), weight = device.random(dtype, 2 * width + 1, width);
        const Tensor out = device.empty(dtype, rows, 2 * width + 1, gap);
        linear(device, x, weight, {}, out);
        expect_product(device.read(out), product(device.read(x), device.read(weight), Transpose::yes), dtype, width);
      }
  });
}

TEST(Linear, ABiasIsAddedToEveryRow) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    for (const std::int64_t rows : {0, 1, 17}) {
      const Tensor x = device.random(dtype, rows, 13, gap), weight = device.random(dtype, 9, 13);
      const Tensor bias = device.random(dtype, 1, 9), out = device.random(dtype, rows, 9, gap);
      linear(device, x, weight, bias, out);
      Product want = product(device.read(x), device.read(weight), Transpose::yes);
      const Matrix added = device.read(bias);
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t column = 0; column < 9; ++column) {
          want.value.at(row, column) += added.at(0, column);
          want.bound.at(row, column) += std::abs(added.at(0, column));
        }
      expect_product(device.read(out), want, dtype, 14);
    }
  });
}

TEST(Linear, OneGemmForQueryKeyAndValueIsThree) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    const std::int64_t hidden = 24, queries = 24, keys = 8, rows = 11;
    const Tensor x = device.random(dtype, rows, hidden, gap);
    const Tensor weight = device.random(dtype, queries + 2 * keys, hidden);
    const Tensor fused = device.empty(dtype, rows, queries + 2 * keys);
    linear(device, x, weight, {}, fused);
    std::int64_t begin = 0;
    for (const std::int64_t width : {queries, keys, keys}) {
      const Tensor part_weight = weight.row_range(begin, width), part = device.empty(dtype, rows, width, gap);
      linear(device, x, part_weight, {}, part);
      const Product want = product(device.read(x), device.read(part_weight), Transpose::yes);
      expect_product(device.read(part), want, dtype, hidden);
      expect_product(device.read(fused.column_range(begin, width)), want, dtype, hidden);
      begin += width;
    }
  });
}

TEST(Linear, PanelsGiveTheProductOfTheirRows) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t) {
    for (const auto& [features, width] : {std::pair{64, 32}, {48, 64}, {160, 96}, {112, 32}}) {
      const std::int64_t panel = device->weight_panel(dtype, features, width);
      if (panel == 0) GTEST_SKIP() << "oneDNN reads no panels of " << name_of(dtype) << " on this CPU";
      EXPECT_EQ(features % panel, 0);
      for (const std::int64_t rows : {1, 2, 3, 4, 5, 17}) {
        const Tensor x = device.random(dtype, rows, width), plain = device.random(dtype, features, width);
        const Tensor bias = device.random(dtype, 1, features), out = device.empty(dtype, rows, features);
        const Tensor weight = device.panels(plain, panel);
        const Product want = product(device.read(x), device.read(plain), Transpose::yes);
        linear(device, x, weight, {}, out);
        expect_product(device.read(out), want, dtype, width);
        const Tensor part = device.empty(dtype, rows, panel);  // whole panels are weights of their own
        linear(device, x, weight.row_range(features - panel, panel), {}, part);
        EXPECT_EQ(device.read(part).values, device.read(out.column_range(features - panel, panel)).values);
        linear(device, x, weight, bias, out);
        const Tensor same = device.empty(dtype, rows, features);
        linear(device, x, plain, bias, same);
        expect_near(device.read(out), device.read(same), 2 * roundoff(dtype),
                    static_cast<double>(width) * roundoff(DType::f32));
      }
    }
  });
}

TEST(Linear, PanelsDivideTheRowsOrThereAreNone) {
  TestDevice device;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    EXPECT_EQ(device->weight_panel(dtype, 24, 64), 0);  // no panel has 24 rows or 8
    EXPECT_EQ(device->weight_panel(dtype, 64, 40), 0);
    EXPECT_EQ(device->weight_panel(dtype, 0, 64), 0);
  }
  EXPECT_EQ(device->weight_panel(DType::i32, 64, 64), 0);
}

TEST(Gemm, ScalesAccumulatesAndTakesEitherOrder) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    const Tensor a = device.random(dtype, 5, 19, gap), b = device.random(dtype, 19, 7, gap);
    const Tensor transposed = device.random(dtype, 7, 19, gap), out = device.random(dtype, 5, 7, gap);
    const Matrix before = device.read(out);
    const CpuContext context;

    Product want = product(device.read(a), device.read(b), Transpose::no);
    for (std::size_t i = 0; i < want.value.values.size(); ++i) {
      want.value.values[i] += before.values[i];
      want.bound.values[i] += std::abs(before.values[i]);
    }
    gemm_cpu(context, a, b, Transpose::no, 1.0f, out, true);
    expect_product(device.read(out), want, dtype, 20);

    want = product(device.read(a), device.read(transposed), Transpose::yes);
    for (auto* values : {&want.value.values, &want.bound.values})
      for (double& value : *values) value *= 0.25;
    gemm_cpu(context, a, transposed, Transpose::yes, 0.25f, out);
    expect_product(device.read(out), want, dtype, 20);
  });
}

TEST(Linear, ShapesMustAgree) {
  TestDevice device;
  const Tensor x = device.empty(DType::f32, 2, 4), weight = device.empty(DType::f32, 3, 5);
  EXPECT_THROW(linear(device, x, weight, {}, device.empty(DType::f32, 2, 3)), std::logic_error);
  EXPECT_THROW(
      linear(device, x, device.empty(DType::f32, 3, 4), device.empty(DType::f32, 1, 2), device.empty(DType::f32, 2, 3)),
      std::logic_error);
  EXPECT_THROW(linear(device, x, device.empty(DType::bf16, 3, 4), {}, device.empty(DType::f32, 2, 3)),
               std::logic_error);
}

}  // namespace
}  // namespace batchscope
