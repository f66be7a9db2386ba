// Products of few rows on a GPU (ops/few_rows_product_cuda.h). A block takes 32 rows of the weight, and each of its warps every
// eighth piece of 256 bytes along k: memory gives more the longer the pieces are. Fragments of tensor cores are filled straight
// from memory: which element of a step along k a lane holds does not matter, as long as x's fragment holds the same; so a lane
// takes 16 neighbouring bytes. A weight depends on no kernel: a block has its first pieces under way before it waits for the
// kernel before.
#include "device/cuda/element.cuh"
#include "ops/few_rows_product_cuda.h"
#include "ops/tensor_core.cuh"

namespace batchscope {
namespace {

constexpr int product_warps = 8;
constexpr int block_rows = 32;  // of the weight
constexpr int row_groups = block_rows / 8;
constexpr int most_rows = 16;   // of x
constexpr int step_bytes = 64;  // of a row: a load of four lanes
constexpr int piece_steps = 4;  // a piece, which a warp has under way
constexpr int piece_bytes = piece_steps * step_bytes;

template <class T>
struct FewRows {
  const T* x;
  const std::byte* weight;
  const float* scales;  // of the weight's rows; null: none
  const T* bias;        // null: none
  T* out;
  std::int64_t x_stride, weight_stride, out_stride;  // elements; the weight's in bytes
  std::int64_t scale_stride;
  int rows, columns, pieces;  // of x; of out; along k
};

// Read once: not worth a place in the nearer cache.
__device__ __forceinline__ uint4 load_once(const void* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}
__device__ __forceinline__ uint4 load_coherent(const void* from) {
  uint4 value;
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from)
               : "memory");
  return value;
}

// A lane's 16 bytes of a row as words of two elements: fragments of depth 16 take two of them.
template <class T, bool is_fp8>
struct Words;
template <class T>
struct Words<T, false> {
  static constexpr int count = 4;
  std::uint32_t word[count];
  __device__ __forceinline__ explicit Words(const uint4& bits) : word{bits.x, bits.y, bits.z, bits.w} {}
};
template <class T>
struct Words<T, true> {
  static constexpr int count = 8;
  std::uint32_t word[count];
  __device__ __forceinline__ explicit Words(const uint4& bits) {
    const std::uint32_t fours[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      word[2 * i] = widened(fours[i], 0x1404);      // bytes 0 and 1, each behind a byte of zeros
      word[2 * i + 1] = widened(fours[i], 0x3424);  // bytes 2 and 3
    }
  }
  // e4m3's sign, exponent and mantissa in T's places; the exponents' biases differ by a factor, which makes it exact.
  static __device__ __forceinline__ std::uint32_t widened(std::uint32_t four, std::uint32_t bytes) {
    constexpr bool is_bf16 = std::is_same_v<T, __nv_bfloat16>;
    const std::uint32_t placed = __byte_perm(four, 0, bytes);
    const std::uint32_t bits = (placed & 0x80008000u) | (placed & 0x7f007f00u) >> (is_bf16 ? 4 : 1);
    std::uint32_t word;
    if constexpr (is_bf16) {
      constexpr std::uint32_t factor = 0x7b807b80u;  // 2^120 twice
      constexpr std::uint32_t nothing = 0x80008000u;  // -0, which keeps the sign of a zero
      asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(word) : "r"(bits), "r"(factor), "r"(nothing));
    } else {
      constexpr std::uint32_t factor = 0x5c005c00u;  // 2^8 twice
      asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(word) : "r"(bits), "r"(factor));
    }
    return word;
  }
};

