// RMSNorm: shapes, cost, dispatch.
#include "ops/norm.h"

namespace batchscope {

void rms_norm(Device& device, const Tensor& x, const Tensor& weight, float epsilon, const Tensor& out) {
  CHECK_EQUAL(x.rows, out.rows, "rms_norm keeps the rows");
  CHECK_EQUAL(x.columns, weight.columns, "one weight a column");
  device.launch({"rms_norm", 4.0 * static_cast<double>(x.elements()), 2 * x.bytes() + weight.bytes(), x.dtype, x.elements()},
                RmsNorm{x, weight, epsilon, out});
}

void head_rms_norm(Device& device, const Tensor& x, const Tensor& weight, float epsilon) {
  CHECK_EQUAL(x.columns % weight.columns, 0, "x holds whole heads");
  device.launch({"head_rms_norm", 4.0 * static_cast<double>(x.elements()), 2 * x.bytes() + weight.bytes(), x.dtype, x.elements()},
                HeadRmsNorm{x, weight, epsilon});
}

void add_rms_norm(Device& device, const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                  const Tensor& out) {
  CHECK_EQUAL(x.rows, y.rows, "a residual has the stream's rows");
  CHECK_EQUAL(x.columns, weight.columns, "one weight a column");
  device.launch({"add_rms_norm", 5.0 * static_cast<double>(x.elements()), 4 * x.bytes() + weight.bytes(), x.dtype, x.elements()},
                AddRmsNorm{x, y, weight, epsilon, out});
}

}  // namespace batchscope
