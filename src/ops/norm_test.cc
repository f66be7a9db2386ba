// Tests of RMSNorm against double precision, and of the fused residual against its plain steps.
#include "ops/norm.h"

#include <gtest/gtest.h>

#include "ops/elementwise.h"
#include "ops/test_device.h"

namespace batchscope {
namespace {

constexpr float norm_epsilon = 1e-5f;

Matrix normed(const Matrix& x, const Matrix& weight) {
  Matrix out(x.rows, x.columns);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    double squares = 0;
    for (std::int64_t i = 0; i < x.columns; ++i) squares += x.at(row, i) * x.at(row, i);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.columns) + norm_epsilon);
    for (std::int64_t i = 0; i < x.columns; ++i) out.at(row, i) = weight.at(0, i) * x.at(row, i) * scale;
  }
  return out;
}

// Two roundings to the dtype (the normed value, the product with the weight), and of the sum of n squares in f32 half
// its relative error.
double tolerance(DType dtype, std::int64_t columns) {
  return 2.01 * roundoff(dtype) + (static_cast<double>(columns) / 2 + 4) * roundoff(DType::f32);
}

TEST(RmsNorm, IsTheFormulaInDoublePrecision) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    for (const std::int64_t rows : {0, 1, 6})
      for (const std::int64_t columns : {1, 31, 288}) {
        const Tensor x = device.random(dtype, rows, columns, gap, -4, 4), weight = device.random(dtype, 1, columns);
        const Tensor out = device.empty(dtype, rows, columns, gap);
        const Matrix before = device.read(x);
        rms_norm(device, x, weight, norm_epsilon, out);
        expect_near(device.read(out), normed(before, device.read(weight)), tolerance(dtype, columns));
        expect_near(device.read(x), before, 0);
        rms_norm(device, x, weight, norm_epsilon, x);  // in place
        expect_near(device.read(x), device.read(out), 0);
      }
  });
}

TEST(RmsNorm, ARowOfZerosStaysZero) {
  TestDevice device;
  const Tensor x = device.floats(DType::f32, 1, 3, {0, 0, 0}), weight = device.random(DType::f32, 1, 3);
  rms_norm(device, x, weight, norm_epsilon, x);
  for (const double value : device.read(x).values) EXPECT_EQ(value, 0);
}

TEST(HeadRmsNorm, IsRmsNormOfEachHeadToTheBit) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    for (const std::int64_t heads : {1, 3})
      for (const std::int64_t head_dim : {2, 8, 33}) {
        const Tensor x = device.random(dtype, 5, heads * head_dim, gap, -4, 4);
        const Tensor weight = device.random(dtype, 1, head_dim), plain = device.copy(x);
        head_rms_norm(device, x, weight, norm_epsilon);
        for (std::int64_t head = 0; head < heads; ++head) {
          const Tensor columns = plain.column_range(head * head_dim, head_dim);
          rms_norm(device, columns, weight, norm_epsilon, columns);
        }
        expect_near(device.read(x), device.read(plain), 0);
      }
  });
}

TEST(AddRmsNorm, IsAddThenRmsNormToTheBit) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    for (const std::int64_t rows : {0, 1, 6})
      for (const std::int64_t columns : {1, 33, 130}) {
        const Tensor x = device.random(dtype, rows, columns, gap), y = device.random(dtype, rows, columns, 2 * gap);
        const Tensor weight = device.random(dtype, 1, columns);
        const Tensor plain_x = device.copy(x), plain_out = device.empty(dtype, rows, columns);
        add(device, plain_x, y);
        rms_norm(device, plain_x, weight, norm_epsilon, plain_out);
        add_rms_norm(device, x, y, weight, norm_epsilon, y);  // out may be y
        // The fused form rounds x + y to the dtype before it squares, as the plain steps do: no difference.
        expect_near(device.read(x), device.read(plain_x), 0);
        expect_near(device.read(y), device.read(plain_out), 0);
      }
  });
}

TEST(AddRmsNorm, ShapesMustAgree) {
  TestDevice device;
  const Tensor x = device.empty(DType::f32, 2, 4), weight = device.empty(DType::f32, 1, 3);
  EXPECT_THROW(rms_norm(device, x, weight, norm_epsilon, x), std::logic_error);
  EXPECT_THROW(head_rms_norm(device, x, weight, norm_epsilon), std::logic_error);
  EXPECT_THROW(add_rms_norm(device, x, x.row_range(0, 1), device.empty(DType::f32, 1, 4), norm_epsilon, x),
               std::logic_error);
}

}  // namespace
}  // namespace batchscope
