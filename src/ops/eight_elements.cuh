// How attention's CUDA kernels touch elements: eight at a time, of any dtype.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "device/cuda/element.cuh"

namespace batchscope {

template <class T>
__device__ __forceinline__ float rounded(float x) {
  return widen(narrow<T>(x));
}

// Two neighbours in one word, the first in its lower half.
template <class T>
__device__ __forceinline__ std::uint32_t pack(float first, float second);
template <>
__device__ __forceinline__ std::uint32_t pack<__nv_bfloat16>(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  std::uint32_t word;
  memcpy(&word, &pair, sizeof word);
  return word;
}
template <>
__device__ __forceinline__ std::uint32_t pack<__half>(float first, float second) {
  const __half2 pair = __floats2half2_rn(first, second);
  std::uint32_t word;
  memcpy(&word, &pair, sizeof word);
  return word;
}

__device__ __forceinline__ float2 unpack(std::uint32_t word, __nv_bfloat16) {
  return {__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u)};
}
__device__ __forceinline__ float2 unpack(std::uint32_t word, __half) {
  __half2 pair;
  memcpy(&pair, &word, sizeof pair);
  return __half22float2(pair);
}

// Eight elements as they lie in memory.
template <class T>
struct Eight {
  static constexpr int vectors = sizeof(T) / 2;
  uint4 words[vectors];

  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>;

  // The first `count` of them; the others are zero. `vector`: all are there and lie on a border of 16 bytes.
  __device__ __forceinline__ void load(const T* from, int count, bool vector) {
    if (vector) {
#pragma unroll
      for (int i = 0; i < vectors; ++i) words[i] = reinterpret_cast<const uint4*>(from)[i];
      return;
    }
    const Bits* elements = reinterpret_cast<const Bits*>(from);
    std::uint32_t bits[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) bits[i] = i < count ? elements[i] : 0;
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (int i = 0; i < 2; ++i) words[i] = uint4{bits[4 * i], bits[4 * i + 1], bits[4 * i + 2], bits[4 * i + 3]};
    } else {
      words[0] =
          uint4{bits[0] | bits[1] << 16, bits[2] | bits[3] << 16, bits[4] | bits[5] << 16, bits[6] | bits[7] << 16};
    }
  }
  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < vectors; ++i) words[i] = uint4{0, 0, 0, 0};
  }
  __device__ __forceinline__ void store(T* to, int count, bool vector) const {
    if (vector) {
#pragma unroll
      for (int i = 0; i < vectors; ++i) reinterpret_cast<uint4*>(to)[i] = words[i];
      return;
    }
    Bits* elements = reinterpret_cast<Bits*>(to);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      if (i < count) elements[i] = bits_of(i);
  }
  __device__ __forceinline__ void to_floats(float (&x)[8]) const {
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        x[4 * i] = __uint_as_float(words[i].x);
        x[4 * i + 1] = __uint_as_float(words[i].y);
        x[4 * i + 2] = __uint_as_float(words[i].z);
        x[4 * i + 3] = __uint_as_float(words[i].w);
      }
    } else {
      const std::uint32_t pairs[4] = {words[0].x, words[0].y, words[0].z, words[0].w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 pair = unpack(pairs[i], T{});
        x[2 * i] = pair.x;
        x[2 * i + 1] = pair.y;
      }
    }
  }
  __device__ __forceinline__ void from_floats(const float (&x)[8]) {
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        words[i] = uint4{__float_as_uint(x[4 * i]), __float_as_uint(x[4 * i + 1]), __float_as_uint(x[4 * i + 2]),
                         __float_as_uint(x[4 * i + 3])};
    } else {
      words[0] = uint4{pack<T>(x[0], x[1]), pack<T>(x[2], x[3]), pack<T>(x[4], x[5]), pack<T>(x[6], x[7])};
    }
  }

 private:
  __device__ __forceinline__ Bits bits_of(int i) const {
    const uint4& vector = words[vectors == 2 ? i / 4 : 0];
    const int word = vectors == 2 ? i % 4 : i / 2;
    const std::uint32_t bits = word == 0 ? vector.x : word == 1 ? vector.y : word == 2 ? vector.z : vector.w;
    return static_cast<Bits>(vectors == 2 ? bits : bits >> (i % 2 * 16));
  }
};

// Whether every row's runs of `run` elements (heads, or halves of heads) can be read eight elements at a time.
inline bool in_vectors(const Tensor& x, std::int64_t run) {
  const std::int64_t size = size_of(x.dtype);
  return run % 8 == 0 && x.stride * size % 16 == 0 && reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0;
}

}  // namespace batchscope
