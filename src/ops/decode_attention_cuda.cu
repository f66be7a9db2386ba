// Fused attention of one query a segment, limited by reading keys and values once: a block takes the query heads of one
// KV head against a part of a segment's keys; the last block of a segment and KV head puts the parts together (flash
// decoding: Dao et al. 2023).
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

template <class T>
struct Decode {
  const T* q;
  const T* k;
  const T* v;
  T* out;
  int q_stride, k_stride, v_stride, out_stride;  // elements; times a row in 64 bits
  HeadRotation<T> rotation;
  SegmentTable table;
  DeviceHeads map;
  int window;
  int head_blocks, units, splits, partial_words;  // of DecodeCut
  float scale_log2e;                              // of scores, in base 2
  bool vector_q;                                  // and the angles
  bool vector_kv;
  float* partial;         // [segments, units, splits, heads, partial_words]
  std::int32_t* counter;  // [segments, units]
};

// `lanes` of a warp share a key, eight elements each, so that a warp reads 32 / lanes keys at once and has `ahead` such
// reads of keys and of values under way.
template <int lanes_a_key, int block_heads>
struct DecodeShape {
  static constexpr int lanes = lanes_a_key, heads = block_heads;
  static constexpr int width = 8 * lanes;  // of heads, padded
  static constexpr int keys_a_warp = 32 / lanes, keys_a_read = warps * keys_a_warp;
  static constexpr int ahead = heads == 8 ? 2 : 4;
};

// What a block works on.
struct Part {
  TableSegment segment;
  int counter;        // [segment, unit]
  int split, splits;  // this one, of so many that have keys
  int kv_column;
  int head_begin, heads;
  int begin, end;  // keys
};

template <class Shape, class T>
__device__ __forceinline__ bool find_part(const Decode<T>& a, Part& part) {
  const int block = static_cast<int>(blockIdx.x), unit = block % a.units, index = block / a.units;
  part.split = index % a.splits;
  part.segment = a.table[index / a.splits];
  part.counter = index / a.splits * a.units + unit;
  const int kv_head = unit / a.head_blocks;
  part.head_begin = a.map.begin(kv_head) + unit % a.head_blocks * Shape::heads;
  part.heads = min(a.map.end(kv_head) - part.head_begin, Shape::heads);
  part.kv_column = kv_head * a.map.head_dim;
  if (part.heads <= 0 || part.segment.query_count == 0) return false;
  const int first = part.segment.first_key(0, a.window), seen = part.segment.keys() - first;
  part.splits =
      min(a.splits, (seen + static_cast<int>(DecodeCut::least_keys) - 1) / static_cast<int>(DecodeCut::least_keys));
  if (part.split >= part.splits) return false;
  part.begin = first + static_cast<int>(static_cast<std::int64_t>(seen) * part.split / part.splits);
  part.end = first + static_cast<int>(static_cast<std::int64_t>(seen) * (part.split + 1) / part.splits);
  return true;
}

// A running softmax: of scores in base 2, the largest, the sum of 2^(score - largest), and with these weights the sum
// of values.
struct Softmax {
  float largest, sum;
};
// What sums of a softmax are multiplied by when its largest score becomes `largest`, which is no smaller.
__device__ __forceinline__ float shrink(float before, float largest) {
  return power_of_two(before - (largest == -INFINITY ? 0.0f : largest));
}

// One lane's part: its elements of its keys, for all heads of the block.
template <class Shape, class T>
struct DecodeLane {
  static constexpr int heads = Shape::heads, ahead = Shape::ahead;
  float query[heads][8];
  float out[heads][8];
  Softmax softmax[heads];
  Eight<T> k[ahead], v[ahead];

  // Of keys first + (0, 1, …) * keys_a_read; in place of one beyond the part's end, the part's last, which gets no
  // weight. One branch around all of them, so that they are under way together.
  __device__ __forceinline__ void load(const Decode<T>& a, const Part& part, int first, int column) {
    if (a.vector_kv)
      load_as<true>(a, part, first, column);
    else
      load_as<false>(a, part, first, column);
  }
  template <bool vector>
  __device__ __forceinline__ void load_as(const Decode<T>& a, const Part& part, int first, int column) {
    const int count = a.map.head_dim - column;
    if (count <= 0) return;  // beyond the head's width: zeros since the start
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      const std::int64_t row = part.segment.key_row(min(first + u * Shape::keys_a_read, part.end - 1));
      k[u].load(a.k + row * a.k_stride + part.kv_column + column, count, vector);
      v[u].load(a.v + row * a.v_stride + part.kv_column + column, count, vector);
    }
  }
  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      k[u].clear();
      v[u].clear();
    }
  }

  __device__ __forceinline__ void start(const float (&queries)[heads][Shape::width], int column) {
#pragma unroll
    for (int h = 0; h < heads; ++h) {
      softmax[h] = {-INFINITY, 0};
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        query[h][i] = queries[h][column + i];
        out[h][i] = 0;
      }
    }
  }

  // Takes in what was loaded. All lanes of the warp call it.
  __device__ __forceinline__ void attend(const Part& part, int first) {
    float score[ahead][heads];
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      float x[8];
      k[u].to_floats(x);
#pragma unroll
      for (int h = 0; h < heads; ++h) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) sum += query[h][i] * x[i];
        score[u][h] = sum;
      }
    }