// `tiles` of eight rows of x.
template <class T, bool is_fp8, int tiles>
__global__ void __launch_bounds__(product_warps* warp_size, 2) few_rows_kernel(const FewRows<T> a) {
  __shared__ float sums[product_warps][8 * tiles][block_rows + 1];
  constexpr int step_elements = step_bytes / (is_fp8 ? 1 : 2);
  const int lane = lane_number(), warp = warp_number(), g = lane / 4, t = lane % 4;
  const int first_row = static_cast<int>(blockIdx.x) * block_rows;
  const std::byte* weight[row_groups];  // of rows g, g + 8, …; beyond the last, the last
#pragma unroll
  for (int i = 0; i < row_groups; ++i)
    weight[i] = a.weight + min(first_row + g + 8 * i, a.columns - 1) * a.weight_stride + 16 * t;
  uint4 w[piece_steps][row_groups];
  const auto load_piece = [&](int piece) {
    if (piece >= a.pieces) return;
#pragma unroll
    for (int s = 0; s < piece_steps; ++s)
#pragma unroll
      for (int i = 0; i < row_groups; ++i)
        w[s][i] = load_once(weight[i] + piece * piece_bytes + s * step_bytes);
  };
  load_piece(warp);
  let_next_kernel_start();
  wait_for_previous_kernel();

  const T* x[tiles];
#pragma unroll
  for (int j = 0; j < tiles; ++j)
    x[j] = a.x + static_cast<std::int64_t>(min(8 * j + g, a.rows - 1)) * a.x_stride + step_elements / 4 * t;
  float sum[row_groups / 2][tiles][4] = {};
  for (int piece = warp; piece < a.pieces; piece += product_warps) {
#pragma unroll
    for (int s = 0; s < piece_steps; ++s) {
      constexpr int parts = Words<T, is_fp8>::count / 4;
      uint4 of_x[tiles][parts];
#pragma unroll
      for (int j = 0; j < tiles; ++j)
#pragma unroll
        for (int part = 0; part < parts; ++part)
          of_x[j][part] = load_coherent(x[j] + (piece * piece_steps + s) * step_elements + 8 * part);
#pragma unroll
      for (int pair = 0; pair < row_groups / 2; ++pair) {
        const Words<T, is_fp8> low(w[s][2 * pair]), high(w[s][2 * pair + 1]);
#pragma unroll
        for (int j = 0; j < tiles; ++j)
#pragma unroll
          for (int part = 0; part < parts; ++part) {
            const std::uint32_t* const l = low.word + 4 * part;
            const std::uint32_t* const h = high.word + 4 * part;
            multiply_add<T>(sum[pair][j], {l[0], h[0], l[1], h[1]}, of_x[j][part].x, of_x[j][part].y);
            multiply_add<T>(sum[pair][j], {l[2], h[2], l[3], h[3]}, of_x[j][part].z, of_x[j][part].w);
          }
      }
    }
    load_piece(piece + product_warps);
  }
#pragma unroll
  for (int pair = 0; pair < row_groups / 2; ++pair)
#pragma unroll
    for (int j = 0; j < tiles; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[warp][8 * j + 2 * t + i % 2][16 * pair + 8 * (i / 2) + g] = sum[pair][j][i];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < 8 * tiles * block_rows; i += product_warps * warp_size) {
    const int row = i / block_rows, column = first_row + i % block_rows;
    if (row >= a.rows || column >= a.columns) continue;
    float whole = 0;
#pragma unroll
    for (int part = 0; part < product_warps; ++part) whole += sums[part][row][i % block_rows];
    if constexpr (is_fp8) whole *= a.scales[column * a.scale_stride];
    if (a.bias != nullptr) whole += widen(a.bias[column]);
    a.out[row * a.out_stride + column] = narrow<T>(whole);
  }
}

template <class T, bool is_fp8>
void launch_few_rows(const CudaContext& context, const Linear& op) {
  const Tensor& weight = op.weight.values;
  const FewRows<T> a{.x = op.x.row<T>(0),
                     .weight = weight.data,
                     .scales = is_fp8 ? op.weight.scales.row<float>(0) : nullptr,
                     .bias = op.bias.elements() > 0 ? op.bias.row<T>(0) : nullptr,
                     .out = op.out.row<T>(0),
                     .x_stride = op.x.stride,
                     .weight_stride = weight.stride * size_of(weight.dtype),
                     .out_stride = op.out.stride,
                     .scale_stride = is_fp8 ? op.weight.scales.stride : 0,
                     .rows = static_cast<int>(op.x.rows),
                     .columns = static_cast<int>(op.out.columns),
                     .pieces = static_cast<int>(op.x.columns * size_of(weight.dtype) / piece_bytes)};
  const auto launch = [&](auto* kernel) {
    launch_cuda("linear", context.stream, grid_size(ceil_div(op.out.columns, block_rows)), product_warps * warp_size, kernel,
                a);
  };
  if (op.x.rows <= 8) return launch(few_rows_kernel<T, is_fp8, 1>);
  launch(few_rows_kernel<T, is_fp8, 2>);
}

}  // namespace

bool few_rows_product_fits(const Linear& op) {
  const DType dtype = op.x.dtype;
  const Weight& weight = op.weight;
  const bool is_fp8 = weight.values.dtype == DType::fp8 && weight.scale_columns >= weight.columns();
  return (dtype == DType::bf16 || dtype == DType::f16) && op.out.dtype == dtype && (weight.values.dtype == dtype || is_fp8) &&
         op.x.rows <= most_rows && weight.values.panel == 0 &&
         op.x.columns * size_of(weight.values.dtype) % piece_bytes == 0 && has_aligned_rows(op.x) &&
         has_aligned_rows(weight.values);
}

void few_rows_product(const CudaContext& context, const Linear& op) {
  const bool is_fp8 = op.weight.values.dtype == DType::fp8;
  const auto launch = [&]<class T>(T) {
    if (is_fp8) return launch_few_rows<T, true>(context, op);
    launch_few_rows<T, false>(context, op);
  };
  if (op.x.dtype == DType::bf16) return launch(__nv_bfloat16{});
  launch(__half{});
}

}  // namespace batchscope
