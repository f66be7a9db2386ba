// RMSNorm on a GPU: a block a row (a warp where rows are narrow), which stays in registers between the sum of squares
// and the scaling. Which thread adds up what depends on the width alone, so that a row's result depends neither on how
// many rows there are, nor on how they lie, nor on what the norm is fused with.
#include "device/cuda/element.cuh"
#include "ops/kernels_cuda.h"
#include "ops/norm.h"

namespace batchscope {
namespace {

// Rows are the heads of tokens, or whole tokens: one head.
template <class T>
struct NormRows {
  T* x;
  const T* y;  // added to x before; null: nothing
  const T* weight;
  T* out;
  std::int64_t x_stride, y_stride, out_stride;  // of tokens
  unsigned count;
  unsigned heads;
  std::int64_t width;
  float epsilon;
};

template <class T>
struct NormRow {
  T* x;
  const T* y;
  T* out;
};

template <class T>
__device__ NormRow<T> row_of(const NormRows<T>& rows, unsigned row) {
  const std::int64_t token = row / rows.heads;
  const std::int64_t column = static_cast<std::int64_t>(row % rows.heads) * rows.width;
  return {rows.x + token * rows.x_stride + column, rows.y + token * rows.y_stride,
          rows.out + token * rows.out_stride + column};
}

template <class T>
__device__ void add_vector(Vector<T>& x, const Vector<T>& y) {
#pragma unroll
  for (int i = 0; i < Vector<T>::width; ++i) x[i] = narrow<T>(widen(x[i]) + widen(y[i]));
}

template <class T>
__device__ float add_squares(const Vector<T>& x, float sum) {
#pragma unroll
  for (int i = 0; i < Vector<T>::width; ++i) sum = __fmaf_rn(widen(x[i]), widen(x[i]), sum);
  return sum;
}

template <class T>
__device__ Vector<T> scaled(const Vector<T>& x, float scale, const Vector<T>& weight) {
  Vector<T> out;
#pragma unroll
  for (int i = 0; i < Vector<T>::width; ++i)
    out[i] = narrow<T>(widen(narrow<T>(widen(x[i]) * scale)) * widen(weight[i]));
  return out;
}

// What a row is multiplied by, from each thread's sum of squares.
__device__ float scale_of(float squares, std::int64_t width, float epsilon) {
  const float mean_square = reduce_block(squares, 0.0f, Sum()) / static_cast<float>(width);
  return 1.0f / sqrtf(mean_square + epsilon);
}

constexpr int narrow_block = 256;  // threads
constexpr int wide_block = 1024;   // where rows have more than eight vectors a thread

// Rows are aligned, of whole vectors, at most `vectors` a thread.
template <class T, int vectors, int most_threads, bool added>
__global__ void __launch_bounds__(most_threads, vectors <= 4 ? narrow_block * 4 / most_threads : 1)
    norm_in_registers(NormRows<T> rows) {
  begin_kernel();
  const unsigned number = blockIdx.x * blockDim.y + threadIdx.y;
  if (number >= rows.count) return;  // only where rows share a block, and then nothing waits for others
  const NormRow<T> row = row_of(rows, number);
  constexpr int width = Vector<T>::width;
  const int count = static_cast<int>(rows.width / width);
  const auto load = [&](const T* from, int vector) {
    const int index = static_cast<int>(threadIdx.x + vector * blockDim.x);
    return index < count ? load_vector<true>(from + index * width, width) : Vector<T>();
  };
  Vector<T> x[vectors], weight[vectors];
#pragma unroll
  for (int v = 0; v < vectors; ++v) x[v] = load(row.x, v);
  if constexpr (added) {
    Vector<T> y[vectors];
#pragma unroll
    for (int v = 0; v < vectors; ++v) y[v] = load(row.y, v);
#pragma unroll
    for (int v = 0; v < vectors; ++v) {
      add_vector(x[v], y[v]);
      const int index = static_cast<int>(threadIdx.x + v * blockDim.x);
      if (index < count) store_vector<true>(x[v], row.x + index * width, width);
    }
  }
  // Weights come while the row is added up; eight vectors of them would not fit.
#pragma unroll
  for (int v = 0; v < vectors; ++v)
    if (vectors <= 4) weight[v] = load(rows.weight, v);
  float squares = 0;
#pragma unroll
  for (int v = 0; v < vectors; ++v) squares = add_squares(x[v], squares);
  const float scale = scale_of(squares, rows.width, rows.epsilon);
#pragma unroll
  for (int v = 0; v < vectors; ++v) {
    const int index = static_cast<int>(threadIdx.x + v * blockDim.x);
    if (index >= count) continue;
    if (vectors > 4) weight[v] = load(rows.weight, v);
    store_vector<true>(scaled(x[v], scale, weight[v]), row.out + index * width, width);
  }
}

// Any rows, read twice.
template <class T, bool added>
__global__ void __launch_bounds__(wide_block) norm_in_memory(NormRows<T> rows) {
  begin_kernel();
  const unsigned number = blockIdx.x * blockDim.y + threadIdx.y;
  if (number >= rows.count) return;
  const NormRow<T> row = row_of(rows, number);
  constexpr int width = Vector<T>::width;
  const std::int64_t step = static_cast<std::int64_t>(blockDim.x) * width;
  float squares = 0;
  for (std::int64_t i = threadIdx.x * width; i < rows.width; i += step) {
    Vector<T> x = load_vector<false>(row.x + i, rows.width - i);
    if constexpr (added) {
      add_vector(x, load_vector<false>(row.y + i, rows.width - i));
      store_vector<false>(x, row.x + i, rows.width - i);
    }
    squares = add_squares(x, squares);
  }
  const float scale = scale_of(squares, rows.width, rows.epsilon);
  for (std::int64_t i = threadIdx.x * width; i < rows.width; i += step) {
    const Vector<T> x = load_vector<false>(row.x + i, rows.width - i);
    const Vector<T> weight = load_vector<false>(rows.weight + i, rows.width - i);
    store_vector<false>(scaled(x, scale, weight), row.out + i, rows.width - i);
  }
}

// How a row is shared out, by its width alone.
struct NormShape {
  int threads;  // of a row
  int vectors;  // of a thread: 1, 2, 4, 8 in a narrow block, 4 in a wide one; 0: more than fit into registers
};

NormShape shape_of(std::int64_t vectors) {
  const auto threads = [&](std::int64_t each) {
    return static_cast<int>(ceil_div(ceil_div(vectors, each), warp_size)) * warp_size;
  };
  for (const int each : {1, 2, 4})
    if (vectors <= each * warp_size) return {warp_size, each};
  for (const int each : {1, 2, 4, 8})
    if (vectors <= each * narrow_block) return {threads(each), each};
  return {wide_block, vectors <= 4 * wide_block ? 4 : 0};
}

template <class T, bool added>
void launch_norm(const char* what, cudaStream_t stream, const NormRows<T>& rows, bool aligned) {
  const NormShape shape = shape_of(ceil_div(rows.width, vector_width<T>));
  const unsigned rows_a_block = shape.threads == warp_size ? narrow_block / warp_size : 1;
  const dim3 grid(grid_size(ceil_div(rows.count, rows_a_block)));
  const dim3 block(static_cast<unsigned>(shape.threads), rows_a_block);
  const auto kernel = !aligned || shape.vectors == 0 ? norm_in_memory<T, added>
                      : shape.threads > narrow_block ? norm_in_registers<T, 4, wide_block, added>
                      : shape.vectors == 1           ? norm_in_registers<T, 1, narrow_block, added>
                      : shape.vectors == 2           ? norm_in_registers<T, 2, narrow_block, added>
                      : shape.vectors == 4           ? norm_in_registers<T, 4, narrow_block, added>
                                                     : norm_in_registers<T, 8, narrow_block, added>;
  launch_cuda(what, stream, grid, block, kernel, rows);
}

// Each row of x as `heads` rows; y is nothing, or as x.
void norm(const char* what, const CudaContext& context, const Tensor& x, const Tensor& y, const Tensor& weight,
          float epsilon, const Tensor& out, std::int64_t heads) {
  if (x.elements() == 0) return;
  for_cuda_dtype(x.dtype, [&]<class T>(T) {
    const NormRows<T> rows{x.row<T>(0),      y.row<T>(0),    weight.row<T>(0), out.row<T>(0),
                           x.stride,         y.stride,       out.stride,       grid_size(x.rows * heads),
                           grid_size(heads), weight.columns, epsilon};
    const bool aligned = weight.columns % vector_width<T> == 0 && has_aligned_rows(x) && has_aligned_rows(y) &&
                         has_aligned_rows(weight) && has_aligned_rows(out);
    if (y.rows > 0)
      launch_norm<T, true>(what, context.stream, rows, aligned);
    else
      launch_norm<T, false>(what, context.stream, rows, aligned);
  });
}

}  // namespace

void rms_norm_cuda(const CudaContext& context, const RmsNorm& op) {
  norm("rms_norm", context, op.x, {}, op.weight, op.epsilon, op.out, 1);
}

void head_rms_norm_cuda(const CudaContext& context, const HeadRmsNorm& op) {
  norm("head_rms_norm", context, op.x, {}, op.weight, op.epsilon, op.x, op.x.columns / op.weight.columns);
}

void add_rms_norm_cuda(const CudaContext& context, const AddRmsNorm& op) {
  norm("add_rms_norm", context, op.x, op.y, op.weight, op.epsilon, op.out, 1);
}

}  // namespace batchscope
