// QK norm, RoPE and attention in one, on a GPU: the new keys to their places, then one of three kernels.
#include <limits>

#include "ops/attention_kernels_cuda.h"
#include "ops/head_rotation_cuda.h"
#include "ops/rope_attention_cuda.h"

namespace batchscope {

void rope_attention_cuda(const CudaContext& context, const RopeAttention& op) {
  if (op.q.rows == 0) return;
  const AttentionExtent extent = extent_of(*op.shape.segments);
  CHECK_EQUAL(op.shape.table.rows, extent.segments, "a table of all segments");
  CHECK_THAT(op.k.rows <= std::numeric_limits<std::int32_t>::max(), "{} keys are counted in 32 bits", op.k.rows);
  if (extent.queries == 1) {
    const DecodeCut cut = decode_cut(op, extent);
    CountersToClear counters;
    if (cut.splits > 1)
      counters = {reinterpret_cast<std::int32_t*>(context.workspace) + cut.partial_floats(), cut.counters()};
    place_keys(context, op, counters);
    decode_attention(context, op, cut);
    return;
  }
  place_keys(context, op, {});
  if (op.q.dtype == DType::f32)
    tile_attention(context, op, extent);
  else
    prefill_attention(context, op, extent);
}

}  // namespace batchscope
