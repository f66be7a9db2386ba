// Embedding: shapes, cost, dispatch.
#include "ops/embedding.h"

namespace batchscope {

void embedding(Device& device, const Tensor& ids, const Tensor& table, const Tensor& out) {
  CHECK_EQUAL(ids.columns, out.rows, "one row a token");
  CHECK_EQUAL(table.columns, out.columns, "rows are as wide as the table");
  device.launch({"embedding", 0, ids.bytes() + out.elements() * size_of(table.dtype) + out.bytes(), out.dtype, out.elements()}, Embedding{ids, table, out});
}

}  // namespace batchscope
