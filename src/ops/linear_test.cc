// Tests of matrix products: against double precision, and one GEMM for three projections against three.
#include "ops/linear.h"

#include <gtest/gtest.h>

#include <random>
#include <tuple>

#include "ops/gemm_cpu.h"
#include "ops/test_device.h"
#include "tensor/host_rows.h"

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

struct Fp8Weight {
  Weight weight;
  Matrix values;  // multiplied out
};

// Of random values whose rows and groups differ in size.
Fp8Weight random_fp8(TestDevice& device, std::int64_t rows, std::int64_t columns, std::int64_t scale_columns,
                     std::int64_t panel = 0) {
  std::mt19937 random(5);
  std::vector<Float8> codes(static_cast<std::size_t>(rows * columns));
  for (Float8& code : codes) code = Float8(std::uniform_real_distribution<float>(-448, 448)(random));
  const std::int64_t groups = (columns + scale_columns - 1) / scale_columns;
  std::vector<float> scales(static_cast<std::size_t>(rows * groups));
  for (float& scale : scales) scale = std::exp2(std::uniform_real_distribution<float>(-12, -6)(random));
  Tensor values = device.empty(DType::fp8, rows, columns);
  values.panel = panel;
  device->upload({reinterpret_cast<const std::byte*>(codes.data()), DType::fp8, rows, columns, columns}, values);
  Fp8Weight out{{values, device.floats(DType::f32, rows, groups, scales), scale_columns}, Matrix(rows, columns)};
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t column = 0; column < columns; ++column)
      out.values.at(row, column) = static_cast<double>(static_cast<float>(codes[static_cast<std::size_t>(row * columns + column)])) *
                                   scales[static_cast<std::size_t>(row * groups + column / scale_columns)];
  return out;
}

// What a product of FP8 makes of activations: each row rounded by its own scale.
Matrix rounded_to_fp8(const Matrix& x) {
  std::vector<float> floats(x.values.begin(), x.values.end());
  const Fp8Rows rows =
      to_fp8({reinterpret_cast<const std::byte*>(floats.data()), DType::f32, x.rows, x.columns, x.columns}, 0, x.columns);
  Matrix out(x.rows, x.columns);
  for (std::size_t i = 0; i < out.values.size(); ++i)
    out.values[i] = static_cast<double>(static_cast<float>(reinterpret_cast<const Float8*>(rows.values.data())[i])) *
                    rows.scales[i / static_cast<std::size_t>(x.columns)];
  return out;
}

// Weights are multiplied out, whatever meets them: few rows or many, in rows or in panels, with a scale a row or a group. Of
// many rows, or rows that its kernel for few does not read, a GPU rounds 16-bit activations to FP8 where scales are of rows;
// cuBLASLt's FP8 adds up with fewer bits than f32.
TEST(Linear, Fp8WeightsAreTheirValuesTimesTheirScales) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    for (const auto& [features, width, group] :
         {std::tuple{64, 32, 32}, {48, 64, 24}, {29, 18, 18}, {29, 18, 7}, {160, 128, 128}, {96, 256, 256}, {1040, 608, 128}}) {
      std::vector<std::int64_t> panels{0};
      if (const std::int64_t panel = device->weight_panel(DType::fp8, features, width); panel > 0 && group % 4 == 0)
        panels.push_back(panel);
      const Tensor bias = device.random(dtype, 1, features);
      for (const std::int64_t panel : panels) {
        const auto [weight, values] = random_fp8(device, features, width, group, panel);
        for (const std::int64_t rows : {1, 4, 5, 17}) {
          if (features > 1000 && rows != 5) continue;  // which is widened in parts
          const bool is_read_as_it_is = rows <= 16 && width % 256 == 0 && (gap == 0 || rows == 1);
          const bool rounds = TestDevice::is_gpu && dtype != DType::f32 && group == width && !is_read_as_it_is;
          const Tensor x = device.random(dtype, rows, width, gap), out = device.empty(dtype, rows, features, gap);
          linear(device, x, weight, bias, out);
          Product want = product(rounds ? rounded_to_fp8(device.read(x)) : device.read(x), values, Transpose::yes);
          const Matrix added = device.read(bias), got = device.read(out);
          for (std::int64_t row = 0; row < rows; ++row)
            for (std::int64_t column = 0; column < features; ++column) {
              // A weight as such may not be one of the dtype's values; sums may be rounded before their scale.
              const double rounding = (dtype == DType::f32 ? 0 : roundoff(dtype)) + (rounds ? 0x1p-9 : 0) +
                                      static_cast<double>(width + 3) * roundoff(DType::f32);
              const double value = want.value.at(row, column) + added.at(0, column);
              ASSERT_NEAR(got.at(row, column), value,
                          rounding * want.bound.at(row, column) + 2.02 * roundoff(dtype) * std::abs(value))
                  << features << " x " << width << " by " << group << ", panel " << panel << ", row " << row;
            }
        }
      }
    }
  });
}

