// Embedding on the CPU.
#include <cstring>

#include "ops/embedding.h"
#include "ops/kernels_cpu.h"

namespace batchscope {

void embedding_cpu(const CpuContext&, const Embedding& op) {
  for (std::int64_t token = 0; token < op.out.rows; ++token) {
    const std::int32_t id = op.ids.row<std::int32_t>(0)[token];
    CHECK_THAT(id >= 0 && id < op.table.rows, "token {} is within the vocabulary of {}", id, op.table.rows);
    std::memcpy(op.out.data + token * op.out.stride * size_of(op.out.dtype),
                op.table.data + id * op.table.stride * size_of(op.table.dtype),
                static_cast<std::size_t>(op.out.columns * size_of(op.out.dtype)));
  }
}

}  // namespace batchscope
