// Linear: shapes, cost, dispatch.
#include "ops/linear.h"

namespace batchscope {

void linear(Device& device, const Tensor& x, const Tensor& weight, const Tensor& out) {
  CHECK_EQUAL(x.columns, weight.columns, "x is as wide as the weight's input");
  CHECK_EQUAL(out.columns, weight.rows, "out is as wide as the weight's output");
  CHECK_EQUAL(x.rows, out.rows, "linear keeps the rows");
  const double flop = 2.0 * static_cast<double>(x.rows) * static_cast<double>(weight.elements());
  device.launch({"linear", flop, x.bytes() + weight.bytes() + out.bytes()}, Linear{x, weight, out});
}

}  // namespace batchscope
