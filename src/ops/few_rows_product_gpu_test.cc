// Products of few rows by our own kernel, whichever the products' tuning would take.
#include "ops/few_rows_product_cuda.h"

#include <gtest/gtest.h>

#include "device/cuda/cuda_device.h"
#include "ops/test_device.h"

namespace batchscope {
namespace {

void expect_product(TestDevice& device, DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t depth,
                    std::int64_t gap, bool biased) {
  const Tensor x = device.random(dtype, rows, depth, gap), weight = device.random(dtype, columns, depth, gap);
  const Tensor bias = biased ? device.random(dtype, 1, columns) : Tensor();
  const Tensor out = device.random(dtype, rows, columns, gap);
  const Linear op{x, weight, bias, out};
  ASSERT_TRUE(few_rows_product_fits(op));
  few_rows_product(dynamic_cast<CudaDevice&>(*device).context(), op);
  const Matrix got = device.read(out), a = device.read(x), b = device.read(weight);
  const Matrix added = biased ? device.read(bias) : Matrix(1, columns);
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t column = 0; column < columns; ++column) {
      double want = added.at(0, column), bound = std::abs(want);
      for (std::int64_t i = 0; i < depth; ++i) {
        want += a.at(row, i) * b.at(column, i);
        bound += std::abs(a.at(row, i) * b.at(column, i));
      }
      ASSERT_NEAR(got.at(row, column), want,
                  static_cast<double>(depth + 2) * roundoff(DType::f32) * bound + 1.01 * roundoff(dtype) * std::abs(want))
          << rows << " x " << columns << " x " << depth << ", gap " << gap << ": row " << row << ", column " << column;
    }
}

TEST(FewRowsProduct, IsTheProductInDoublePrecision) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const std::int64_t rows : {1, 2, 7, 8, 9, 16})
      for (const std::int64_t columns : {1, 31, 32, 33, 100})
        for (const std::int64_t depth : {128, 384, 2176}) {
          TestDevice device;
          expect_product(device, dtype, rows, columns, depth, 8, columns == 33);
        }
    TestDevice device;
    expect_product(device, dtype, 8, 1000, 6656, 0, false);
  }
}

TEST(FewRowsProduct, FitsOnlyWhatItCanRead) {
  TestDevice device;
  const auto fits = [&](DType dtype, std::int64_t rows, std::int64_t depth, std::int64_t gap) {
    return few_rows_product_fits({device.random(dtype, rows, depth, gap), device.random(dtype, 4, depth), {},
                                  device.empty(dtype, rows, 4)});
  };
  EXPECT_TRUE(fits(DType::bf16, 16, 128, 0));
  EXPECT_FALSE(fits(DType::bf16, 17, 128, 0));
  EXPECT_FALSE(fits(DType::bf16, 2, 192, 0));  // a piece and a half
  EXPECT_FALSE(fits(DType::bf16, 2, 128, 1));
  EXPECT_FALSE(fits(DType::f32, 2, 128, 0));
}

}  // namespace
}  // namespace batchscope
