// Products on tensor cores: m16n8k16 of bf16 or f16 with sums in f32, the loads of their fragments from shared memory,
// and copies there that do not pass through registers.
//
// Of a warp's lane, with g = lane / 4 and t = lane % 4:
//   a  [16 x 16]: a[0] row g, columns 2t and 2t + 1; a[1] row g + 8; a[2], a[3] the same eight columns on
//   b  [16 x 8]:  b[0] rows 2t and 2t + 1 of column g; b[1] the same eight rows on
//   c  [16 x 8]:  c[0], c[1] row g, columns 2t and 2t + 1; c[2], c[3] row g + 8
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace batchscope {

// Rows of a tile in shared memory lie an odd number of 16-byte pieces apart: eight neighbours, read at one column, then
// meet each bank once.
constexpr int tile_stride(int columns) { return columns + 8; }  // columns: a multiple of 16

__device__ __forceinline__ std::uint32_t shared_address(const void* at) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(at));
}

// Four 8 x 8 pieces; lane l gives the address of row l % 8 of piece l / 8, and gets of each piece elements 2t and 2t +
// 1 of row g.
__device__ __forceinline__ void load_pieces(std::uint32_t (&to)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}
// The same of each piece transposed: elements 2t and 2t + 1 of column g.
__device__ __forceinline__ void load_pieces_transposed(std::uint32_t (&to)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

// Where a lane's address stands, in elements from the corner of a 16 x 16 block of a row-major tile, for fragments of
//   a from [m][k], and of two b side by side from [k][n] (transposed): pieces down, then right;
//   two b side by side from [n][k]: pieces right, then down.
__device__ __forceinline__ int down_then_right(int lane, int stride) { return (lane & 15) * stride + (lane >> 4) * 8; }
__device__ __forceinline__ int right_then_down(int lane, int stride) {
  return ((lane & 7) + (lane >> 4) * 8) * stride + ((lane >> 3) & 1) * 8;
}

// c += a b
template <class T>
__device__ __forceinline__ void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1);
template <>
__device__ __forceinline__ void multiply_add<__nv_bfloat16>(float (&c)[4], const std::uint32_t (&a)[4],
                                                            std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void multiply_add<__half>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                     std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// 16 bytes to shared memory, or 16 zeros without a read; there after wait_for_copies() and a barrier.
__device__ __forceinline__ void copy_16_bytes(std::uint32_t to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(__cvta_generic_to_global(from)),
               "r"(there ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// 2^x, of -infinity 0.
__device__ __forceinline__ float power_of_two(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

}  // namespace batchscope
