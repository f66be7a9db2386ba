// Attention on a GPU in plain steps, each over the whole score matrix: products on tensor cores for bf16 and f16, a
// mask and a softmax.
#include <cmath>
#include <vector>

#include "ops/attention_kernels_cuda.h"
#include "ops/eight_elements.cuh"
#include "ops/cuda_launch.cuh"
#include "ops/segment_table.cuh"
#include "ops/tensor_core.cuh"

namespace batchscope {
namespace {

constexpr int score_warps = 4;
constexpr int score_threads = 32 * score_warps;
constexpr int tile = 64;  // rows, columns and depth of a block's product

// The most of any segment: grids are for the segments that they were made for.
struct Most {
  std::int64_t queries = 0, keys = 0;
  explicit Most(const std::vector<AttentionSegment>& segments) {
    for (const AttentionSegment& segment : segments) {
      queries = std::max(queries, segment.query_count);
      keys = std::max(keys, segment.keys());
    }
  }
};

std::int64_t tiles_of(std::int64_t count) { return (count + tile - 1) / tile; }

// Elements of the score matrix before those of a segment. All lanes of the warp call it.
__device__ std::int64_t scores_before(const SegmentTable& table, int segment, int heads) {
  std::int64_t pairs = 0;
  for (int i = static_cast<int>(threadIdx.x) % 32; i < segment; i += 32) {
    const TableSegment other = table[i];
    pairs += static_cast<std::int64_t>(other.query_count) * other.keys();
  }
  for (int step = 1; step < 32; step *= 2) pairs += __shfl_xor_sync(0xffffffffu, pairs, step);
  return pairs * heads;
}

// One head of one segment: its [query_count, keys] part of the score matrix.
template <class T>
struct HeadScores {
  TableSegment segment;
  int head;
  T* scores;
};

// q k^T / sqrt(head_dim): rows are queries, columns are keys, the depth is a head's width.
template <class T>
struct ScoreProduct {
  using Element = T;
  static constexpr bool b_by_column = true;  // b's tile has a row for each column of the product
  const T* q;
  const T* k;
  T* scores;
  int q_stride, k_stride;
  SegmentTable table;
  DeviceHeads map;
  float scale;
  int row_tiles, column_tiles;
  bool vector_q, vector_k;

  using Place = HeadScores<T>;
  __device__ int rows(const Place& at) const { return at.segment.query_count; }
  __device__ int columns(const Place& at) const { return at.segment.keys(); }
  __device__ int depth(const Place&) const { return map.head_dim; }
  // Eight elements of a's row or of b's row; zeros where there are none.
  __device__ void load_a(const Place& at, int row, int d, Eight<T>& x) const {
    const std::int64_t token = at.segment.query_begin + row;
    x.load(q + token * q_stride + at.head * map.head_dim + d, map.head_dim - d, vector_q);
  }
  __device__ void load_b(const Place& at, int key, int d, Eight<T>& x) const {
    const std::int64_t from = at.segment.key_row(key);
    x.load(k + from * k_stride + map.kv_head(at.head) * map.head_dim + d, map.head_dim - d, vector_k);
  }
  __device__ void store(const Place& at, int row, int column, T value) const {
    at.scores[static_cast<std::int64_t>(row) * at.segment.keys() + column] = value;
  }
};

// scores v: rows are queries, columns are a head's elements, the depth is the keys.
template <class T>
struct ValueProduct {
  using Element = T;
  static constexpr bool b_by_column = false;  // b's tile has a row for each step of the depth
  const T* v;
  T* scores;
  T* out;
  int v_stride, out_stride;
  SegmentTable table;
  DeviceHeads map;
  float scale;
  int row_tiles, column_tiles;
  bool vector_v;

