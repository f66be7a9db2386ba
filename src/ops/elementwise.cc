// Element by element: shapes, cost, dispatch.
#include "ops/elementwise.h"

namespace batchscope {
namespace {

void check_same_shape(const Tensor& x, const Tensor& y) {
  CHECK_EQUAL(x.rows, y.rows, "both have the same rows");
  CHECK_EQUAL(x.columns, y.columns, "both have the same columns");
}

// So many operations an element, and so many passes over the memory of x.
Work work(std::string_view op, double flop, std::int64_t passes, const Tensor& x) {
  return {op, flop * static_cast<double>(x.elements()), passes * x.bytes(), x.dtype, x.elements()};
}

}  // namespace

void add(Device& device, const Tensor& x, const Tensor& y) {
  check_same_shape(x, y);
  device.launch(work("add", 1, 3, x), Add{x, y});
}

void maximum(Device& device, const Tensor& x, const Tensor& y) {
  check_same_shape(x, y);
  device.launch(work("maximum", 1, 3, x), Maximum{x, y});
}

void silu(Device& device, const Tensor& x) {
  device.launch(work("silu", 4, 2, x), Silu{x});
}

void multiply(Device& device, const Tensor& x, const Tensor& y) {
  check_same_shape(x, y);
  device.launch(work("multiply", 1, 3, x), Multiply{x, y});
}

void swiglu(Device& device, const Tensor& gate, const Tensor& up, const Tensor& out) {
  check_same_shape(gate, up);
  check_same_shape(gate, out);
  device.launch(work("swiglu", 5, 3, gate), SwiGlu{gate, up, out});
}

}  // namespace batchscope
