// Fused attention in f32, without tensor cores: a block takes 16 queries of one head against 32 keys at a time, eight
// lanes a query; the softmax is kept running.
#include <cmath>

#include "ops/eight_elements.cuh"
#include "ops/cuda_launch.cuh"
#include "ops/head_rotation.cuh"
#include "ops/rope_attention_cuda.h"
#include "ops/segment_table.cuh"

namespace batchscope {
namespace {

constexpr int threads = 128;
constexpr int rows = 16, keys = 32;
constexpr int lanes = threads / rows;  // of a query

struct TileAttention {
  const float* q;
  const float* k;
  const float* v;
  float* out;
  std::int64_t q_stride, k_stride, v_stride, out_stride;
  HeadRotation<float> rotation;
  SegmentTable table;
  DeviceHeads map;
  int window;
  int tiles;  // of queries in the longest segment
  float scale;
};

// Rows of queries and keys lie an odd number of words apart, so that lanes of different keys meet different banks.
template <int width>
struct TileMemory {
  float query[rows][width + 1];
  float key[keys][width + 1];
  float value[keys][width];
  float weight[rows][keys + 1];
};

template <int width>
__device__ void load_queries(const TileAttention& a, const TableSegment& segment, int head, int first,
                             TileMemory<width>& tile) {
  constexpr int head_lanes = width / 16, rows_a_pass = threads / head_lanes;
  const int lane = static_cast<int>(threadIdx.x) % head_lanes, half = a.rotation.half;
  for (int pass = 0; pass < (rows + rows_a_pass - 1) / rows_a_pass; ++pass) {
    const int row = pass * rows_a_pass + static_cast<int>(threadIdx.x) / head_lanes;
    const int query = min(first + row, segment.query_count - 1);  // rows beyond it are not written
    const std::int64_t token = segment.query_begin + query;
    const float* from = a.q + token * a.q_stride + head * a.map.head_dim;
    const auto x = a.rotation.turned(a.rotation.template fetch<false>(from, token, lane), lane, head_lanes);
    if (row >= rows) continue;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int at = 8 * lane + i;
      if (at >= half) break;
      tile.query[row][at] = x.low[i] * a.scale;
      tile.query[row][half + at] = x.high[i] * a.scale;
    }
  }
}

template <int width>
__device__ void load_keys(const TileAttention& a, const TableSegment& segment, int kv_column, int first, int end,
                          TileMemory<width>& tile) {
  const int head_dim = a.map.head_dim;
  for (int index = threadIdx.x; index < keys * head_dim; index += threads) {
    const int row = index / head_dim, column = index % head_dim, key = first + row;
    const std::int64_t from = key < end ? segment.key_row(key) : 0;
    tile.key[row][column] = key < end ? a.k[from * a.k_stride + kv_column + column] : 0.0f;
    tile.value[row][column] = key < end ? a.v[from * a.v_stride + kv_column + column] : 0.0f;
  }
}

__device__ __forceinline__ float largest_of_lanes(float x) {
#pragma unroll
  for (int step = 1; step < lanes; step *= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}

template <int width>
__global__ void __launch_bounds__(threads) tile_kernel(const TileAttention a) {
  begin_kernel();
  extern __shared__ uint4 shared_words[];
  auto& tile = *reinterpret_cast<TileMemory<width>*>(shared_words);
  const int block = static_cast<int>(blockIdx.x), index = block / a.tiles;
  const TableSegment segment = a.table[index / a.map.heads];
  const int head = index % a.map.heads, first = (a.tiles - 1 - block % a.tiles) * rows;
  if (first >= segment.query_count) return;
  const int kv_column = a.map.kv_head(head) * a.map.head_dim, head_dim = a.map.head_dim;
  const int row = static_cast<int>(threadIdx.x) / lanes, lane = static_cast<int>(threadIdx.x) % lanes;
  const int query = first + row, last = min(first + rows, segment.query_count) - 1;
  const int key_begin = segment.first_key(first, a.window), key_end = segment.position(last) + 1;
  const int seen_from = segment.first_key(query, a.window), seen_to = min(segment.position(query) + 1, key_end);
  load_queries(a, segment, head, first, tile);

  float out[width / lanes] = {};  // elements lane, lane + lanes, …
  float largest = -INFINITY, sum = 0;
  for (int first_key = key_begin; first_key < key_end; first_key += keys) {
    __syncthreads();
    load_keys(a, segment, kv_column, first_key, key_end, tile);
    __syncthreads();
    float score[keys / lanes];
    float high = largest;
#pragma unroll
    for (int j = 0; j < keys / lanes; ++j) {
      const int key = j * lanes + lane;
      float product = 0;
      for (int d = 0; d < head_dim; ++d) product += tile.query[row][d] * tile.key[key][d];
      const bool seen = first_key + key >= seen_from && first_key + key < seen_to;
      score[j] = seen ? product : -INFINITY;
      high = fmaxf(high, score[j]);
    }
    high = largest_of_lanes(high);
    const float base = high == -INFINITY ? 0.0f : high;  // a query that has seen no key yet
    const float shrink = expf(largest - base);
    largest = high;
    sum *= shrink;
#pragma unroll
    for (int j = 0; j < keys / lanes; ++j) {
      const float weight = expf(score[j] - base);
      sum += weight;
      tile.weight[row][j * lanes + lane] = weight;
    }
    __syncwarp();  // a query's lanes are of one warp
#pragma unroll
    for (int i = 0; i < width / lanes; ++i) {
      if (lane + i * lanes >= head_dim) break;
      out[i] *= shrink;
      for (int key = 0; key < keys; ++key) out[i] += tile.weight[row][key] * tile.value[key][lane + i * lanes];
    }
  }
#pragma unroll
  for (int step = 1; step < lanes; step *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (query > last) return;
  float* to = a.out + static_cast<std::int64_t>(segment.query_begin + query) * a.out_stride + head * head_dim;
#pragma unroll
  for (int i = 0; i < width / lanes; ++i)
    if (lane + i * lanes < head_dim) to[lane + i * lanes] = out[i] / sum;
}

template <int width>
void launch(const CudaContext& context, const RopeAttention& op, const AttentionExtent& extent) {
  const HeadMap& map = op.shape.map;
  const std::int64_t tiles = (extent.queries + rows - 1) / rows;
  const TileAttention a{.q = op.q.row<float>(0),
                        .k = op.k.row<float>(0),
                        .v = op.v.row<float>(0),
                        .out = op.out.row<float>(0),
                        .q_stride = op.q.stride,
                        .k_stride = op.k.stride,
                        .v_stride = op.v.stride,
                        .out_stride = op.out.stride,
                        .rotation = HeadRotation<float>(op.norm.q, op.norm.epsilon, op.cosine, op.sine, map.head_dim),
                        .table = SegmentTable(op.shape),
                        .map = DeviceHeads(map),
                        .window = static_cast<int>(op.shape.window),
                        .tiles = static_cast<int>(tiles),
                        .scale = 1.0f / std::sqrt(static_cast<float>(map.head_dim))};
  launch_kernel(context, tile_kernel<width>,
                {extent.segments * map.heads * tiles, threads, static_cast<std::int64_t>(sizeof(TileMemory<width>))}, a,
                "rope_attention");
}

}  // namespace

void tile_attention(const CudaContext& context, const RopeAttention& op, const AttentionExtent& extent) {
  const std::int64_t head_dim = op.shape.map.head_dim;
  if (head_dim <= 64) return launch<64>(context, op, extent);
  if (head_dim <= 128) return launch<128>(context, op, extent);
  launch<256>(context, op, extent);
}

}  // namespace batchscope
