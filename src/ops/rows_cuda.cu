// Moving rows on a GPU. Where a row does not exist, a gathered one is NaN and a scattered one is left out.
#include "ops/copy_rows_cuda.cuh"
#include "ops/kernels_cuda.h"
#include "ops/rows.h"

namespace batchscope {

void gather_rows_cuda(const CudaContext& context, const GatherRows& op) {
  copy_rows<Indexed::source>("gather_rows", context, op.x, op.rows, op.out);
}

void scatter_rows_cuda(const CudaContext& context, const ScatterRows& op) {
  copy_rows<Indexed::target>("scatter_rows", context, op.x, op.rows, op.out);
}

}  // namespace batchscope
