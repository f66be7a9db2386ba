// One kernel that norms and rotates heads, and puts keys and values to their rows of a cache.
#include "ops/cuda_launch.cuh"
#include "ops/head_rotation.cuh"
#include "ops/head_rotation_cuda.h"

namespace batchscope {
namespace {

constexpr int threads = 256;

template <class T>
struct PlacedHeads {
  const T* from;  // [tokens, heads * head_dim]
  T* to;          // may be `from`
  std::int64_t from_stride, to_stride;
  const T* values_from;  // null: none move
  T* values_to;
  std::int64_t values_from_stride, values_to_stride;
  const std::int32_t* rows;  // of each token, where it goes; null: to its own
  HeadRotation<T> rotation;
  int heads, lanes;  // lanes of a head
  std::int64_t tokens;
  bool vector, vector_values;
  CountersToClear counters;
};

template <class T>
__device__ void copy_values(const PlacedHeads<T>& a, std::int64_t token, std::int64_t row, int head_column, int lane) {
  const int half = a.rotation.half;
  const T* from = a.values_from + token * a.values_from_stride + head_column;
  T* to = a.values_to + row * a.values_to_stride + head_column;
  for (int piece = lane; piece < a.rotation.pieces(); piece += a.lanes) {
    const int at = 8 * piece;
    Eight<T> low, high;
    low.load(from + at, half - at, a.vector_values);
    high.load(from + half + at, half - at, a.vector_values);
    low.store(to + at, half - at, a.vector_values);
    high.store(to + half + at, half - at, a.vector_values);
  }
}

template <class T>
__global__ void __launch_bounds__(threads) place_heads(const PlacedHeads<T> a) {
  begin_kernel();
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
  for (std::int64_t i = thread; i < a.counters.count; i += static_cast<std::int64_t>(gridDim.x) * threads)
    a.counters.first[i] = 0;
  const int lane = static_cast<int>(thread % a.lanes);
  const std::int64_t token = thread / a.lanes / a.heads;
  const bool there = token < a.tokens;
  const int head_column = static_cast<int>(thread / a.lanes % a.heads) * 2 * a.rotation.half;
  const T* from = a.from + token * a.from_stride + head_column;
  const int pieces = there ? a.rotation.pieces() : 0;
  float scale = 1;
  if (a.rotation.weight != nullptr) {
    float squares = 0;
    for (int piece = lane; piece < pieces; piece += a.lanes)
      squares = a.rotation.add_squares(squares, a.rotation.load(from, piece, a.vector));
    scale = a.rotation.norm_scale(squares, a.lanes);
  }
  if (!there) return;
  const std::int64_t row = a.rows == nullptr ? token : a.rows[token];
  if (a.values_from != nullptr) copy_values(a, token, row, head_column, lane);
  for (int piece = lane; piece < pieces; piece += a.lanes) {
    auto x = a.rotation.load(from, piece, a.vector);
    if (a.rotation.weight != nullptr) a.rotation.norm(x, piece, scale);
    if (a.rotation.cosine != nullptr)
      a.rotation.rotate(x, a.rotation.load_angles(piece, token, a.rotation.vector_angles));
    a.rotation.store(x, a.to + row * a.to_stride + head_column, piece, a.vector);
  }
}

template <class T>
void launch(const CudaContext& context, const PlacedHeads<T>& a) {
  const std::int64_t lanes = a.tokens * a.heads * a.lanes;
  launch_kernel(context, place_heads<T>, {(lanes + threads - 1) / threads, threads}, a, "rope_attention");
}

template <class T>
PlacedHeads<T> heads_of(const Tensor& from, const Tensor& to, std::int64_t head_dim, const HeadTurn& turn) {
  CHECK_THAT(head_dim % 2 == 0, "heads of {} elements have halves", head_dim);
  return {.from = from.row<T>(0),
          .to = to.row<T>(0),
          .from_stride = from.stride,
          .to_stride = to.stride,
          .values_from = nullptr,
          .values_to = nullptr,
          .values_from_stride = 0,
          .values_to_stride = 0,
          .rows = nullptr,
          .rotation = HeadRotation<T>(turn.weight, turn.epsilon, turn.cosine, turn.sine, head_dim),
          .heads = static_cast<int>(from.columns / head_dim),
          .lanes = lanes_of_head(head_dim),
          .tokens = from.rows,
          .vector = in_vectors(from, head_dim / 2) && in_vectors(to, head_dim / 2),
          .vector_values = false,
          .counters = {}};
}

}  // namespace

void place_keys(const CudaContext& context, const RopeAttention& op, const CountersToClear& counters) {
  const std::int64_t head_dim = op.shape.map.head_dim;
  for_cuda_dtype(op.q.dtype, [&]<class T>(T) {
    PlacedHeads<T> a = heads_of<T>(op.new_k, op.k, head_dim, {op.norm.k, op.norm.epsilon, op.cosine, op.sine});
    a.counters = counters;
    if (op.key_rows.elements() > 0) {
      a.rows = op.key_rows.row<std::int32_t>(0);
      a.values_from = op.new_v.row<T>(0);
      a.values_to = op.v.row<T>(0);
      a.values_from_stride = op.new_v.stride;
      a.values_to_stride = op.v.stride;
      a.vector_values = in_vectors(op.new_v, head_dim / 2) && in_vectors(op.v, head_dim / 2);
    }
    launch(context, a);
  });
}

void turn_heads(const CudaContext& context, const Tensor& x, std::int64_t head_dim, const HeadTurn& turn) {
  for_cuda_dtype(x.dtype, [&]<class T>(T) { launch(context, heads_of<T>(x, x, head_dim, turn)); });
}

}  // namespace batchscope