TEST(Linear, Fp8WithoutScalesIsRefused) {
  TestDevice device;
  const Tensor x = device.empty(DType::f32, 2, 4), out = device.empty(DType::f32, 2, 3);
  EXPECT_THROW(linear(device, x, device.empty(DType::fp8, 3, 4), {}, out), std::logic_error);
}

TEST(Linear, PanelsGiveTheProductOfTheirRows) {
  if (TestDevice::is_gpu) GTEST_SKIP() << "panels are a CPU's";
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

#ifndef BATCHSCOPE_TEST_GPU
// As if the weight were f32 with the same values, whether many rows or few meet it, in rows or in panels.
TEST(Linear, WidensAWeightThatIsKeptNarrower) {
  for (const int threads : {1, 2})
    for (const auto& [features, width] : {std::pair{64, 32}, {48, 64}, {29, 18}, {1040, 608}}) {
      TestDevice device(threads);
      const Tensor rows_of_weight = device.random(DType::bf16, features, width), bias = device.random(DType::f32, 1, features);
      const std::int64_t panel = device->weight_panel(DType::bf16, features, width);
      for (const Tensor& weight : {rows_of_weight, panel > 0 ? device.panels(rows_of_weight, panel) : rows_of_weight})
        for (const std::int64_t rows : {1, 4, 5, 17}) {
          const Tensor x = device.random(DType::f32, rows, width, 3), out = device.empty(DType::f32, rows, features, 2);
          linear(device, x, weight, {}, out);
          const Product want = product(device.read(x), device.read(rows_of_weight), Transpose::yes);
          expect_product(device.read(out), want, DType::f32, width);
          linear(device, x, weight, bias, out);
          Product biased = want;
          const Matrix added = device.read(bias);
          for (std::int64_t row = 0; row < rows; ++row)
            for (std::int64_t column = 0; column < features; ++column) {
              biased.value.at(row, column) += added.at(0, column);
              biased.bound.at(row, column) += std::abs(added.at(0, column));
            }
          expect_product(device.read(out), biased, DType::f32, width + 1);
        }
    }
}

TEST(Gemm, ScalesAccumulatesAndTakesEitherOrder) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    const Tensor a = device.random(dtype, 5, 19, gap), b = device.random(dtype, 19, 7, gap);
    const Tensor transposed = device.random(dtype, 7, 19, gap), out = device.random(dtype, 5, 7, gap);
    const Matrix before = device.read(out);
    // Of one product at a time.
    const auto multiply = [&](const Tensor& right, Transpose transpose, float scale, bool accumulate) {
      CpuContext context;
      std::vector<std::byte> workspace(
          static_cast<std::size_t>(gemm_workspace(context, a, right, transpose, scale, out, accumulate)));
      context.workspace = workspace.data();
      gemm_cpu(context, a, right, transpose, scale, out, accumulate);
    };

    Product want = product(device.read(a), device.read(b), Transpose::no);
    for (std::size_t i = 0; i < want.value.values.size(); ++i) {
      want.value.values[i] += before.values[i];
      want.bound.values[i] += std::abs(before.values[i]);
    }
    multiply(b, Transpose::no, 1.0f, true);
    expect_product(device.read(out), want, dtype, 20);

    want = product(device.read(a), device.read(transposed), Transpose::yes);
    for (auto* values : {&want.value.values, &want.bound.values})
      for (double& value : *values) value *= 0.25;
    multiply(transposed, Transpose::yes, 0.25f, false);
    expect_product(device.read(out), want, dtype, 20);
  });
}
#endif

TEST(Linear, ShapesMustAgree) {
  TestDevice device;
  const Tensor x = device.empty(DType::f32, 2, 4), weight = device.empty(DType::f32, 3, 5);
  EXPECT_THROW(linear(device, x, weight, {}, device.empty(DType::f32, 2, 3)), std::logic_error);
  EXPECT_THROW(
      linear(device, x, device.empty(DType::f32, 3, 4), device.empty(DType::f32, 1, 2), device.empty(DType::f32, 2, 3)),
      std::logic_error);
  if (tested_dtypes.size() > 1) {
    EXPECT_THROW(linear(device, device.empty(DType::bf16, 2, 4), device.empty(DType::f32, 3, 4), {},
                        device.empty(DType::bf16, 2, 3)),
                 std::logic_error);
  }
}

}  // namespace
}  // namespace batchscope
