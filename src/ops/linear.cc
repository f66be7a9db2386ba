// Linear: shapes, cost, dispatch.
#include "ops/linear.h"

namespace batchscope {

void linear(Device& device, const Tensor& x, const Weight& weight, const Tensor& bias, const Tensor& out) {
  CHECK_EQUAL(x.columns, weight.columns(), "x is as wide as the weight's input");
  CHECK_EQUAL(out.columns, weight.rows(), "out is as wide as the weight's output");
  CHECK_EQUAL(x.rows, out.rows, "linear keeps the rows");
  CHECK_THAT(bias.elements() == 0 || bias.columns == out.columns, "one bias a column: {} and {}", bias.columns,
             out.columns);
  CHECK_EQUAL(weight.values.dtype == DType::fp8, weight.is_scaled(), "fp8 has scales, and nothing else");
  const double flop = 2.0 * static_cast<double>(x.rows) * static_cast<double>(weight.values.elements()) +
                      static_cast<double>(bias.elements() * x.rows);
  device.launch({"linear", flop, x.bytes() + weight.bytes() + bias.bytes() + out.bytes(), weight.is_scaled() ? DType::fp8 : x.dtype,
                 out.rows, out.columns, x.columns},
                Linear{x, weight, bias, out});
}

}  // namespace batchscope