#pragma unroll
    for (int step = 1; step < Shape::lanes; step *= 2)
#pragma unroll
      for (int u = 0; u < ahead; ++u)
#pragma unroll
        for (int h = 0; h < heads; ++h) score[u][h] += __shfl_xor_sync(0xffffffffu, score[u][h], step);
#pragma unroll
    for (int h = 0; h < heads; ++h) {
      float largest = softmax[h].largest;
#pragma unroll
      for (int u = 0; u < ahead; ++u) {
        if (first + u * Shape::keys_a_read >= part.end) score[u][h] = -INFINITY;
        largest = fmaxf(largest, score[u][h]);
      }
      const float factor = shrink(softmax[h].largest, largest);
      float sum = softmax[h].sum * factor;
#pragma unroll
      for (int u = 0; u < ahead; ++u) {
        score[u][h] = shrink(score[u][h], largest);
        sum += score[u][h];
      }
      softmax[h] = {largest, sum};
#pragma unroll
      for (int i = 0; i < 8; ++i) out[h][i] *= factor;
    }
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      float x[8];
      v[u].to_floats(x);
#pragma unroll
      for (int h = 0; h < heads; ++h)
#pragma unroll
        for (int i = 0; i < 8; ++i) out[h][i] += score[u][h] * x[i];
    }
  }

  // Of the lanes that took other keys, all then have the same.
  __device__ __forceinline__ void gather_warp() {
#pragma unroll
    for (int step = Shape::lanes; step < 32; step *= 2)
#pragma unroll
      for (int h = 0; h < heads; ++h) {
        const float other = __shfl_xor_sync(0xffffffffu, softmax[h].largest, step);
        const float largest = fmaxf(softmax[h].largest, other);
        const float mine = shrink(softmax[h].largest, largest), theirs = shrink(other, largest);
        softmax[h] = {largest, softmax[h].sum * mine + __shfl_xor_sync(0xffffffffu, softmax[h].sum, step) * theirs};
#pragma unroll
        for (int i = 0; i < 8; ++i)
          out[h][i] = out[h][i] * mine + __shfl_xor_sync(0xffffffffu, out[h][i], step) * theirs;
      }
  }
};

// The queries of the block's heads, normed, rotated and scaled; zeros beyond the heads' width.
template <class Shape, class T>
__device__ __forceinline__ void load_queries(const Decode<T>& a, const Part& part,
                                             float (&queries)[Shape::heads][Shape::width]) {
  constexpr int lanes = Shape::lanes / 2;
  static_assert(threads / lanes >= Shape::heads);
  for (int i = threadIdx.x; i < Shape::heads * Shape::width; i += threads) queries[0][i] = 0;
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % lanes, h = static_cast<int>(threadIdx.x) / lanes;
  const std::int64_t token = part.segment.query_begin;
  const bool there = h < part.heads;
  const T* head = a.q + token * a.q_stride + (part.head_begin + (there ? h : 0)) * a.map.head_dim;
  const auto x = a.rotation.turned(a.vector_q ? a.rotation.template fetch<true>(head, token, lane)
                                              : a.rotation.template fetch<false>(head, token, lane),
                                   lane, lanes);
  if (there) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int at = 8 * lane + i;
      if (at >= a.rotation.half) break;
      queries[h][at] = x.low[i] * a.scale_log2e;
      queries[h][a.rotation.half + at] = x.high[i] * a.scale_log2e;
    }
  }
  __syncthreads();
}

// Element d of the weighted values of `count` parts, which are `stride` floats apart, each with its softmax at
// softmax_at.
struct Combined {
  Softmax softmax;
  float value;  // not yet divided by the sum
};
template <bool from_other_blocks>
__device__ __forceinline__ Combined combine(const float* parts, int count, std::int64_t stride, int softmax_at, int d) {
  const auto read = [](const float* at) { return from_other_blocks ? __ldcg(at) : *at; };
  float largest = -INFINITY;
  for (int i = 0; i < count; ++i) largest = fmaxf(largest, read(parts + i * stride + softmax_at));
  Combined all{{largest, 0}, 0};
#pragma unroll 4
  for (int i = 0; i < count; ++i) {
    const float* part = parts + i * stride;
    const float factor = shrink(read(part + softmax_at), largest);
    all.softmax.sum += read(part + softmax_at + 1) * factor;
    all.value += read(part + d) * factor;
  }
  return all;
}

