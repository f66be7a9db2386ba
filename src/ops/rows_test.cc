// Tests of moving rows: embedding, gather, scatter.
#include "ops/rows.h"

#include <gtest/gtest.h>

#include "ops/embedding.h"
#include "ops/test_device.h"

namespace batchscope {
namespace {

Matrix picked(const Matrix& from, const std::vector<std::int32_t>& rows) {
  Matrix out(static_cast<std::int64_t>(rows.size()), from.columns);
  for (std::int64_t i = 0; i < out.rows; ++i)
    for (std::int64_t column = 0; column < from.columns; ++column)
      out.at(i, column) = from.at(rows[static_cast<std::size_t>(i)], column);
  return out;
}

TEST(Rows, EmbeddingAndGatherCopyRowsByIndex) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    const Tensor table = device.random(dtype, 9, 7, gap);
    for (const std::vector<std::int32_t>& rows : {std::vector<std::int32_t>{}, {8}, {3, 3, 0, 8, 1}}) {
      const auto count = static_cast<std::int64_t>(rows.size());
      const Tensor index = device.integers(rows), out = device.empty(dtype, count, 7, gap + 1);
      embedding(device, index, table, out);
      expect_near(device.read(out), picked(device.read(table), rows), 0);
      const Tensor gathered = device.empty(dtype, count, 7);
      gather_rows(device, table, index, gathered);
      expect_near(device.read(gathered), device.read(out), 0);
    }
  });
}

TEST(Rows, EmbeddingReadsPanelsToo) {
  if (TestDevice::is_gpu) GTEST_SKIP() << "panels are a CPU's";
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    const Tensor table = device.random(dtype, 12, 8, gap), index = device.integers({11, 0, 5, 5});
    const Tensor out = device.empty(dtype, 4, 8, gap), same = device.empty(dtype, 4, 8);
    embedding(device, index, device.panels(table, 4), out);
    embedding(device, index, table, same);
    EXPECT_EQ(device.read(out).values, device.read(same).values);
  });
}

TEST(Rows, ScatterIsGatherBackwardsAndLeavesOtherRowsAlone) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    const std::vector<std::int32_t> rows{4, 0, 2};
    const Tensor x = device.random(dtype, 3, 5, gap), out = device.random(dtype, 6, 5, gap);
    const Matrix before = device.read(out);
    scatter_rows(device, x, device.integers(rows), out);
    const Matrix after = device.read(out);
    expect_near(picked(after, rows), device.read(x), 0);
    expect_near(picked(after, {1, 3, 5}), picked(before, {1, 3, 5}), 0);
  });
}

TEST(Rows, AreWidenedAndNarrowedBetweenF32AndBf16) {
  if (TestDevice::is_gpu) GTEST_SKIP() << "a GPU keeps everything in one dtype";
  TestDevice device;
  const std::vector<std::int32_t> rows{11, 0, 5, 5};
  const Tensor table = device.random(DType::bf16, 12, 8, 3), out = device.empty(DType::f32, 4, 8, 1);
  for (const Tensor& form : {table, device.panels(table, 4)}) {
    embedding(device, device.integers(rows), form, out);
    expect_near(device.read(out), picked(device.read(table), rows), 0);
  }
  const Tensor x = device.random(DType::f32, 4, 8, 2), cache = device.random(DType::bf16, 12, 8, 1);
  scatter_rows(device, x, device.integers({3, 1, 7, 0}), cache);
  expect_near(picked(device.read(cache), {3, 1, 7, 0}), device.read(x), roundoff(DType::bf16));
  EXPECT_THROW(scatter_rows(device, cache.row_range(0, 1), device.integers({0}), x), std::logic_error);
}

TEST(Rows, IndicesOutsideAreRefused) {
  if (TestDevice::is_gpu) GTEST_SKIP() << "kernels of a GPU cannot refuse";
  TestDevice device;
  const Tensor table = device.random(DType::f32, 3, 2), out = device.empty(DType::f32, 1, 2);
  for (const std::int32_t outside : {3, -1}) {
    EXPECT_THROW(embedding(device, device.integers({outside}), table, out), std::logic_error) << outside;
    EXPECT_THROW(gather_rows(device, table, device.integers({outside}), out), std::logic_error) << outside;
    EXPECT_THROW(scatter_rows(device, out, device.integers({outside}), table), std::logic_error) << outside;
  }
}

}  // namespace
}  // namespace batchscope