  using Place = HeadScores<T>;
  __device__ int rows(const Place& at) const { return at.segment.query_count; }
  __device__ int columns(const Place&) const { return map.head_dim; }
  __device__ int depth(const Place& at) const { return at.segment.keys(); }
  __device__ void load_a(const Place& at, int row, int key, Eight<T>& x) const {
    const int keys = at.segment.keys();
    x.load(at.scores + static_cast<std::int64_t>(row) * keys + key, keys - key, false);  // rows of any length
  }
  __device__ void load_b(const Place& at, int key, int d, Eight<T>& x) const {
    const std::int64_t from = at.segment.key_row(key);
    x.load(v + from * v_stride + map.kv_head(at.head) * map.head_dim + d, map.head_dim - d, vector_v);
  }
  __device__ void store(const Place& at, int row, int column, T value) const {
    const std::int64_t token = at.segment.query_begin + row;
    out[token * out_stride + at.head * map.head_dim + column] = value;
  }
};

// Rows of a tile in shared memory; of floats an odd number of words apart, so that threads of different rows meet
// different banks.
template <class T>
constexpr int stride_of = sizeof(T) == 4 ? tile + 1 : tile_stride(tile);

template <class T>
__device__ __forceinline__ void put(const Eight<T>& piece, T* to) {
  if constexpr (sizeof(T) == 4)
    piece.store(to, 8, false);
  else
    piece.store(to, 8, true);
}

// The tiles of a and b at depth `begin`.
template <class Product, class T>
__device__ __forceinline__ void load_tiles(const Product& product, const typename Product::Place& at, int first_row,
                                           int first_column, int begin, T* a_tile, T* b_tile) {
  const int depth = product.depth(at);
  for (int index = threadIdx.x; index < tile * tile / 8; index += score_threads) {
    const int row = index / (tile / 8), column = index % (tile / 8) * 8;
    Eight<T> piece;
    piece.clear();
    if (first_row + row < product.rows(at) && begin + column < depth)
      product.load_a(at, first_row + row, begin + column, piece);
    put(piece, a_tile + row * stride_of<T> + column);
    piece.clear();
    const int b_row = (Product::b_by_column ? first_column : begin) + row;
    const int b_column = (Product::b_by_column ? begin : first_column) + column;
    const int b_rows = Product::b_by_column ? product.columns(at) : depth;
    const int b_columns = Product::b_by_column ? depth : product.columns(at);
    if (b_row < b_rows && b_column < b_columns) product.load_b(at, b_row, b_column, piece);
    put(piece, b_tile + row * stride_of<T> + column);
  }
}

// A block's product of bf16 or f16: a warp has 16 rows.
template <class Product, class T>
struct BlockProduct {
  float sum[tile / 8][4] = {};

  __device__ __forceinline__ void add(const T* a_tile, const T* b_tile) {
    constexpr int stride = stride_of<T>;
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const std::uint32_t a_at = shared_address(a_tile + 16 * warp * stride + down_then_right(lane, stride));
    const std::uint32_t b_at =
        shared_address(b_tile + (Product::b_by_column ? right_then_down(lane, stride) : down_then_right(lane, stride)));
#pragma unroll
    for (int depth = 0; depth < tile; depth += 16) {
      std::uint32_t a[4], b[4];
      load_pieces(a, a_at + 2 * depth);
#pragma unroll
      for (int column = 0; column < tile; column += 16) {
        if constexpr (Product::b_by_column)
          load_pieces(b, b_at + 2 * (column * stride + depth));
        else
          load_pieces_transposed(b, b_at + 2 * (depth * stride + column));
        multiply_add<T>(sum[column / 8], a, b[0], b[1]);
        multiply_add<T>(sum[column / 8 + 1], a, b[2], b[3]);
      }
    }
  }
  // By way of shared memory, so that neighbours in a row are written together.
  __device__ __forceinline__ void store(const Product& product, const typename Product::Place& at, int first_row,
                                        int first_column, T* shared) const {
    constexpr int stride = stride_of<T>;
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      T* row = shared + (16 * warp + 8 * h + lane / 4) * stride + 2 * (lane % 4);
#pragma unroll
      for (int n = 0; n < tile / 8; ++n)
        *reinterpret_cast<std::uint32_t*>(row + 8 * n) =
            pack<T>(sum[n][2 * h] * product.scale, sum[n][2 * h + 1] * product.scale);
    }
    __syncthreads();
    for (int index = threadIdx.x; index < tile * tile; index += score_threads) {
      const int row = index / tile, column = index % tile;
      if (first_row + row < product.rows(at) && first_column + column < product.columns(at))
        product.store(at, first_row + row, first_column + column, shared[row * stride + column]);
    }
  }
};

// The same of floats: a thread has eight rows of every sixteenth column.
template <class Product>
struct BlockProduct<Product, float> {
  static constexpr int rows = 8, columns = 4;
  float sum[rows][columns] = {};

