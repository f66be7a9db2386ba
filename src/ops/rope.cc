// RoPE: shapes, cost, dispatch.
#include "ops/rope.h"

namespace batchscope {

void rope_table(Device& device, const Tensor& positions, const Tensor& inverse_frequencies, float factor,
                const Tensor& cosine, const Tensor& sine) {
  CHECK_EQUAL(positions.columns, cosine.rows, "one row a token");
  CHECK_EQUAL(inverse_frequencies.columns, cosine.columns, "one column a frequency");
  device.launch({"rope_table", 3.0 * static_cast<double>(cosine.elements()), 2 * cosine.bytes(), DType::f32, 2 * cosine.elements()},
                RopeTable{positions, inverse_frequencies, factor, cosine, sine});
}

void rope(Device& device, const Tensor& x, const Tensor& cosine, const Tensor& sine) {
  CHECK_EQUAL(x.rows, cosine.rows, "one row a token");
  CHECK_EQUAL(x.columns % (2 * cosine.columns), 0, "x holds whole heads");
  device.launch({"rope", 3.0 * static_cast<double>(x.elements()), 2 * x.bytes() + 2 * cosine.bytes(), x.dtype, x.elements()},
                Rope{x, cosine, sine});
}

}  // namespace batchscope
