// A typed view of a matrix in some device's memory. Higher shapes are written as rows of packed columns:
// queries are [tokens, heads * head_dim].
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "tensor/dtype.h"

namespace batchscope {

struct Tensor {
  std::byte* data = nullptr;  // on a planning device an address without memory behind it
  DType dtype = DType::f32;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stride = 0;  // elements from one row to the next, >= columns
  // Not 0: weights as a CPU's GEMM reads them. Every `panel` rows lie together, column by column: the first
  // `panel_group` elements of each row, then the next ones. Contiguous; `panel` divides the rows.
  std::int64_t panel = 0;

  std::int64_t elements() const { return rows * columns; }
  std::int64_t bytes() const { return elements() * size_of(dtype); }  // of the elements, without gaps
  bool contiguous() const { return stride == columns || rows <= 1; }
  std::int64_t panel_group() const { return 4 / size_of(dtype); }
  // Elements from the first one to the one at [row, column].
  std::int64_t offset(std::int64_t row, std::int64_t column) const {
    if (panel == 0) return row * stride + column;
    const std::int64_t group = panel_group();
    return row / panel * panel * stride + (column / group * panel + row % panel) * group + column % group;
  }

  template <class T>
  T* row(std::int64_t index) const {
    return reinterpret_cast<T*>(data) + index * stride;
  }

  Tensor row_range(std::int64_t begin, std::int64_t count) const {
    CHECK_THAT(begin >= 0 && count >= 0 && begin + count <= rows, "rows [{}, +{}) of {}", begin, count, rows);
    CHECK_THAT(panel == 0 || (begin % panel == 0 && count % panel == 0), "rows [{}, +{}) are whole panels of {}", begin,
               count, panel);
    return {data + begin * stride * size_of(dtype), dtype, count, columns, stride, panel};
  }
  Tensor column_range(std::int64_t begin, std::int64_t count) const {
    CHECK_THAT(begin >= 0 && count >= 0 && begin + count <= columns, "columns [{}, +{}) of {}", begin, count, columns);
    CHECK_THAT(panel == 0, "panels of {} rows have no columns of their own", panel);
    return {data + begin * size_of(dtype), dtype, rows, count, stride};
  }
};

// A matrix in host memory that is only read: a tensor of a checkpoint, or a part of one. May be unaligned.
struct HostMatrix {
  const std::byte* data = nullptr;
  DType dtype = DType::f32;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stride = 0;  // elements from one row to the next
};

inline HostMatrix one_row(std::span<const std::int32_t> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  return {reinterpret_cast<const std::byte*>(values.data()), DType::i32, 1, count, count};
}

}  // namespace batchscope
