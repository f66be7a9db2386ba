// The QK norm and RoPE of heads, on lanes of a warp that share a head: one arithmetic, to the bit, wherever heads are
// normed and rotated. Products and sums are spelled out, so that no compiler fuses them one way here and another there.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/eight_elements.cuh"

namespace batchscope {

// What all heads of a tensor have in common. Lane l of a head's lanes takes the pairs (i, i + half) of piece l, which
// are i in [8l, 8l + 8), and of every `lanes`th piece from there on.
template <class T>
struct HeadRotation {
  const T* weight = nullptr;  // [head_dim]; null: no norm
  float epsilon = 0;
  const float* cosine = nullptr;  // [tokens, half]; null: no RoPE
  const float* sine = nullptr;
  std::int64_t cosine_stride = 0, sine_stride = 0;
  int half = 0;
  bool vector_angles = false;

  HeadRotation(const Tensor& norm_weight, float norm_epsilon, const Tensor& cosines, const Tensor& sines,
               std::int64_t head_dim)
      : epsilon(norm_epsilon),
        cosine_stride(cosines.stride),
        sine_stride(sines.stride),
        half(static_cast<int>(head_dim / 2)),
        vector_angles(in_vectors(cosines, head_dim / 2) && in_vectors(sines, head_dim / 2)) {
    if (norm_weight.elements() > 0) weight = norm_weight.row<T>(0);
    if (cosines.elements() > 0) {
      cosine = cosines.row<float>(0);
      sine = sines.row<float>(0);
    }
  }
  HeadRotation() = default;

  __device__ __forceinline__ int pieces() const { return (half + 7) / 8; }

  // A piece of a head.
  struct Piece {
    float low[8], high[8];
  };
  __device__ __forceinline__ Piece load(const T* head, int piece, bool vector) const {
    const int at = 8 * piece;
    Eight<T> low, high;
    low.load(head + at, half - at, vector);
    high.load(head + half + at, half - at, vector);
    Piece x;
    low.to_floats(x.low);
    high.to_floats(x.high);
    return x;
  }
  __device__ __forceinline__ void store(const Piece& x, T* head, int piece, bool vector) const {
    const int at = 8 * piece;
    Eight<T> low, high;
    low.from_floats(x.low);
    high.from_floats(x.high);
    low.store(head + at, half - at, vector);
    high.store(head + half + at, half - at, vector);
  }

  static __device__ __forceinline__ float add_squares(float sum, const Piece& x) {
#pragma unroll
    for (int i = 0; i < 8; ++i) sum = __fmaf_rn(x.low[i], x.low[i], sum);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum = __fmaf_rn(x.high[i], x.high[i], sum);
    return sum;
  }
  // What a head's elements are multiplied by, of the lanes' sums of squares. All lanes of the warp call it.
  __device__ __forceinline__ float norm_scale(float squares, int lanes) const {
    for (int step = 1; step < lanes; step *= 2)
      squares = __fadd_rn(squares, __shfl_xor_sync(0xffffffffu, squares, step));
    const float mean = __fdiv_rn(squares, static_cast<float>(2 * half));
    return __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(mean, epsilon)));
  }
  __device__ __forceinline__ void norm(Piece& x, int piece, float scale) const {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int at = 8 * piece + i;
      if (at >= half) break;
      x.low[i] = rounded<T>(__fmul_rn(rounded<T>(__fmul_rn(x.low[i], scale)), widen(weight[at])));
      x.high[i] = rounded<T>(__fmul_rn(rounded<T>(__fmul_rn(x.high[i], scale)), widen(weight[half + at])));
    }
  }
  struct Angles {
    Eight<float> cosine, sine;
  };
  __device__ __forceinline__ Angles load_angles(int piece, std::int64_t token, bool vector) const {
    const int at = 8 * piece;
    Angles angles;
    angles.cosine.load(cosine + token * cosine_stride + at, half - at, vector);
    angles.sine.load(sine + token * sine_stride + at, half - at, vector);
    return angles;
  }
  static __device__ __forceinline__ void rotate(Piece& x, const Angles& angles) {
    float c[8], s[8];
    angles.cosine.to_floats(c);
    angles.sine.to_floats(s);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float low = x.low[i], high = x.high[i];
      x.low[i] = __fmaf_rn(low, c[i], -__fmul_rn(high, s[i]));
      x.high[i] = __fmaf_rn(high, c[i], __fmul_rn(low, s[i]));
    }
  }

  // For heads that have no more pieces than lanes: what a lane needs of one, so that many can be under way, and what
  // becomes of it. A lane beyond the pieces reads the first and gets zeros. All lanes of the warp call `turned`.
  struct Fetched {
    Eight<T> low, high;
    Angles angles;
  };
  template <bool vector>
  __device__ __forceinline__ Fetched fetch(const T* head, std::int64_t token, int lane) const {
    const int piece = lane < pieces() ? lane : 0, at = 8 * piece;
    Fetched x;
    x.low.load(head + at, half - at, vector);
    x.high.load(head + half + at, half - at, vector);
    x.angles = load_angles(piece, token, vector);
    return x;
  }
  __device__ __forceinline__ Piece turned(const Fetched& fetched, int lane, int lanes) const {
    Piece x{};
    const bool there = lane < pieces();
    if (there) {
      fetched.low.to_floats(x.low);
      fetched.high.to_floats(x.high);
    }
    if (weight != nullptr) {
      const float scale = norm_scale(add_squares(0, x), lanes);
      if (there) norm(x, lane, scale);
    }
    rotate(x, fetched.angles);
    return x;
  }
};

// Lanes for heads of so many elements, a power of two.
inline int lanes_of_head(std::int64_t head_dim) {
  int lanes = 1;
  while (lanes < 32 && lanes * 16 < head_dim) lanes *= 2;
  return lanes;
}

}  // namespace batchscope