  __device__ __forceinline__ void add(const float* a_tile, const float* b_tile) {
    constexpr int stride = stride_of<float>;
    const int first_row = static_cast<int>(threadIdx.x) / 16 * rows, first_column = static_cast<int>(threadIdx.x) % 16;
    for (int depth = 0; depth < tile; ++depth) {
      float b[columns];
#pragma unroll
      for (int j = 0; j < columns; ++j) {
        const int column = first_column + 16 * j;
        b[j] = Product::b_by_column ? b_tile[column * stride + depth] : b_tile[depth * stride + column];
      }
#pragma unroll
      for (int i = 0; i < rows; ++i) {
        const float a = a_tile[(first_row + i) * stride + depth];
#pragma unroll
        for (int j = 0; j < columns; ++j) sum[i][j] += a * b[j];
      }
    }
  }
  __device__ __forceinline__ void store(const Product& product, const typename Product::Place& at, int first_row,
                                        int first_column, float*) const {
#pragma unroll
    for (int i = 0; i < rows; ++i)
#pragma unroll
      for (int j = 0; j < columns; ++j) {
        const int row = first_row + static_cast<int>(threadIdx.x) / 16 * rows + i;
        const int column = first_column + static_cast<int>(threadIdx.x) % 16 + 16 * j;
        if (row < product.rows(at) && column < product.columns(at))
          product.store(at, row, column, sum[i][j] * product.scale);
      }
  }
};

template <class Product>
__global__ void __launch_bounds__(score_threads) product_kernel(const Product product) {
  begin_kernel();
  using T = typename Product::Element;
  __shared__ alignas(16) T a_tile[tile * stride_of<T>];
  __shared__ alignas(16) T b_tile[tile * stride_of<T>];
  const int block = static_cast<int>(blockIdx.x);
  const int first_column = block % product.column_tiles * tile;
  const int first_row = block / product.column_tiles % product.row_tiles * tile;
  const int index = block / product.column_tiles / product.row_tiles, segment = index / product.map.heads;
  typename Product::Place at{product.table[segment], index % product.map.heads, nullptr};
  if (first_row >= product.rows(at) || first_column >= product.columns(at)) return;
  at.scores = product.scores + scores_before(product.table, segment, product.map.heads) +
              static_cast<std::int64_t>(at.head) * at.segment.query_count * at.segment.keys();
  BlockProduct<Product, T> sums;
  for (int begin = 0; begin < product.depth(at); begin += tile) {
    load_tiles(product, at, first_row, first_column, begin, a_tile, b_tile);
    __syncthreads();
    sums.add(a_tile, b_tile);
    __syncthreads();
  }
  sums.store(product, at, first_row, first_column, a_tile);
}

template <class Product>
void launch_product(const CudaContext& context, const AttentionShape& shape, const Product& product, const char* what) {
  launch_kernel(context, product_kernel<Product>,
                {std::ssize(*shape.segments) * shape.map.heads * product.row_tiles * product.column_tiles, score_threads},
                product, what);
}

constexpr int rows_a_block = 32;  // of scores, eight a warp

template <class T>
struct ScoreRows {
  T* scores;
  SegmentTable table;
  int heads, window;
  int blocks;  // for the segment with the most rows
};

// Calls body(segment, query, row of scores) with each row of a block, a warp for each.
template <class T, class Body>
__device__ __forceinline__ void for_each_row(const ScoreRows<T>& a, const Body& body) {
  const int block = static_cast<int>(blockIdx.x), index = block / a.blocks;
  const TableSegment segment = a.table[index];
  const std::int64_t rows = static_cast<std::int64_t>(a.heads) * segment.query_count;
  const std::int64_t first = static_cast<std::int64_t>(block % a.blocks) * rows_a_block;
  if (first >= rows) return;
  T* scores = a.scores + scores_before(a.table, index, a.heads);
  for (std::int64_t row = first + threadIdx.x / 32; row < min(first + rows_a_block, rows); row += score_warps)
    body(segment, static_cast<int>(row % segment.query_count), scores + row * segment.keys());
}

template <class T>
__global__ void __launch_bounds__(score_threads) mask_kernel(const ScoreRows<T> a) {
  begin_kernel();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for_each_row(a, [&](const TableSegment& segment, int query, T* row) {
    const T masked = narrow<T>(-INFINITY);
    for (int key = lane; key < segment.first_key(query, a.window); key += 32) row[key] = masked;  // before the window
    for (int key = segment.position(query) + 1 + lane; key < segment.keys(); key += 32) row[key] = masked;  // newer
  });
}

template <class T>
__global__ void __launch_bounds__(score_threads) softmax_kernel(const ScoreRows<T> a) {
  begin_kernel();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for_each_row(a, [&](const TableSegment& segment, int, T* row) {
    float largest = -INFINITY, sum = 0;
    for (int key = lane; key < segment.keys(); key += 32) largest = fmaxf(largest, widen(row[key]));
    for (int step = 1; step < 32; step *= 2) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, step));
    for (int key = lane; key < segment.keys(); key += 32) sum += expf(widen(row[key]) - largest);
    for (int step = 1; step < 32; step *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    const float factor = 1.0f / sum;
    for (int key = lane; key < segment.keys(); key += 32)
      row[key] = narrow<T>(expf(widen(row[key]) - largest) * factor);
  });
}

