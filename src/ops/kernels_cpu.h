// CPU kernels, one an op; see the op's header for what it computes.
#pragma once

#include "device/cpu/kernels.h"

namespace batchscope {

struct Embedding;
struct RmsNorm;
struct HeadRmsNorm;
struct AddRmsNorm;
struct Linear;
struct Add;
struct Maximum;
struct Silu;
struct Multiply;
struct SwiGlu;
struct RopeTable;
struct Rope;
struct AttentionScores;
struct CausalMask;
struct AttentionSoftmax;
struct AttentionValues;
struct RopeAttention;
struct GatherRows;
struct ScatterRows;
struct RowMax;
struct SumExpAndTarget;
struct TargetLogProbability;
struct RowArgMax;
struct BestToken;
struct SampleTokens;

void embedding_cpu(const CpuContext& context, const Embedding& op);
void rms_norm_cpu(const CpuContext& context, const RmsNorm& op);
void head_rms_norm_cpu(const CpuContext& context, const HeadRmsNorm& op);
void add_rms_norm_cpu(const CpuContext& context, const AddRmsNorm& op);
void linear_cpu(const CpuContext& context, const Linear& op);
std::int64_t linear_cpu_workspace(const CpuContext& context, const Linear& op);
void add_cpu(const CpuContext& context, const Add& op);
void maximum_cpu(const CpuContext& context, const Maximum& op);
void silu_cpu(const CpuContext& context, const Silu& op);
void multiply_cpu(const CpuContext& context, const Multiply& op);
void swiglu_cpu(const CpuContext& context, const SwiGlu& op);
void rope_table_cpu(const CpuContext& context, const RopeTable& op);
void rope_cpu(const CpuContext& context, const Rope& op);
void attention_scores_cpu(const CpuContext& context, const AttentionScores& op);
std::int64_t attention_scores_cpu_workspace(const CpuContext& context, const AttentionScores& op);
void causal_mask_cpu(const CpuContext& context, const CausalMask& op);
void attention_softmax_cpu(const CpuContext& context, const AttentionSoftmax& op);
void attention_values_cpu(const CpuContext& context, const AttentionValues& op);
std::int64_t attention_values_cpu_workspace(const CpuContext& context, const AttentionValues& op);
void rope_attention_cpu(const CpuContext& context, const RopeAttention& op);
void gather_rows_cpu(const CpuContext& context, const GatherRows& op);
void scatter_rows_cpu(const CpuContext& context, const ScatterRows& op);
void row_max_cpu(const CpuContext& context, const RowMax& op);
void sum_exp_and_target_cpu(const CpuContext& context, const SumExpAndTarget& op);
void target_log_probability_cpu(const CpuContext& context, const TargetLogProbability& op);
void row_argmax_cpu(const CpuContext& context, const RowArgMax& op);
void best_token_cpu(const CpuContext& context, const BestToken& op);
void sample_tokens_cpu(const CpuContext& context, const SampleTokens& op);

}  // namespace batchscope
