// The parts of fused attention on a GPU, each with the new keys in their places: queries are normed and rotated as they
// are loaded.
#pragma once

#include "device/cuda/context.h"
#include "ops/attention.h"
#include "ops/attention_workspace.h"

namespace batchscope {

// Any number of queries a segment: on tensor cores for bf16 and f16, plainly for f32.
void prefill_attention(const CudaContext& context, const RopeAttention& op, const AttentionExtent& extent);
void tile_attention(const CudaContext& context, const RopeAttention& op, const AttentionExtent& extent);
// One query a segment. The counters of `cut`, behind the parts in the workspace, are zero.
void decode_attention(const CudaContext& context, const RopeAttention& op, const DecodeCut& cut);

}  // namespace batchscope