template <class T>
void launch_rows(const CudaContext& context, void (*kernel)(ScoreRows<T>), const Tensor& scores,
                 const AttentionShape& shape, const char* what) {
  const std::int64_t blocks = (Most(*shape.segments).queries * shape.map.heads + rows_a_block - 1) / rows_a_block;
  const ScoreRows<T> a{scores.row<T>(0), SegmentTable(shape), static_cast<int>(shape.map.heads),
                       static_cast<int>(shape.window), static_cast<int>(blocks)};
  launch_kernel(context, kernel, {std::ssize(*shape.segments) * blocks, score_threads}, a, what);
}

}  // namespace

void attention_scores_cuda(const CudaContext& context, const AttentionScores& op) {
  const HeadMap& map = op.shape.map;
  const Most most(*op.shape.segments);
  for_cuda_dtype(op.scores.dtype, [&]<class T>(T) {
    launch_product(context, op.shape,
                   ScoreProduct<T>{.q = op.q.row<T>(0),
                                   .k = op.k.row<T>(0),
                                   .scores = op.scores.row<T>(0),
                                   .q_stride = static_cast<int>(op.q.stride),
                                   .k_stride = static_cast<int>(op.k.stride),
                                   .table = SegmentTable(op.shape),
                                   .map = DeviceHeads(map),
                                   .scale = 1.0f / std::sqrt(static_cast<float>(map.head_dim)),
                                   .row_tiles = static_cast<int>(tiles_of(most.queries)),
                                   .column_tiles = static_cast<int>(tiles_of(most.keys)),
                                   .vector_q = in_vectors(op.q, map.head_dim),
                                   .vector_k = in_vectors(op.k, map.head_dim)},
                   "attention_scores");
  });
}

void causal_mask_cuda(const CudaContext& context, const CausalMask& op) {
  for_cuda_dtype(op.scores.dtype,
                 [&]<class T>(T) { launch_rows<T>(context, mask_kernel<T>, op.scores, op.shape, "causal_mask"); });
}

void attention_softmax_cuda(const CudaContext& context, const AttentionSoftmax& op) {
  for_cuda_dtype(op.scores.dtype, [&]<class T>(T) {
    launch_rows<T>(context, softmax_kernel<T>, op.scores, op.shape, "attention_softmax");
  });
}

void attention_values_cuda(const CudaContext& context, const AttentionValues& op) {
  const HeadMap& map = op.shape.map;
  const Most most(*op.shape.segments);
  for_cuda_dtype(op.scores.dtype, [&]<class T>(T) {
    launch_product(context, op.shape,
                   ValueProduct<T>{.v = op.v.row<T>(0),
                                   .scores = op.scores.row<T>(0),
                                   .out = op.out.row<T>(0),
                                   .v_stride = static_cast<int>(op.v.stride),
                                   .out_stride = static_cast<int>(op.out.stride),
                                   .table = SegmentTable(op.shape),
                                   .map = DeviceHeads(map),
                                   .scale = 1,
                                   .row_tiles = static_cast<int>(tiles_of(most.queries)),
                                   .column_tiles = static_cast<int>(tiles_of(map.head_dim)),
                                   .vector_v = in_vectors(op.v, map.head_dim)},
                   "attention_values");
  });
}

}  // namespace batchscope
