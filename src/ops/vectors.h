// A CPU's vector registers, of `bytes` bytes; for functions that are always inlined into one of BATCHSCOPE_PER_TARGET.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/target_clones.h"
#include "tensor/dtype.h"

namespace batchscope {

template <int bytes>
struct Vectors {
  static constexpr int lanes = bytes / 4;
  // Sums that stay in registers beside what they are made of: AVX-512 has 32 registers, others 16.
  static constexpr int most_sums = bytes == 64 ? 16 : 8;
  using Floats [[gnu::vector_size(bytes), gnu::may_alias]] = float;
  using Words [[gnu::vector_size(bytes)]] = std::uint32_t;
  using Halves [[gnu::vector_size(bytes / 2)]] = std::uint16_t;
};

template <int bytes>
[[gnu::always_inline]] inline typename Vectors<bytes>::Floats as_floats(const typename Vectors<bytes>::Words& words) {
  typename Vectors<bytes>::Floats floats;
  std::memcpy(&floats, &words, sizeof floats);
  return floats;
}

template <int bytes>
[[gnu::always_inline]] inline typename Vectors<bytes>::Floats load_floats(const float* from) {
  typename Vectors<bytes>::Floats floats;
  std::memcpy(&floats, from, sizeof floats);
  return floats;
}

template <int bytes>
[[gnu::always_inline]] inline typename Vectors<bytes>::Floats load_floats(const BFloat16* from) {
  typename Vectors<bytes>::Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  return as_floats<bytes>(__builtin_convertvector(halves, typename Vectors<bytes>::Words) << 16);
}

// The last ones of a row; zeros behind.
template <int bytes, class T>
[[gnu::always_inline]] inline typename Vectors<bytes>::Floats load_floats(const T* from, std::int64_t count) {
  if (count >= Vectors<bytes>::lanes) return load_floats<bytes>(from);
  T part[Vectors<bytes>::lanes] = {};
  std::copy_n(from, count, part);
  return load_floats<bytes>(part);
}

template <int bytes>
[[gnu::always_inline]] inline void store_floats(const typename Vectors<bytes>::Floats& floats, float* to) {
  std::memcpy(to, &floats, sizeof floats);
}

// All lanes, halved until one is left.
template <int bytes>
[[gnu::always_inline]] inline float sum_of(const typename Vectors<bytes>::Floats& x) {
  if constexpr (bytes == 64)
    return sum_of<32>(__builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
                      __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15));
  else if constexpr (bytes == 32)
    return sum_of<16>(__builtin_shufflevector(x, x, 0, 1, 2, 3) + __builtin_shufflevector(x, x, 4, 5, 6, 7));
  else
    return (x[0] + x[2]) + (x[1] + x[3]);
}

}  // namespace batchscope
