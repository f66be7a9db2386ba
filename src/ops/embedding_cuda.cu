// Embedding on a GPU. A token outside of the vocabulary becomes a row of NaN.
#include "ops/copy_rows_cuda.cuh"
#include "ops/embedding.h"
#include "ops/kernels_cuda.h"

namespace batchscope {

void embedding_cuda(const CudaContext& context, const Embedding& op) {
  CHECK_EQUAL(op.table.panel, 0, "panels are for CPUs");
  copy_rows<Indexed::source>("embedding", context, op.table, op.ids, op.out);
}

}  // namespace batchscope
