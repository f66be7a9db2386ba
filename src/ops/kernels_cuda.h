// CUDA kernels, one an op, all but Linear (linear_cuda.h) and attention (attention_kernels_cuda.h); see the op's header for
// what it computes. They enqueue on the context's stream and return. Indices that lie outside cannot be refused there: such
// rows are NaN or left out (copy_rows_cuda.cuh).
#pragma once

namespace batchscope {

struct CudaContext;
struct Embedding;
struct RmsNorm;
struct HeadRmsNorm;
struct AddRmsNorm;
struct Add;
struct Maximum;
struct Silu;
struct Multiply;
struct SwiGlu;
struct RopeTable;
struct Rope;
struct GatherRows;
struct ScatterRows;
struct RowMax;
struct SumExpAndTarget;
struct TargetLogProbability;
struct RowArgMax;
struct BestToken;
struct SampleTokens;

void embedding_cuda(const CudaContext& context, const Embedding& op);
void rms_norm_cuda(const CudaContext& context, const RmsNorm& op);
void head_rms_norm_cuda(const CudaContext& context, const HeadRmsNorm& op);
void add_rms_norm_cuda(const CudaContext& context, const AddRmsNorm& op);
void add_cuda(const CudaContext& context, const Add& op);
void maximum_cuda(const CudaContext& context, const Maximum& op);
void silu_cuda(const CudaContext& context, const Silu& op);
void multiply_cuda(const CudaContext& context, const Multiply& op);
void swiglu_cuda(const CudaContext& context, const SwiGlu& op);
void rope_table_cuda(const CudaContext& context, const RopeTable& op);
void rope_cuda(const CudaContext& context, const Rope& op);
void gather_rows_cuda(const CudaContext& context, const GatherRows& op);
void scatter_rows_cuda(const CudaContext& context, const ScatterRows& op);
void row_max_cuda(const CudaContext& context, const RowMax& op);
void sum_exp_and_target_cuda(const CudaContext& context, const SumExpAndTarget& op);
void target_log_probability_cuda(const CudaContext& context, const TargetLogProbability& op);
void row_argmax_cuda(const CudaContext& context, const RowArgMax& op);
void best_token_cuda(const CudaContext& context, const BestToken& op);
void sample_tokens_cuda(const CudaContext& context, const SampleTokens& op);

}  // namespace batchscope
