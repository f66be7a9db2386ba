// A weight matrix as products read it: values, and in narrow formats scales that they are multiplied by.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "tensor/tensor.h"

namespace batchscope {

struct Weight {
  Tensor values;                   // [out_features, in_features]
  Tensor scales;                   // of fp8: [out_features, groups] f32; else nothing
  std::int64_t scale_columns = 0;  // neighbours of a row that share a scale; a row's last group may be smaller

  Weight() = default;
  Weight(const Tensor& plain) : values(plain) {}
  Weight(const Tensor& scaled, const Tensor& scales_of_groups, std::int64_t columns_of_group)
      : values(scaled), scales(scales_of_groups), scale_columns(columns_of_group) {
    CHECK_EQUAL(scales.rows, values.rows, "a row of scales a row of values");
    CHECK_THAT(scale_columns > 0 && scales.columns == (values.columns + scale_columns - 1) / scale_columns,
               "{} scales a row for {} columns by {}", scales.columns, values.columns, scale_columns);
  }

  std::int64_t rows() const { return values.rows; }
  std::int64_t columns() const { return values.columns; }
  std::int64_t bytes() const { return values.bytes() + scales.bytes(); }
  bool is_scaled() const { return scale_columns > 0; }
  bool has_scale_a_row() const { return is_scaled() && scales.columns <= 1; }

  Weight row_range(std::int64_t begin, std::int64_t count) const {
    Weight part(values.row_range(begin, count));
    if (is_scaled()) part.scales = scales.row_range(begin, count);
    part.scale_columns = scale_columns;
    return part;
  }
};

}  // namespace batchscope