template <class Shape, class T>
__global__ void __launch_bounds__(threads) decode_kernel(const Decode<T> a) {
  begin_kernel();
  constexpr int words = Shape::width + 2;
  __shared__ alignas(16) float queries[Shape::heads][Shape::width];
  __shared__ float gathered[warps][Shape::heads][words];  // weighted values, then the softmax
  __shared__ bool is_last;
  Part part;
  if (!find_part<Shape>(a, part)) return;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int column = lane % Shape::lanes * 8;

  DecodeLane<Shape, T> mine;
  int first = part.begin + warp * Shape::keys_a_warp + lane / Shape::lanes;
  mine.clear();
  mine.load(a, part, first, column);  // on its way while the queries are turned
  load_queries<Shape>(a, part, queries);
  mine.start(queries, column);
  constexpr int step = Shape::ahead * Shape::keys_a_read;
  for (int begin = part.begin; begin < part.end; begin += step, first += step) {
    mine.attend(part, first);
    if (begin + step < part.end) mine.load(a, part, first + step, column);
  }
  mine.gather_warp();
  if (lane < Shape::lanes) {
#pragma unroll
    for (int h = 0; h < Shape::heads; ++h) {
#pragma unroll
      for (int i = 0; i < 8; ++i) gathered[warp][h][column + i] = mine.out[h][i];
      if (lane == 0) {
        gathered[warp][h][Shape::width] = mine.softmax[h].largest;
        gathered[warp][h][Shape::width + 1] = mine.softmax[h].sum;
      }
    }
  }
  __syncthreads();

  const int head_dim = a.map.head_dim, elements = part.heads * head_dim;
  T* const out =
      a.out + static_cast<std::int64_t>(part.segment.query_begin) * a.out_stride + part.head_begin * head_dim;
  // Parts of this unit, [splits, heads, partial_words].
  const std::int64_t split_words = Shape::heads * a.partial_words;
  float* const parts = a.partial + static_cast<std::int64_t>(part.counter) * a.splits * split_words;
  for (int i = threadIdx.x; i < elements; i += threads) {
    const int h = i / head_dim, d = i % head_dim;
    const Combined all = combine<false>(gathered[0][h], warps, Shape::heads * words, Shape::width, d);
    if (part.splits == 1) {
      out[i] = narrow<T>(all.value / all.softmax.sum);
      continue;
    }
    float* const to = parts + part.split * split_words + h * a.partial_words;
    to[d] = all.value;
    if (d == 0) {
      to[head_dim] = all.softmax.largest;
      to[head_dim + 1] = all.softmax.sum;
    }
  }
  if (part.splits == 1) return;
  __threadfence();  // the part is there before it is counted
  __syncthreads();
  if (threadIdx.x == 0) is_last = atomicAdd(a.counter + part.counter, 1) == part.splits - 1;
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  for (int i = threadIdx.x; i < elements; i += threads) {
    const int h = i / head_dim, d = i % head_dim;
    const Combined all = combine<true>(parts + h * a.partial_words, part.splits, split_words, head_dim, d);
    out[i] = narrow<T>(all.value / all.softmax.sum);
  }
}

template <class Shape, class T>
void launch(const CudaContext& context, const RopeAttention& op, const DecodeCut& cut) {
  const HeadMap& map = op.shape.map;
  float* const partial = reinterpret_cast<float*>(context.workspace);
  const bool split = cut.splits > 1;
  const HeadRotation<T> rotation(op.norm.q, op.norm.epsilon, op.cosine, op.sine, map.head_dim);
  const Decode<T> a{.q = op.q.row<T>(0),
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
                    .head_blocks = static_cast<int>(cut.head_blocks),
                    .units = static_cast<int>(cut.units),
                    .splits = static_cast<int>(cut.splits),
                    .partial_words = static_cast<int>(cut.partial_words),
                    .scale_log2e = static_cast<float>(M_LOG2E / std::sqrt(static_cast<double>(map.head_dim))),
                    .vector_q = in_vectors(op.q, map.head_dim / 2) && rotation.vector_angles,
                    .vector_kv = in_vectors(op.k, map.head_dim) && in_vectors(op.v, map.head_dim),
                    .partial = split ? partial : nullptr,
                    .counter = split ? reinterpret_cast<std::int32_t*>(partial + cut.partial_floats()) : nullptr};
  launch_kernel(context, decode_kernel<Shape, T>, {cut.segments * cut.units * cut.splits, threads}, a,
                "rope_attention");
}

template <int lanes, class T>
void launch_heads(const CudaContext& context, const RopeAttention& op, const DecodeCut& cut) {
  if (cut.heads_a_block == 1) return launch<DecodeShape<lanes, 1>, T>(context, op, cut);
  if (cut.heads_a_block == 4) return launch<DecodeShape<lanes, 4>, T>(context, op, cut);
  CHECK_EQUAL(cut.heads_a_block, 8, "blocks of so many heads");
  launch<DecodeShape<lanes, 8>, T>(context, op, cut);
}

}  // namespace

void decode_attention(const CudaContext& context, const RopeAttention& op, const DecodeCut& cut) {
  const std::int64_t head_dim = op.shape.map.head_dim;
  for_cuda_dtype(op.q.dtype, [&]<class T>(T) {
    if (head_dim <= 64) return launch_heads<8, T>(context, op, cut);
    if (head_dim <= 128) return launch_heads<16, T>(context, op, cut);
    launch_heads<32, T>(context, op, cut);
  });
}

}  // namespace batchscope
