// log softmax over a cut vocabulary, on a GPU: a block a row, which is read once by each of the two passes. The logits
// stay in their dtype; a thread's part of a sum is kept in f32.
#include <cmath>
#include <type_traits>

#include "device/cuda/element.cuh"
#include "ops/kernels_cuda.h"
#include "ops/log_softmax.h"

namespace batchscope {
namespace {

constexpr int row_threads = 512;
constexpr int vectors_at_once = 4;  // loaded before the first is looked at

template <class T>
struct LogitRows {
  const T* data;
  std::int64_t stride, columns;
};

// Calls visit(logit, column) with this thread's columns, in their order. Which these are depends neither on where the
// row lies nor on other rows. Columns behind the last are visited as -infinity, which adds nothing to a maximum or a
// sum.
template <bool aligned, class T, class Visit>
__device__ void visit_row(const T* row, std::int64_t columns, const Visit& visit) {
  constexpr int width = vector_width<T>;
  const std::int64_t step = static_cast<std::int64_t>(blockDim.x) * width;
  for (std::int64_t begin = threadIdx.x * width; begin < columns; begin += vectors_at_once * step) {
    Vector<T> vectors[vectors_at_once];
#pragma unroll
    for (int v = 0; v < vectors_at_once; ++v) {
      const T* from = row + begin + v * step;
      const std::int64_t left = columns - begin - v * step;
      if (aligned && left >= width) {
        vectors[v] = load_vector<true>(from, left);
        continue;
      }
      vectors[v] = vector_of(narrow<T>(-INFINITY));
#pragma unroll
      for (int i = 0; i < width; ++i)
        if (i < left) vectors[v][i] = from[i];
    }
#pragma unroll
    for (int v = 0; v < vectors_at_once; ++v)
#pragma unroll
      for (int i = 0; i < width; ++i) visit(widen(vectors[v][i]), begin + v * step + i);
  }
}

struct Larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }  // NaN is passed over
};

template <class T, bool aligned>
__global__ void __launch_bounds__(row_threads) row_max_kernel(LogitRows<T> logits, float* out) {
  begin_kernel();
  const std::int64_t row = blockIdx.x;
  float largest = -INFINITY;
  visit_row<aligned>(logits.data + row * logits.stride, logits.columns,
                     [&](float logit, std::int64_t) { largest = fmaxf(largest, logit); });
  largest = reduce_block(largest, -INFINITY, Larger());
  if (threadIdx.x == 0) out[row] = largest;
}

// exp(x) for x <= 0. Its error grows with -x, as that of the difference x does, and the value falls faster: a sum with
// a term of exp(0) is exact to some units in the last place of f32.
__device__ float exp_of_difference(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x * 1.44269504f));
  return power;
}

struct SumAndTarget {
  const float* largest;
  const std::int32_t* targets;
  std::int64_t vocabulary_begin;
  float* sum;
  float* target;
};

template <class T, bool aligned>
__global__ void __launch_bounds__(row_threads) sum_exp_kernel(LogitRows<T> logits, SumAndTarget at) {
  begin_kernel();
  const std::int64_t row = blockIdx.x;
  const T* from = logits.data + row * logits.stride;
  const float largest = at.largest[row];
  float sum = 0;
  visit_row<aligned>(from, logits.columns,
                     [&](float logit, std::int64_t) { sum += exp_of_difference(logit - largest); });
  sum = reduce_block(sum, 0.0f, Sum());
  if (threadIdx.x != 0) return;
  const std::int64_t target = at.targets[row] - at.vocabulary_begin;
  at.sum[row] = sum;
  at.target[row] = target >= 0 && target < logits.columns ? widen(from[target]) : 0.0f;
}

__global__ void __launch_bounds__(block_threads)
    target_log_probability_kernel(const float* largest, const float* sums, const float* targets, float* out,
                                  std::int64_t rows) {
  begin_kernel();
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  if (row < rows) out[row] = targets[row] - largest[row] - logf(sums[row]);  // out may be `largest`
}

// The largest of a row and the first place where it stands.
struct Best {
  float value;
  int index;
};

__device__ Best better(const Best& a, const Best& b) {
  return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}

__device__ Best best_of_warp(Best best) {
#pragma unroll
  for (int distance = warp_size / 2; distance > 0; distance /= 2)
    best = better(
        best, {__shfl_xor_sync(whole_warp, best.value, distance), __shfl_xor_sync(whole_warp, best.index, distance)});
  return best;
}

