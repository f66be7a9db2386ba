// Fused attention of many queries a segment on tensor cores (Dao 2023): a block takes a tile of one head's queries
// against tiles of keys, the next of which is on its way while one is computed; the softmax is kept running, in base 2.
#include <cmath>

#include "ops/eight_elements.cuh"
#include "ops/cuda_launch.cuh"
#include "ops/head_rotation.cuh"
#include "ops/rope_attention_cuda.h"
#include "ops/segment_table.cuh"
#include "ops/tensor_core.cuh"

namespace batchscope {
namespace {

constexpr int warps = 4;
constexpr int threads = 32 * warps;

// `width`: head_dim, padded. A warp takes `blocks` times 16 queries; a block of warps, `keys` keys at a time.
template <int padded_head_dim, int row_blocks, int tile_keys, int blocks_a_multiprocessor>
struct TileShape {
  static constexpr int width = padded_head_dim, blocks = row_blocks, keys = tile_keys;
  static constexpr int resident = blocks_a_multiprocessor;
  static constexpr int warp_rows = 16 * blocks, rows = warps * warp_rows;
  static constexpr int stride = tile_stride(width);
  static constexpr int key_tile = keys * stride;  // elements
  // Queries, then two tiles of keys and two of values.
  static constexpr std::int64_t shared_bytes = 2 * (rows * stride + 4 * key_tile);
};

template <class T>
struct Prefill {
  const T* q;
  const T* k;
  const T* v;
  T* out;
  int q_stride, k_stride, v_stride, out_stride;  // elements; times a row in 64 bits
  HeadRotation<T> rotation;
  SegmentTable table;
  DeviceHeads map;
  int window;
  int tiles;          // of queries in the longest segment
  float scale_log2e;  // of scores, in base 2
  bool vector_q;      // and the angles
  bool vector_kv, vector_out;
};

// What a block works on.
struct Tile {
  TableSegment segment;
  int head, kv_column;
  int first, last;         // queries
  int key_begin, key_end;  // that some of them sees
};

// Keys [first, first + keys) and their values; zeros beyond the last and beyond the head's width. `vector`: by copies
// that are under way until wait_for_copies.
template <class Shape, bool vector, class T>
__device__ __forceinline__ void load_piece(const Prefill<T>& a, const Tile& tile, int first, int index, T* k_tile,
                                           T* v_tile) {
  constexpr int pieces = Shape::width / 8;
  const int row = index / pieces, column = index % pieces * 8, key = first + row;
  const bool there = key < tile.key_end && column < a.map.head_dim;
  const std::int64_t from_row = there ? tile.segment.key_row(key) : 0;
  const int from_column = there ? tile.kv_column + column : 0;
  const T* k = a.k + from_row * a.k_stride + from_column;
  const T* v = a.v + from_row * a.v_stride + from_column;
  const int to = row * Shape::stride + column;
  if constexpr (vector) {
    copy_16_bytes(shared_address(k_tile + to), k, there);
    copy_16_bytes(shared_address(v_tile + to), v, there);
  } else {
    const int count = there ? a.map.head_dim - column : 0;
    Eight<T> piece;
    piece.load(k, count, false);
    piece.store(k_tile + to, 8, true);
    piece.load(v, count, false);
    piece.store(v_tile + to, 8, true);
  }
}

template <class Shape, class T>
__device__ __forceinline__ void load_keys(const Prefill<T>& a, const Tile& tile, int first, T* k_tile, T* v_tile) {
  constexpr int pieces = Shape::keys * Shape::width / 8;
  static_assert(pieces % threads == 0);
  if (a.vector_kv) {
#pragma unroll(2 * Shape::blocks)
    for (int pass = 0; pass < pieces / threads; ++pass)
      load_piece<Shape, true>(a, tile, first, pass * threads + static_cast<int>(threadIdx.x), k_tile, v_tile);
  } else {
#pragma unroll 1
    for (int index = threadIdx.x; index < pieces; index += threads)
      load_piece<Shape, false>(a, tile, first, index, k_tile, v_tile);
  }
}

// Queries, normed and rotated; zeros beyond the head's width, and anything in rows beyond the last.
template <class Shape, bool vector, class T>
__device__ __forceinline__ void turn_queries(const Prefill<T>& a, const Tile& tile, T* q_tile) {
  constexpr int lanes = Shape::width <= 64 ? 4 : Shape::width <= 128 ? 8 : 16;
  constexpr int rows_a_pass = threads / lanes, passes = Shape::rows / rows_a_pass;
  constexpr int ahead = vector ? (Shape::resident > 2 || passes < 4 ? 2 : 4) : 1;  // rows under way
  static_assert(passes % ahead == 0);
  using Rotation = HeadRotation<T>;
  const int lane = static_cast<int>(threadIdx.x) % lanes, first_row = static_cast<int>(threadIdx.x) / lanes;
#pragma unroll 1
  for (int pass = 0; pass < passes; pass += ahead) {
    typename Rotation::Fetched fetched[ahead];
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      const int query = min(tile.first + first_row + (pass + u) * rows_a_pass, tile.last);
      const std::int64_t token = tile.segment.query_begin + query;
      fetched[u] =
          a.rotation.template fetch<vector>(a.q + token * a.q_stride + tile.head * a.map.head_dim, token, lane);
    }
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      const auto piece = a.rotation.turned(fetched[u], lane, lanes);
      const int row = first_row + (pass + u) * rows_a_pass;
      if (lane < a.rotation.pieces()) a.rotation.store(piece, q_tile + row * Shape::stride, lane, vector);
    }
  }
}

