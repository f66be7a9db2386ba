// Tests of element-by-element ops against double precision, and of SwiGLU against its plain steps.
#include "ops/elementwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "ops/test_device.h"

namespace batchscope {
namespace {

template <class Function>
Matrix combined(const Matrix& x, const Matrix& y, const Function& function) {
  Matrix out(x.rows, x.columns);
  std::transform(x.values.begin(), x.values.end(), y.values.begin(), out.values.begin(), function);
  return out;
}

double silu_of(double x) { return x / (1 + std::exp(-x)); }

TEST(Elementwise, TwoOperandsGiveOneRounding) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    for (const std::int64_t rows : {0, 1, 7}) {
      const Tensor x = device.random(dtype, rows, 37, gap, -3, 3), y = device.random(dtype, rows, 37, 2 * gap, -3, 3);
      const Matrix a = device.read(x), b = device.read(y);
      const Tensor sum = device.copy(x, gap), product = device.copy(x, gap), largest = device.copy(x, gap);
      add(device, sum, y);
      multiply(device, product, y);
      maximum(device, largest, y);
      expect_near(device.read(sum), combined(a, b, std::plus<>()), roundoff(dtype));
      expect_near(device.read(product), combined(a, b, std::multiplies<>()), roundoff(dtype));
      expect_near(device.read(largest), combined(a, b, [](double l, double r) { return std::max(l, r); }), 0);
      expect_near(device.read(y), b, 0);
    }
  });
}

TEST(Elementwise, SiluIsWithinItsExponentialsError) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    for (const std::int64_t rows : {0, 1, 5}) {
      const Tensor x = device.random(dtype, rows, 101, gap, -30, 30);
      const Matrix before = device.read(x);
      silu(device, x);
      // f32: the exponential's 4 roundings, a sum, a quotient; bf16: those are nothing beside its one rounding.
      expect_near(device.read(x), combined(before, before, [](double v, double) { return silu_of(v); }),
                  roundoff(dtype) + 6 * roundoff(DType::f32));
    }
  });
}

TEST(Elementwise, SiluOfExtremesIsFiniteAndVanishesBelow) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    TestDevice device;
    const Tensor x = device.floats(dtype, 1, 8, {-3e38f, -1e30f, -1000, -90, 0, 90, 1e30f, 3e38f});
    const Matrix before = device.read(x);
    silu(device, x);
    const Matrix after = device.read(x);
    for (std::int64_t i = 0; i < 4; ++i) EXPECT_NEAR(after.at(0, i), 0, 1e-35) << before.at(0, i);
    for (std::int64_t i = 4; i < 8; ++i) EXPECT_EQ(after.at(0, i), before.at(0, i));
  }
}

TEST(Elementwise, SwiGluIsSiluThenMultiply) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    for (const std::int64_t rows : {0, 1, 9}) {
      const Tensor gate = device.random(dtype, rows, 43, gap, -8, 8), up = device.random(dtype, rows, 43, gap + 1);
      const Matrix a = device.read(gate), b = device.read(up);
      const Tensor plain = device.copy(gate), fused = device.copy(gate, gap);
      silu(device, plain);
      multiply(device, plain, up);
      swiglu(device, fused, up, fused);
      const Tensor apart = device.empty(dtype, rows, 43);
      swiglu(device, gate, up, apart);
      EXPECT_EQ(device.read(apart).values, device.read(fused).values);
      expect_near(device.read(fused), combined(a, b, [](double g, double u) { return silu_of(g) * u; }),
                  roundoff(dtype) + 7 * roundoff(DType::f32));
      // The plain steps round twice, the fused form once: three roundings apart at most.
      expect_near(device.read(fused), device.read(plain), 3.1 * roundoff(dtype));
    }
  });
}

TEST(Elementwise, ShapesMustAgree) {
  TestDevice device;
  const Tensor x = device.empty(DType::f32, 2, 3), y = device.empty(DType::f32, 3, 2);
  EXPECT_THROW(add(device, x, y), std::logic_error);
  EXPECT_THROW(swiglu(device, x, y, x), std::logic_error);
  if (!TestDevice::is_gpu) {
    EXPECT_THROW(silu(device, device.empty(DType::f16, 1, 1)), std::logic_error);
  }
}

}  // namespace
}  // namespace batchscope