template <class T, bool aligned>
__global__ void __launch_bounds__(row_threads)
    row_argmax_kernel(LogitRows<T> logits, float* out, std::int64_t out_stride, std::int64_t vocabulary_begin) {
  begin_kernel();
  __shared__ Best partial[row_threads / warp_size];
  const std::int64_t row = blockIdx.x;
  Best best{-INFINITY, static_cast<int>(threadIdx.x) * vector_width<T>};  // a place of this thread's, or behind the row
  bool has_nan = false;
  visit_row<aligned>(logits.data + row * logits.stride, logits.columns, [&](float logit, std::int64_t column) {
    has_nan = has_nan || logit != logit;
    if (logit > best.value) best = {logit, static_cast<int>(column)};
  });
  best = best_of_warp(best);
  if (lane_number() == 0) partial[warp_number()] = best;
  has_nan = __syncthreads_or(has_nan) != 0;
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < row_threads / warp_size; ++warp) best = better(best, partial[warp]);
  if (has_nan) best = {NAN, 0};
  out[row * out_stride] = best.value;
  out[row * out_stride + 1] = static_cast<float>(vocabulary_begin + best.index);
}

__global__ void __launch_bounds__(block_threads)
    best_token_kernel(const float* candidates, std::int64_t stride, std::int64_t candidate_rows, std::int32_t* out,
                      std::int64_t rows) {
  begin_kernel();
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  if (row >= rows) return;
  float best = candidates[row * stride], index = candidates[row * stride + 1];
  for (std::int64_t at = row; at < candidate_rows; at += rows) {
    const float value = candidates[at * stride];
    if (!(value > best) && !isnan(value)) continue;
    best = value;
    index = candidates[at * stride + 1];
    if (isnan(best)) break;
  }
  out[row] = isnan(best) ? -1 : static_cast<std::int32_t>(index);
}

// Calls launch(rows, whether they are aligned), where there are rows.
template <class Launch>
void for_rows(const Tensor& logits, const Launch& launch) {
  if (logits.rows == 0) return;
  for_cuda_dtype(logits.dtype, [&]<class T>(T) {
    const LogitRows<T> rows{logits.row<T>(0), logits.stride, logits.columns};
    if (has_aligned_rows(logits))
      launch(rows, std::true_type());
    else
      launch(rows, std::false_type());
  });
}

}  // namespace

void row_max_cuda(const CudaContext& context, const RowMax& op) {
  for_rows(op.logits, [&]<class T, bool aligned>(const LogitRows<T>& rows, std::bool_constant<aligned>) {
    launch_cuda("row_max", context.stream, grid_size(op.logits.rows), row_threads, row_max_kernel<T, aligned>, rows,
                op.out.row<float>(0));
  });
}

void sum_exp_and_target_cuda(const CudaContext& context, const SumExpAndTarget& op) {
  const SumAndTarget at{op.largest.row<float>(0), op.targets.row<std::int32_t>(0), op.vocabulary_begin,
                        op.out.row<float>(0), op.out.row<float>(1)};
  for_rows(op.logits, [&]<class T, bool aligned>(const LogitRows<T>& rows, std::bool_constant<aligned>) {
    launch_cuda("sum_exp_and_target", context.stream, grid_size(op.logits.rows), row_threads,
                sum_exp_kernel<T, aligned>, rows, at);
  });
}

void target_log_probability_cuda(const CudaContext& context, const TargetLogProbability& op) {
  const std::int64_t rows = op.out.columns;
  if (rows == 0) return;
  launch_cuda("target_log_probability", context.stream, grid_size(ceil_div(rows, block_threads)), block_threads,
              target_log_probability_kernel, op.largest.row<float>(0), op.sum_and_target.row<float>(0),
              op.sum_and_target.row<float>(1), op.out.row<float>(0), rows);
}

void row_argmax_cuda(const CudaContext& context, const RowArgMax& op) {
  if (op.logits.columns == 0) return;
  for_rows(op.logits, [&]<class T, bool aligned>(const LogitRows<T>& rows, std::bool_constant<aligned>) {
    launch_cuda("row_argmax", context.stream, grid_size(op.logits.rows), row_threads, row_argmax_kernel<T, aligned>,
                rows, op.out.row<float>(0), op.out.stride, op.vocabulary_begin);
  });
}

void best_token_cuda(const CudaContext& context, const BestToken& op) {
  const std::int64_t rows = op.out.columns;
  if (rows == 0) return;
  launch_cuda("best_token", context.stream, grid_size(ceil_div(rows, block_threads)), block_threads, best_token_kernel,
              op.candidates.row<float>(0), op.candidates.stride, op.candidates.rows, op.out.row<std::int32_t>(0), rows);
}

}  // namespace batchscope
