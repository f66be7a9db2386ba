// How CUDA kernels touch elements: arithmetic is in f32, storage in f32, bf16 or f16, moved 16 bytes at a time where
// rows are aligned; sums over warps and blocks; and how kernels are launched.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "base/check.h"
#include "device/cuda/context.h"
#include "device/cuda/overlap.cuh"
#include "tensor/tensor.h"

namespace batchscope {

// Calls body(T{}) with CUDA's type of the dtype.
template <class Body>
void for_cuda_dtype(DType dtype, const Body& body) {
  if (dtype == DType::f32) return body(float{});
  if (dtype == DType::bf16) return body(__nv_bfloat16{});
  CHECK_THAT(dtype == DType::f16, "CUDA kernels compute f32, bf16 and f16, not {}", name_of(dtype));
  body(__half{});
}

template <class... Parameters, class... Arguments>
void launch_cuda(const char* what, cudaStream_t stream, dim3 grid, dim3 block, void (*kernel)(Parameters...),
                 const Arguments&... arguments) {
  launch_overlapping(what, stream, grid, block, 0, kernel, arguments...);
}

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// One dimension of a grid.
inline unsigned grid_size(std::int64_t blocks) {
  CHECK_THAT(blocks < std::int64_t{1} << 31, "a grid has fewer than 2^31 blocks, not {}", blocks);
  return static_cast<unsigned>(blocks);
}

// Every row starts at a multiple of 16 bytes.
inline bool has_aligned_rows(const Tensor& x) {
  return reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && (x.rows <= 1 || x.stride * size_of(x.dtype) % 16 == 0);
}

inline constexpr int block_threads = 256;  // of kernels whose threads do not need each other
inline constexpr int warp_size = 32;
inline constexpr unsigned whole_warp = 0xffffffffu;

__device__ inline float widen(float value) { return value; }
__device__ inline float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float widen(__half value) { return __half2float(value); }
__device__ inline float widen(__nv_fp8_e4m3 value) { return static_cast<float>(value); }

template <class T>
__device__ T narrow(float value);  // to nearest even
template <>
__device__ inline float narrow<float>(float value) {
  return value;
}
template <>
__device__ inline __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ inline __half narrow<__half>(float value) {
  return __float2half_rn(value);
}

template <class T>
inline constexpr int vector_width = 16 / static_cast<int>(sizeof(T));

// Neighbouring elements of a row: 16 bytes in registers. Indices are constants once loops are unrolled.
template <class T>
struct alignas(16) Vector {
  uint4 bits = {0, 0, 0, 0};
  static constexpr int width = vector_width<T>;
  __device__ T& operator[](int i) { return reinterpret_cast<T*>(&bits)[i]; }
  __device__ const T& operator[](int i) const { return reinterpret_cast<const T*>(&bits)[i]; }
};

template <class T>
__device__ Vector<T> vector_of(T element) {
  Vector<T> vector;
#pragma unroll
  for (int i = 0; i < Vector<T>::width; ++i) vector[i] = element;
  return vector;
}

// `left`: elements from here to the row's end; those behind it are zero.
template <bool aligned, class T>
__device__ Vector<T> load_vector(const T* from, std::int64_t left) {
  Vector<T> vector;
  if (aligned && left >= Vector<T>::width) {
    vector.bits = *reinterpret_cast<const uint4*>(from);
    return vector;
  }
#pragma unroll
  for (int i = 0; i < Vector<T>::width; ++i)
    if (i < left) vector[i] = from[i];
  return vector;
}

template <bool aligned, class T>
__device__ void store_vector(const Vector<T>& vector, T* to, std::int64_t left) {
  if (aligned && left >= Vector<T>::width) {
    *reinterpret_cast<uint4*>(to) = vector.bits;
    return;
  }
#pragma unroll
  for (int i = 0; i < Vector<T>::width; ++i)
    if (i < left) to[i] = vector[i];
}

// The same with `count` elements, a multiple of the vector's, as floats.
template <bool aligned, int count, class T>
__device__ void load_floats(const T* from, std::int64_t left, float (&to)[count]) {
  constexpr int width = Vector<T>::width;
#pragma unroll
  for (int part = 0; part < count; part += width) {
    const Vector<T> vector = load_vector<aligned>(from + part, left - part);
#pragma unroll
    for (int i = 0; i < width; ++i) to[part + i] = widen(vector[i]);
  }
}

template <bool aligned, int count, class T>
__device__ void store_floats(const float (&from)[count], T* to, std::int64_t left) {
  constexpr int width = Vector<T>::width;
#pragma unroll
  for (int part = 0; part < count; part += width) {
    Vector<T> vector;
#pragma unroll
    for (int i = 0; i < width; ++i) vector[i] = narrow<T>(from[part + i]);
    store_vector<aligned>(vector, to + part, left - part);
  }
}

__device__ inline int lane_number() { return static_cast<int>(threadIdx.x) % warp_size; }
__device__ inline int warp_number() { return static_cast<int>(threadIdx.x) / warp_size; }

// Combines the value of every lane; each of them gets the result. Always in the same order.
template <class T, class Combine>
__device__ T reduce_warp(T value, const Combine& combine) {
#pragma unroll
  for (int distance = warp_size / 2; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(whole_warp, value, distance));
  return value;
}

// The same of every thread of a block (whole warps of threadIdx.x). `neutral` changes nothing that it is combined with.
// A block of one warp does not synchronise, so that several of them can share a block by threadIdx.y.
template <class T, class Combine>
__device__ T reduce_block(T value, T neutral, const Combine& combine) {
  value = reduce_warp(value, combine);
  if (blockDim.x == warp_size) return value;
  __shared__ T partial[warp_size];
  __syncthreads();  // an earlier reduction's reads are over
  if (lane_number() == 0) partial[warp_number()] = value;
  __syncthreads();
  return reduce_warp(lane_number() < static_cast<int>(blockDim.x) / warp_size ? partial[lane_number()] : neutral,
                     combine);
}

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct LargerOf {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

}  // namespace batchscope
