// The CPU's kernel for every op.
#include "ops/cpu_kernels.h"

#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/gemm_cpu.h"
#include "ops/kernels_cpu.h"
#include "ops/linear.h"
#include "ops/log_softmax.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "ops/rows.h"
#include "ops/sample_tokens.h"

namespace batchscope {

CpuKernels cpu_kernels() {
  CpuKernels kernels;
  kernels.add<Embedding, embedding_cpu>();
  kernels.add<RmsNorm, rms_norm_cpu>();
  kernels.add<HeadRmsNorm, head_rms_norm_cpu>();
  kernels.add<AddRmsNorm, add_rms_norm_cpu>();
  kernels.add<Linear, linear_cpu>();
  kernels.add_workspace<Linear, linear_cpu_workspace>();
  kernels.add<Add, add_cpu>();
  kernels.add<Maximum, maximum_cpu>();
  kernels.add<Silu, silu_cpu>();
  kernels.add<Multiply, multiply_cpu>();
  kernels.add<SwiGlu, swiglu_cpu>();
  kernels.add<RopeTable, rope_table_cpu>();
  kernels.add<Rope, rope_cpu>();
  kernels.add<AttentionScores, attention_scores_cpu>();
  kernels.add_workspace<AttentionScores, attention_scores_cpu_workspace>();
  kernels.add<CausalMask, causal_mask_cpu>();
  kernels.add<AttentionSoftmax, attention_softmax_cpu>();
  kernels.add<AttentionValues, attention_values_cpu>();
  kernels.add_workspace<AttentionValues, attention_values_cpu_workspace>();
  kernels.add<RopeAttention, rope_attention_cpu>();
  kernels.add<GatherRows, gather_rows_cpu>();
  kernels.add<ScatterRows, scatter_rows_cpu>();
  kernels.add<RowMax, row_max_cpu>();
  kernels.add<SumExpAndTarget, sum_exp_and_target_cpu>();
  kernels.add<TargetLogProbability, target_log_probability_cpu>();
  kernels.add<RowArgMax, row_argmax_cpu>();
  kernels.add<BestToken, best_token_cpu>();
  kernels.add<SampleTokens, sample_tokens_cpu>();
  kernels.weight_panel = gemm_panel;
  return kernels;
}

}  // namespace batchscope
