// Attention's CUDA kernels, for the table of kernels.
#pragma once

#include "device/cuda/context.h"
#include "ops/attention.h"

namespace batchscope {

void rope_attention_cuda(const CudaContext& context, const RopeAttention& op);

void attention_scores_cuda(const CudaContext& context, const AttentionScores& op);
void causal_mask_cuda(const CudaContext& context, const CausalMask& op);
void attention_softmax_cuda(const CudaContext& context, const AttentionSoftmax& op);
void attention_values_cuda(const CudaContext& context, const AttentionValues& op);

}  // namespace batchscope
