// A GPU's kernel for every op.
#include "ops/cuda_kernels.h"

#include "ops/attention.h"
#include "ops/attention_kernels_cuda.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/kernels_cuda.h"
#include "ops/linear.h"
#include "ops/linear_cuda.h"
#include "ops/log_softmax.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "ops/rows.h"
#include "ops/sample_tokens.h"

namespace batchscope {

KernelTable<CudaContext> cuda_kernels() {
  KernelTable<CudaContext> kernels;
  kernels.add<Embedding, embedding_cuda>();
  kernels.add<RmsNorm, rms_norm_cuda>();
  kernels.add<HeadRmsNorm, head_rms_norm_cuda>();
  kernels.add<AddRmsNorm, add_rms_norm_cuda>();
  kernels.add<Linear, linear_cuda>();
  kernels.add_preparation<Linear, prepare_linear_cuda>();
  kernels.add<Add, add_cuda>();
  kernels.add<Maximum, maximum_cuda>();
  kernels.add<Silu, silu_cuda>();
  kernels.add<Multiply, multiply_cuda>();
  kernels.add<SwiGlu, swiglu_cuda>();
  kernels.add<RopeTable, rope_table_cuda>();
  kernels.add<Rope, rope_cuda>();
  kernels.add<AttentionScores, attention_scores_cuda>();
  kernels.add<CausalMask, causal_mask_cuda>();
  kernels.add<AttentionSoftmax, attention_softmax_cuda>();
  kernels.add<AttentionValues, attention_values_cuda>();
  kernels.add<RopeAttention, rope_attention_cuda>();
  kernels.add<GatherRows, gather_rows_cuda>();
  kernels.add<ScatterRows, scatter_rows_cuda>();
  kernels.add<RowMax, row_max_cuda>();
  kernels.add<SumExpAndTarget, sum_exp_and_target_cuda>();
  kernels.add<TargetLogProbability, target_log_probability_cuda>();
  kernels.add<RowArgMax, row_argmax_cuda>();
  kernels.add<BestToken, best_token_cuda>();
  kernels.add<SampleTokens, sample_tokens_cuda>();
  return kernels;
}

}  // namespace batchscope
