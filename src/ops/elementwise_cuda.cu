// Element by element on a GPU: a thread computes sixteen bytes. Plain SiLU and product round to the dtype in between;
// the fused form rounds once.
#include "device/cuda/element.cuh"
#include "ops/elementwise.h"
#include "ops/kernels_cuda.h"

namespace batchscope {
namespace {


// x * sigmoid(x). Below -87 it vanishes, and the divisor would be infinite; NaN stays.
template <class T>
__device__ float silu_of(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float divisor = 1.0f + expf(-x);  // below 2^126, as the quick division wants it
  if constexpr (sizeof(T) == 4)
    return x / divisor;
  else
    return __fdividef(x, divisor);  // off by two units in the last place of f32: nothing beside a rounding to 16 bits
}

struct Plus {
  template <class T>
  __device__ static float of(float x, float y) {
    return x + y;
  }
};
struct Larger {  // a NaN in x stays, one in y is passed over
  template <class T>
  __device__ static float of(float x, float y) {
    return x < y ? y : x;
  }
};
struct Times {
  template <class T>
  __device__ static float of(float x, float y) {
    return x * y;
  }
};
struct SiluOfX {
  template <class T>
  __device__ static float of(float x, float) {
    return silu_of<T>(x);
  }
};
struct SiluTimes {
  template <class T>
  __device__ static float of(float x, float y) {
    return silu_of<T>(x) * y;
  }
};

// out = function(x, y); out may be x or y, which may be one another.
template <class T>
struct Operands {
  const T* x;
  const T* y;
  T* out;
  std::int64_t x_stride, y_stride, out_stride;
  std::int64_t columns;
  unsigned vectors_a_row, vectors;
};

template <class Function, class T, bool aligned>
__global__ void __launch_bounds__(block_threads) apply_kernel(Operands<T> operands) {
  begin_kernel();
  const unsigned index = blockIdx.x * block_threads + threadIdx.x;
  if (index >= operands.vectors) return;
  const std::int64_t row = index / operands.vectors_a_row;
  const std::int64_t column = static_cast<std::int64_t>(index % operands.vectors_a_row) * vector_width<T>;
  const std::int64_t left = operands.columns - column;
  const Vector<T> x = load_vector<aligned>(operands.x + row * operands.x_stride + column, left);
  const Vector<T> y = load_vector<aligned>(operands.y + row * operands.y_stride + column, left);
  Vector<T> out;
#pragma unroll
  for (int i = 0; i < vector_width<T>; ++i) out[i] = narrow<T>(Function::template of<T>(widen(x[i]), widen(y[i])));
  store_vector<aligned>(out, operands.out + row * operands.out_stride + column, left);
}

// Without gaps between the rows all of them are one.
Tensor as_one_row(Tensor x) {
  x.columns = x.elements();
  x.rows = 1;
  x.stride = x.columns;
  return x;
}

template <class Function>
void apply(const char* what, const CudaContext& context, Tensor x, Tensor y, Tensor out) {
  if (out.elements() == 0) return;
  if (x.contiguous() && y.contiguous() && out.contiguous()) {
    x = as_one_row(x);
    y = as_one_row(y);
    out = as_one_row(out);
  }
  for_cuda_dtype(x.dtype, [&]<class T>(T) {
    const std::int64_t vectors_a_row = ceil_div(out.columns, vector_width<T>);
    const Operands<T> operands{x.row<T>(0),
                               y.row<T>(0),
                               out.row<T>(0),
                               x.stride,
                               y.stride,
                               out.stride,
                               out.columns,
                               grid_size(vectors_a_row),
                               grid_size(vectors_a_row * out.rows)};
    const dim3 grid(grid_size(ceil_div(operands.vectors, block_threads)));
    if (has_aligned_rows(x) && has_aligned_rows(y) && has_aligned_rows(out))
      launch_cuda(what, context.stream, grid, block_threads, apply_kernel<Function, T, true>, operands);
    else
      launch_cuda(what, context.stream, grid, block_threads, apply_kernel<Function, T, false>, operands);
  });
}

}  // namespace

void add_cuda(const CudaContext& context, const Add& op) { apply<Plus>("add", context, op.x, op.y, op.x); }

void maximum_cuda(const CudaContext& context, const Maximum& op) {
  apply<Larger>("maximum", context, op.x, op.y, op.x);
}

// x stands for the second operand too, which is not looked at.
void silu_cuda(const CudaContext& context, const Silu& op) { apply<SiluOfX>("silu", context, op.x, op.x, op.x); }

void multiply_cuda(const CudaContext& context, const Multiply& op) {
  apply<Times>("multiply", context, op.x, op.y, op.x);
}

void swiglu_cuda(const CudaContext& context, const SwiGlu& op) {
  apply<SiluTimes>("swiglu", context, op.gate, op.up, op.out);
}

}  // namespace batchscope