template <class Shape, class T>
__device__ __forceinline__ void load_queries(const Prefill<T>& a, const Tile& tile, T* q_tile) {
  if (a.map.head_dim < Shape::width) {
    for (int i = threadIdx.x; i < Shape::rows * Shape::stride / 8; i += threads)
      reinterpret_cast<uint4*>(q_tile)[i] = uint4{0, 0, 0, 0};
    __syncthreads();
  }
  if (a.vector_q)
    turn_queries<Shape, true>(a, tile, q_tile);
  else
    turn_queries<Shape, false>(a, tile, q_tile);
}

// A warp's part of the tile: its queries' scores, softmax and output. Of a 16 x 8 block a lane has rows lane / 4 and,
// as the second half, lane / 4 + 8.
template <class Shape, class T>
struct WarpTile {
  float score[Shape::blocks][Shape::keys / 8][4];
  float out[Shape::blocks][Shape::width / 8][4];  // weighted values, not yet divided by `sum`
  float largest[Shape::blocks][2];                // of the scores seen
  float sum[Shape::blocks][2];                    // of this lane's weights

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int m = 0; m < Shape::blocks; ++m) {
#pragma unroll
      for (int n = 0; n < Shape::width / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) out[m][n][i] = 0;
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        largest[m][h] = -INFINITY;
        sum[m][h] = 0;
      }
    }
  }

  // Addresses of this lane, of the warp's first query and of the tile's first key.
  __device__ __forceinline__ void multiply_keys(std::uint32_t queries, std::uint32_t keys) {
#pragma unroll
    for (int m = 0; m < Shape::blocks; ++m)
#pragma unroll
      for (int n = 0; n < Shape::keys / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) score[m][n][i] = 0;
#pragma unroll
    for (int d = 0; d < Shape::width; d += 16) {
      std::uint32_t q[Shape::blocks][4];
#pragma unroll
      for (int m = 0; m < Shape::blocks; ++m) load_pieces(q[m], queries + 2 * (16 * m * Shape::stride + d));
#pragma unroll
      for (int n = 0; n < Shape::keys / 16; ++n) {
        std::uint32_t k[4];
        load_pieces(k, keys + 2 * (16 * n * Shape::stride + d));
#pragma unroll
        for (int m = 0; m < Shape::blocks; ++m) {
          multiply_add<T>(score[m][2 * n], q[m], k[0], k[1]);
          multiply_add<T>(score[m][2 * n + 1], q[m], k[2], k[3]);
        }
      }
    }
  }

  // Hides what queries do not see of keys [first_key, …). first_query: the warp's.
  __device__ __forceinline__ void mask(const Tile& tile, int window, int first_query, int first_key, int lane) {
#pragma unroll
    for (int m = 0; m < Shape::blocks; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int query = first_query + 16 * m + 8 * h + lane / 4;
        const int begin = tile.segment.first_key(query, window) - first_key;
        const int end = min(tile.segment.position(query) + 1, tile.key_end) - first_key;
#pragma unroll
        for (int n = 0; n < Shape::keys / 8; ++n)
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            const int key = 8 * n + 2 * (lane % 4) + i;
            if (key < begin || key >= end) score[m][n][2 * h + i] = -INFINITY;
          }
      }
  }

  // Scores to weights. The difference comes before the factor: then the largest score's is exactly 0, however large.
  __device__ __forceinline__ void exponentiate(float scale_log2e) {
#pragma unroll
    for (int m = 0; m < Shape::blocks; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float high = largest[m][h];
#pragma unroll
        for (int n = 0; n < Shape::keys / 8; ++n) high = fmaxf(high, fmaxf(score[m][n][2 * h], score[m][n][2 * h + 1]));
        high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 1));
        high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 2));
        const float base = high == -INFINITY ? 0.0f : high;  // a row that has seen no key yet
        const float shrink = power_of_two((largest[m][h] - base) * scale_log2e);
        largest[m][h] = high;
        float added = 0;
