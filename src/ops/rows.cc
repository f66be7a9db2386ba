// Moving rows: shapes, cost, dispatch.
#include "ops/rows.h"

namespace batchscope {

void gather_rows(Device& device, const Tensor& x, const Tensor& rows, const Tensor& out) {
  CHECK_EQUAL(rows.columns, out.rows, "one row out an index");
  CHECK_EQUAL(x.columns, out.columns, "rows keep their width");
  device.launch({"gather_rows", 0, 2 * out.bytes(), out.dtype, out.elements()}, GatherRows{x, rows, out});
}

void scatter_rows(Device& device, const Tensor& x, const Tensor& rows, const Tensor& out) {
  CHECK_EQUAL(rows.columns, x.rows, "one index a row");
  CHECK_EQUAL(x.columns, out.columns, "rows keep their width");
  device.launch({"scatter_rows", 0, x.bytes() + x.elements() * size_of(out.dtype), x.dtype, x.elements()}, ScatterRows{x, rows, out});
}

}  // namespace batchscope
