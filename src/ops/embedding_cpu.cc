// Embedding on the CPU.
#include <cstring>

#include "device/cpu/parallel_for.h"
#include "ops/embedding.h"
#include "ops/kernels_cpu.h"
#include "ops/widened_rows.h"

namespace batchscope {
namespace {

// A row whose groups, of four bytes each, lie `panel` groups apart.
void gather_from_panel(const std::byte* row, std::int64_t panel, std::int64_t groups, std::byte* out) {
  for (std::int64_t group = 0; group < groups; ++group) std::memcpy(out + 4 * group, row + 4 * group * panel, 4);
}

}  // namespace

void embedding_cpu(const CpuContext& context, const Embedding& op) {
  for (std::int64_t token = 0; token < op.out.rows; ++token) {
    const std::int32_t id = op.ids.row<std::int32_t>(0)[token];
    CHECK_THAT(id >= 0 && id < op.table.rows, "token {} is within the vocabulary of {}", id, op.table.rows);
  }
  CHECK_THAT(op.table.dtype == op.out.dtype || is_widened(op.table.dtype, op.out.dtype), "a table of {} gives no rows of {}",
             name_of(op.table.dtype), name_of(op.out.dtype));
  parallel_for(context, op.out.rows, [&](std::int64_t token) {
    const std::int32_t id = op.ids.row<std::int32_t>(0)[token];
    std::byte* out = op.out.data + op.out.offset(token, 0) * size_of(op.out.dtype);
    if (is_widened(op.table.dtype, op.out.dtype)) return widen_row(op.table, id, op.out.row<float>(token));
    const std::byte* row = op.table.data + op.table.offset(id, 0) * size_of(op.table.dtype);
    if (op.table.panel > 0)
      gather_from_panel(row, op.table.panel, op.table.columns / op.table.panel_group(), out);
    else
      std::memcpy(out, row, static_cast<std::size_t>(op.out.columns * size_of(op.out.dtype)));
  });
}

}  // namespace batchscope
