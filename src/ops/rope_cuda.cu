// RoPE on a GPU: a thread rotates as many pairs as one vector has elements.
#include "device/cuda/element.cuh"
#include "ops/kernels_cuda.h"
#include "ops/rope.h"

namespace batchscope {
namespace {


struct Angles {
  const std::int32_t* positions;
  const float* frequencies;
  float factor;
  float* cosine;
  float* sine;
  std::int64_t cosine_stride, sine_stride;
  unsigned half, count;
};

// The angle is that of the CPU, rounded to f32. Its cosine and sine are taken in f64: exact to the last bit of f32 at
// any angle, and once a batch.
__global__ void __launch_bounds__(block_threads) rope_table_kernel(Angles angles) {
  begin_kernel();
  const unsigned index = blockIdx.x * block_threads + threadIdx.x;
  if (index >= angles.count) return;
  const std::int64_t token = index / angles.half, i = index % angles.half;
  const float angle = static_cast<float>(angles.positions[token]) * angles.frequencies[i];
  double sine, cosine;
  sincos(static_cast<double>(angle), &sine, &cosine);
  angles.cosine[token * angles.cosine_stride + i] = static_cast<float>(cosine) * angles.factor;
  angles.sine[token * angles.sine_stride + i] = static_cast<float>(sine) * angles.factor;
}

template <class T>
struct Heads {
  T* x;
  const float* cosine;
  const float* sine;
  std::int64_t x_stride, cosine_stride, sine_stride;
  std::int64_t half;
  unsigned vectors;  // of half a head
  unsigned heads;
  unsigned count;  // of all tokens' vectors
};

template <class T, bool aligned>
__global__ void __launch_bounds__(block_threads) rope_kernel(Heads<T> heads) {
  begin_kernel();
  const unsigned index = blockIdx.x * block_threads + threadIdx.x;
  if (index >= heads.count) return;
  constexpr int width = vector_width<T>;
  const unsigned vector = index % heads.vectors, head_of_all = index / heads.vectors;
  const std::int64_t token = head_of_all / heads.heads, head = head_of_all % heads.heads;
  const std::int64_t i = static_cast<std::int64_t>(vector) * width, left = heads.half - i;
  T* const low_end = heads.x + token * heads.x_stride + 2 * head * heads.half + i;
  T* const high_end = low_end + heads.half;
  float low[width], high[width], cosine[width], sine[width];
  load_floats<aligned>(low_end, left, low);
  load_floats<aligned>(high_end, left, high);
  load_floats<aligned>(heads.cosine + token * heads.cosine_stride + i, left, cosine);
  load_floats<aligned>(heads.sine + token * heads.sine_stride + i, left, sine);
#pragma unroll
  for (int j = 0; j < width; ++j) {
    const float turned = low[j] * cosine[j] - high[j] * sine[j];
    high[j] = high[j] * cosine[j] + low[j] * sine[j];
    low[j] = turned;
  }
  store_floats<aligned>(low, low_end, left);
  store_floats<aligned>(high, high_end, left);
}

}  // namespace

void rope_table_cuda(const CudaContext& context, const RopeTable& op) {
  if (op.cosine.elements() == 0) return;
  const Angles angles{op.positions.row<std::int32_t>(0),
                      op.inverse_frequencies.row<float>(0),
                      op.factor,
                      op.cosine.row<float>(0),
                      op.sine.row<float>(0),
                      op.cosine.stride,
                      op.sine.stride,
                      grid_size(op.cosine.columns),
                      grid_size(op.cosine.elements())};
  launch_cuda("rope_table", context.stream, grid_size(ceil_div(angles.count, block_threads)), block_threads,
              rope_table_kernel, angles);
}

void rope_cuda(const CudaContext& context, const Rope& op) {
  if (op.x.elements() == 0) return;
  for_cuda_dtype(op.x.dtype, [&]<class T>(T) {
    const std::int64_t half = op.cosine.columns, heads = op.x.columns / (2 * half);
    const std::int64_t vectors = ceil_div(half, vector_width<T>);
    const Heads<T> arguments{op.x.row<T>(0),
                             op.cosine.row<float>(0),
                             op.sine.row<float>(0),
                             op.x.stride,
                             op.cosine.stride,
                             op.sine.stride,
                             half,
                             grid_size(vectors),
                             grid_size(heads),
                             grid_size(op.x.rows * heads * vectors)};
    const dim3 grid(grid_size(ceil_div(arguments.count, block_threads)));
    // Heads are whole vectors, so that each of their halves is aligned when the row is.
    if (half % vector_width<T> == 0 && has_aligned_rows(op.x) && has_aligned_rows(op.cosine) &&
        has_aligned_rows(op.sine))
      launch_cuda("rope", context.stream, grid, block_threads, rope_kernel<T, true>, arguments);
    else
      launch_cuda("rope", context.stream, grid, block_threads, rope_kernel<T, false>, arguments);
  });
}

}  // namespace batchscope