#pragma unroll
        for (int n = 0; n < Shape::keys / 8; ++n)
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            float& x = score[m][n][2 * h + i];
            x = power_of_two((x - base) * scale_log2e);
            added += x;
          }
        sum[m][h] = sum[m][h] * shrink + added;
        if (__any_sync(0xffffffffu, shrink != 1.0f)) {
#pragma unroll
          for (int n = 0; n < Shape::width / 8; ++n) {
            out[m][n][2 * h] *= shrink;
            out[m][n][2 * h + 1] *= shrink;
          }
        }
      }
  }

  __device__ __forceinline__ void multiply_values(std::uint32_t values) {
#pragma unroll
    for (int k = 0; k < Shape::keys / 16; ++k) {
      std::uint32_t weight[Shape::blocks][4];
#pragma unroll
      for (int m = 0; m < Shape::blocks; ++m)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const auto& block = score[m][2 * k + i / 2];
          weight[m][i] = pack<T>(block[i % 2 * 2], block[i % 2 * 2 + 1]);
        }
#pragma unroll
      for (int d = 0; d < Shape::width; d += 16) {
        std::uint32_t v[4];
        load_pieces_transposed(v, values + 2 * (16 * k * Shape::stride + d));
#pragma unroll
        for (int m = 0; m < Shape::blocks; ++m) {
          multiply_add<T>(out[m][d / 8], weight[m], v[0], v[1]);
          multiply_add<T>(out[m][d / 8 + 1], weight[m], v[2], v[3]);
        }
      }
    }
  }

  // To the warp's rows of shared memory, that were its queries.
  __device__ __forceinline__ void divide_and_store(T* rows, int lane) {
#pragma unroll
    for (int m = 0; m < Shape::blocks; ++m)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float whole = sum[m][h];
        whole += __shfl_xor_sync(0xffffffffu, whole, 1);
        whole += __shfl_xor_sync(0xffffffffu, whole, 2);
        const float factor = 1.0f / whole;
        T* row = rows + (16 * m + 8 * h + lane / 4) * Shape::stride + 2 * (lane % 4);
#pragma unroll
        for (int n = 0; n < Shape::width / 8; ++n)
          *reinterpret_cast<std::uint32_t*>(row + 8 * n) =
              pack<T>(out[m][n][2 * h] * factor, out[m][n][2 * h + 1] * factor);
      }
  }
};

// The warp's rows from shared memory to the op's output.
template <class Shape, class T>
__device__ __forceinline__ void write_out(const Prefill<T>& a, const Tile& tile, const T* rows, int first_query,
                                          int lane) {
  const int pieces = (a.map.head_dim + 7) / 8;
  const int count = min(Shape::warp_rows, tile.last + 1 - first_query) * pieces;
  for (int index = lane; index < count; index += 32) {
    const int row = index / pieces, column = index % pieces * 8;
    const std::int64_t token = tile.segment.query_begin + first_query + row;
    Eight<T> piece;
    piece.load(rows + row * Shape::stride + column, 8, true);
    piece.store(a.out + token * a.out_stride + tile.head * a.map.head_dim + column, a.map.head_dim - column,
                a.vector_out);
  }
}

