// Element by element: shapes, cost, dispatch.
#include "ops/elementwise.h"

namespace batchscope {
namespace {

void check_same_shape(const Tensor& x, const Tensor& y) {
  CHECK_EQUAL(x.rows, y.rows, "both have the same rows");
  CHECK_EQUAL(x.columns, y.columns, "both have the same columns");
}

}  // namespace

void add(Device& device, const Tensor& x, const Tensor& y) {
  check_same_shape(x, y);
  device.launch({"add", 1.0 * static_cast<double>(x.elements()), 3 * x.bytes()}, Add{x, y});
}

void maximum(Device& device, const Tensor& x, const Tensor& y) {
  check_same_shape(x, y);
  device.launch({"maximum", 1.0 * static_cast<double>(x.elements()), 3 * x.bytes()}, Maximum{x, y});
}

void silu(Device& device, const Tensor& x) {
  device.launch({"silu", 4.0 * static_cast<double>(x.elements()), 2 * x.bytes()}, Silu{x});
}

void multiply(Device& device, const Tensor& x, const Tensor& y) {
  check_same_shape(x, y);
  device.launch({"multiply", 1.0 * static_cast<double>(x.elements()), 3 * x.bytes()}, Multiply{x, y});
}

void swiglu(Device& device, const Tensor& gate, const Tensor& up, const Tensor& out) {
  check_same_shape(gate, up);
  check_same_shape(gate, out);
  device.launch({"swiglu", 5.0 * static_cast<double>(gate.elements()), 3 * gate.bytes()}, SwiGlu{gate, up, out});
}

}  // namespace batchscope
