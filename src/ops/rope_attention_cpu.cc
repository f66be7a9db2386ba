// QK norm, RoPE and attention in one, on the CPU: tiles of queries against tiles of keys, the softmax kept running.
#include <algorithm>
#include <cmath>
#include <limits>

#include "device/cpu/parallel_for.h"
#include "ops/attention.h"
#include "ops/kernels_cpu.h"
#include "ops/norm_cpu.h"
#include "ops/rope_cpu.h"
#include "ops/row_math.h"

namespace batchscope {
namespace {

constexpr std::int64_t tile = 32;  // queries and keys a tile
constexpr std::int64_t widest = RopeAttention::largest_head_dim;

// What a tile of queries has gathered so far; plays the part of a GPU's shared memory.
struct alignas(64) Tile {
  float query[tile][widest];  // normed, rotated and scaled
  float out[tile][widest];    // weighted values, not yet divided by `sum`
  float largest[tile];        // of the scores seen
  float sum[tile];            // of exp(score - largest)
  float key[widest][tile];    // transposed, so that scores are made a row of keys at a time
  float value[tile][widest];
  float score[tile];
};

// One head in place: its norm, if the model has one, then RoPE. `token` is the row of its angles.
template <class T, class Weight>
void norm_and_rotate(const RopeAttention& op, T* head, const Tensor& weight, std::int64_t token) {
  const std::int64_t half = op.cosine.columns;
  if (weight.elements() > 0) norm_row<T>(head, nullptr, weight.row<Weight>(0), op.norm.epsilon, head, 2 * half);
  rotate_head(head, op.cosine.row<float>(token), op.sine.row<float>(token), half);
}

template <class T>
void rotate_new_keys(const CpuContext& context, const RopeAttention& op) {
  const std::int64_t head_dim = op.shape.map.head_dim;
  const std::int64_t kv_heads = op.k.columns / head_dim;
  parallel_for(context, static_cast<std::int64_t>(op.shape.segments->size()), [&](std::int64_t index) {
    const auto& segment = (*op.shape.segments)[static_cast<std::size_t>(index)];
    const std::int64_t first_new = segment.own.begin + segment.own.count - segment.query_count;
    for (std::int64_t i = 0; i < segment.query_count; ++i)
      for (std::int64_t head = 0; head < kv_heads; ++head)
        norm_and_rotate<T, T>(op, op.k.row<T>(first_new + i) + head * head_dim, op.norm.k, segment.query_begin + i);
  });
}

template <class T>
void load_queries(const RopeAttention& op, std::int64_t first, std::int64_t count, std::int64_t head, Tile& t) {
  const std::int64_t head_dim = op.shape.map.head_dim;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  for (std::int64_t i = 0; i < count; ++i) {
    const T* q = op.q.row<T>(first + i) + head * head_dim;
    for (std::int64_t d = 0; d < head_dim; ++d) t.query[i][d] = load(q[d]);
    norm_and_rotate<float, T>(op, t.query[i], op.norm.q, first + i);
    for (std::int64_t d = 0; d < head_dim; ++d) t.query[i][d] *= scale;
    std::fill_n(t.out[i], head_dim, 0.0f);
    t.largest[i] = -std::numeric_limits<float>::infinity();
    t.sum[i] = 0;
  }
}

template <class T>
void load_keys(const RopeAttention& op, std::int64_t first, std::int64_t count, std::int64_t kv_head, Tile& t) {
  const std::int64_t head_dim = op.shape.map.head_dim;
  for (std::int64_t j = 0; j < count; ++j) {
    const T* k = op.k.row<T>(first + j) + kv_head * head_dim;
    const T* v = op.v.row<T>(first + j) + kv_head * head_dim;
    for (std::int64_t d = 0; d < head_dim; ++d) t.key[d][j] = load(k[d]);
    for (std::int64_t d = 0; d < head_dim; ++d) t.value[j][d] = load(v[d]);
  }
}

// Query i of the tile against keys [begin, end) of the tile.
BATCHSCOPE_TARGET_CLONES
void attend(Tile& t, std::int64_t i, std::int64_t begin, std::int64_t end, std::int64_t head_dim) {
  std::fill_n(t.score, tile, 0.0f);
  for (std::int64_t d = 0; d < head_dim; ++d)
    for (std::int64_t j = 0; j < tile; ++j) t.score[j] += t.query[i][d] * t.key[d][j];
  float largest = t.largest[i];
  for (std::int64_t j = begin; j < end; ++j) largest = std::max(largest, t.score[j]);
  const float shrink = std::exp(t.largest[i] - largest);
  t.largest[i] = largest;
  t.sum[i] *= shrink;
  for (std::int64_t d = 0; d < head_dim; ++d) t.out[i][d] *= shrink;
  row_exp(t.score + begin, end - begin, largest, 1.0f);
  for (std::int64_t j = begin; j < end; ++j) {
    t.sum[i] += t.score[j];
    for (std::int64_t d = 0; d < head_dim; ++d) t.out[i][d] += t.score[j] * t.value[j][d];
  }
}

// A tile of `queries` queries of a segment, from `query` on.
struct QueryTile {
  const AttentionSegment& segment;
  std::int64_t query, queries;
  std::int64_t kv_head;
};

// A tile of queries against a span of keys, the first of which is the segment's key `offset`.
template <class T>
void attend_span(const RopeAttention& op, const KeySpan& span, std::int64_t offset, const QueryTile& at, Tile& t) {
  // Of the span, what query i sees: [seen_from(i), seen_to(i)).
  const auto seen_from = [&](std::int64_t i) { return op.shape.first_key(at.segment, at.query + i) - offset; };
  const auto seen_to = [&](std::int64_t i) {
    return std::min(span.count, at.segment.position(at.query + i) + 1 - offset);
  };
  const std::int64_t oldest = std::max<std::int64_t>(seen_from(0), 0);
  for (std::int64_t first = oldest / tile * tile; first < seen_to(at.queries - 1); first += tile) {
    const std::int64_t count = std::min(tile, span.count - first);
    load_keys<T>(op, span.begin + first, count, at.kv_head, t);
    for (std::int64_t i = 0; i < at.queries; ++i) {
      const std::int64_t begin = std::max<std::int64_t>(seen_from(i) - first, 0);
      const std::int64_t end = std::min(count, seen_to(i) - first);
      if (begin < end) attend(t, i, begin, end, op.shape.map.head_dim);
    }
  }
}

template <class T>
void attend_head(const RopeAttention& op, const AttentionSegment& segment, std::int64_t head) {
  const std::int64_t head_dim = op.shape.map.head_dim;
  thread_local Tile t{};
  for (std::int64_t first = 0; first < segment.query_count; first += tile) {
    const QueryTile at{segment, first, std::min(tile, segment.query_count - first), op.shape.map.kv_head(head)};
    load_queries<T>(op, segment.query_begin + first, at.queries, head, t);
    attend_span<T>(op, segment.shared, 0, at, t);
    attend_span<T>(op, segment.own, segment.shared.count, at, t);
    for (std::int64_t i = 0; i < at.queries; ++i) {
      T* out = op.out.row<T>(segment.query_begin + first + i) + head * head_dim;
      for (std::int64_t d = 0; d < head_dim; ++d) store(out[d], t.out[i][d] / t.sum[i]);
    }
  }
}

}  // namespace

void rope_attention_cpu(const CpuContext& context, const RopeAttention& op) {
  const std::int64_t heads = op.shape.map.heads;
  const auto tasks = static_cast<std::int64_t>(op.shape.segments->size()) * heads;
  for_dtype(op.q.dtype, [&]<class T>(T) {
    rotate_new_keys<T>(context, op);
    parallel_for(context, tasks, [&](std::int64_t task) {
      attend_head<T>(op, (*op.shape.segments)[static_cast<std::size_t>(task / heads)], task % heads);
    });
  });
}

}  // namespace batchscope