template <class Shape, class T>
__global__ void __launch_bounds__(threads, Shape::resident) prefill_kernel(const Prefill<T> a) {
  begin_kernel();
  extern __shared__ uint4 shared_words[];
  T* const q_tile = reinterpret_cast<T*>(shared_words);
  T* const k_tiles = q_tile + Shape::rows * Shape::stride;
  T* const v_tiles = k_tiles + 2 * Shape::key_tile;

  // A segment's last tile, which sees the most keys, comes first: the device then ends with short ones.
  const int block = static_cast<int>(blockIdx.x), index = block / a.tiles;
  Tile tile;
  tile.segment = a.table[index / a.map.heads];
  tile.head = index % a.map.heads;
  tile.kv_column = a.map.kv_head(tile.head) * a.map.head_dim;
  tile.first = (a.tiles - 1 - block % a.tiles) * Shape::rows;
  if (tile.first >= tile.segment.query_count) return;
  tile.last = min(tile.first + Shape::rows, tile.segment.query_count) - 1;
  tile.key_begin = tile.segment.first_key(tile.first, a.window);
  tile.key_end = tile.segment.position(tile.last) + 1;

  load_keys<Shape>(a, tile, tile.key_begin, k_tiles, v_tiles);
  load_queries<Shape>(a, tile, q_tile);

  const int lane = static_cast<int>(threadIdx.x) % 32, warp_row = static_cast<int>(threadIdx.x) / 32 * Shape::warp_rows;
  const int first_query = tile.first + warp_row, last_query = first_query + Shape::warp_rows - 1;
  T* const warp_rows = q_tile + warp_row * Shape::stride;
  const std::uint32_t queries = shared_address(warp_rows + down_then_right(lane, Shape::stride));
  const std::uint32_t keys = shared_address(k_tiles + right_then_down(lane, Shape::stride));
  const std::uint32_t values = shared_address(v_tiles + down_then_right(lane, Shape::stride));
  WarpTile<Shape, T> warp;
  warp.clear();
  int stage = 0;
  for (int first_key = tile.key_begin; first_key < tile.key_end; first_key += Shape::keys, stage ^= 1) {
    wait_for_copies();
    __syncthreads();  // the tile is there, and nobody reads the other one any more
    if (first_key + Shape::keys < tile.key_end)
      load_keys<Shape>(a, tile, first_key + Shape::keys, k_tiles + (stage ^ 1) * Shape::key_tile,
                       v_tiles + (stage ^ 1) * Shape::key_tile);
    const int last_key = first_key + Shape::keys - 1;
    const bool sees_none = first_query > tile.last || first_key > tile.segment.position(last_query) ||
                           last_key < tile.segment.first_key(first_query, a.window);
    if (sees_none) continue;
    const bool sees_all =
        last_key <= tile.segment.position(first_query) && first_key >= tile.segment.first_key(last_query, a.window);
    const std::uint32_t offset = static_cast<std::uint32_t>(stage * 2 * Shape::key_tile);
    warp.multiply_keys(queries, keys + offset);
    if (!sees_all) warp.mask(tile, a.window, first_query, first_key, lane);
    warp.exponentiate(a.scale_log2e);
    warp.multiply_values(values + offset);
  }
  if (first_query > tile.last) return;
  __syncwarp();  // all lanes have read the queries
  warp.divide_and_store(warp_rows, lane);
  __syncwarp();
  write_out<Shape>(a, tile, warp_rows, first_query, lane);
}

template <class Shape, class T>
void launch(const CudaContext& context, const RopeAttention& op, const AttentionExtent& extent) {
  const HeadMap& map = op.shape.map;
  const std::int64_t tiles = (extent.queries + Shape::rows - 1) / Shape::rows;
  const HeadRotation<T> rotation(op.norm.q, op.norm.epsilon, op.cosine, op.sine, map.head_dim);
  const Prefill<T> a{.q = op.q.row<T>(0),
                     .k = op.k.row<T>(0),
                     .v = op.v.row<T>(0),
                     .out = op.out.row<T>(0),
                     .q_stride = static_cast<int>(op.q.stride),
                     .k_stride = static_cast<int>(op.k.stride),
                     .v_stride = static_cast<int>(op.v.stride),
                     .out_stride = static_cast<int>(op.out.stride),
                     .rotation = rotation,
                     .table = SegmentTable(op.shape),
                     .map = DeviceHeads(map),
                     .window = static_cast<int>(op.shape.window),
                     .tiles = static_cast<int>(tiles),
                     .scale_log2e = static_cast<float>(M_LOG2E / std::sqrt(static_cast<double>(map.head_dim))),
                     .vector_q = in_vectors(op.q, map.head_dim / 2) && rotation.vector_angles,
                     .vector_kv = in_vectors(op.k, map.head_dim) && in_vectors(op.v, map.head_dim),
                     .vector_out = in_vectors(op.out, map.head_dim)};
  launch_kernel(context, prefill_kernel<Shape, T>, {extent.segments * map.heads * tiles, threads, Shape::shared_bytes},
                a, "rope_attention");
}

// Tall tiles read keys least often; where segments are short, low ones leave fewer rows empty, and more of them fit.
template <int width, class T>
void launch_width(const CudaContext& context, const RopeAttention& op, const AttentionExtent& extent) {
  using Low = TileShape<width, 1, 32, width <= 128 ? 4 : 2>;
  if constexpr (width <= 128) {
    using Tall = TileShape<width, 2, 64, 2>;
    if (op.q.rows > 2 * extent.segments * Low::rows && context.shared_bytes >= Tall::shared_bytes)
      return launch<Tall, T>(context, op, extent);
  }
  launch<Low, T>(context, op, extent);
}

template <class T>
void launch_dtype(const CudaContext& context, const RopeAttention& op, const AttentionExtent& extent) {
  const std::int64_t head_dim = op.shape.map.head_dim;
  if (head_dim <= 64) return launch_width<64, T>(context, op, extent);
  if (head_dim <= 96) return launch_width<96, T>(context, op, extent);
  if (head_dim <= 128) return launch_width<128, T>(context, op, extent);
  launch_width<256, T>(context, op, extent);
}

}  // namespace

void prefill_attention(const CudaContext& context, const RopeAttention& op, const AttentionExtent& extent) {
  if (op.q.dtype == DType::bf16) return launch_dtype<__nv_bfloat16>(context, op, extent);
  launch_dtype<__half>(context, op, extent);
}

}  // namespace batchscope
