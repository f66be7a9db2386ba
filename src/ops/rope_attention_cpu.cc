// QK norm, RoPE and attention in one, on the CPU: tiles of queries, of all the heads that read one KV head, against tiles
// of keys, with the softmax kept running.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "device/cpu/parallel_for.h"
#include "ops/attention.h"
#include "ops/kernels_cpu.h"
#include "ops/norm_cpu.h"
#include "ops/rows.h"
#include "ops/tile_gemm.h"
#include "ops/widened_rows.h"

namespace batchscope {
namespace {

constexpr std::int64_t tile_rows = 128;  // a row is a query of one head
constexpr std::int64_t tile_keys = 64;
constexpr std::int64_t widest = RopeAttention::largest_head_dim;
// From here on keys are transposed, so that many rows meet them at once; fewer rows take them as they lie.
constexpr std::int64_t many_rows = 8;

// What a tile has gathered so far; plays the part of a GPU's shared memory. Rows of heads are `stride` apart: head_dim
// in whole lanes, zeros behind.
struct alignas(64) Tile {
  float query[tile_rows * widest];     // normed, rotated and scaled
  float out[tile_rows * widest];       // weighted values, not yet divided by `sum`
  float key[tile_keys * widest];       // transposed: [head_dim, tile_keys]
  float value[tile_keys * widest];     // [keys, stride]
  float score[tile_rows * tile_keys];  // [rows, tile_keys], then exp(score - largest)
  float largest[tile_rows];            // of the scores seen
  float sum[tile_rows];                // of exp(score - largest)
};

// Queries [first, first + count) of a segment.
struct QueryTile {
  const AttentionSegment* segment;
  std::int64_t first, count;
};

// One KV head's part of the op, on one tile of queries. T: what is computed in; Kv: what keys and values are kept in.
template <class T, class Kv>
class HeadGroup {
 public:
  HeadGroup(const RopeAttention& op, std::int64_t kv_head, Tile& tile)
      : op_(op), kv_head_(kv_head), head_dim_(op.shape.map.head_dim), stride_(whole_lanes(head_dim_)), t_(tile) {
    const HeadMap& map = op.shape.map;
    const std::int64_t first = (map.first_kv_head + kv_head) * map.group - map.first_head;
    head_begin_ = std::max<std::int64_t>(first, 0);
    heads_ = std::min(first + map.group, map.heads) - head_begin_;
  }

  void attend(const QueryTile& at) {
    // More heads than rows in a tile: some at a time.
    for (std::int64_t begin = 0; begin < heads_; begin += tile_rows) {
      const std::int64_t heads = std::min(heads_ - begin, tile_rows);
      load_queries(at, head_begin_ + begin, heads);
      attend_span(op_.shape, at.segment->shared, 0, at, heads);
      attend_span(op_.shape, at.segment->own, at.segment->shared.count, at, heads);
      store_out(at, head_begin_ + begin, heads);
    }
  }

 private:
  // Row i * heads + h of the tile is query i of head h.
  void load_queries(const QueryTile& at, std::int64_t head_begin, std::int64_t heads) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim_));
    for (std::int64_t i = 0; i < at.count; ++i) {
      const std::int64_t token = at.segment->query_begin + at.first + i;
      for (std::int64_t h = 0; h < heads; ++h) {
        const std::int64_t row = i * heads + h;
        float* query = t_.query + row * stride_;
        std::copy_n(float_row<0>(op_.q.row<T>(token) + (head_begin + h) * head_dim_, head_dim_), head_dim_, query);
        std::fill(query + head_dim_, query + stride_, 0.0f);
        norm_and_rotate(op_, query, op_.norm.q, token);
        row_scale(query, head_dim_, scale);
        std::fill_n(t_.out + row * stride_, stride_, 0.0f);
        t_.largest[row] = -std::numeric_limits<float>::infinity();
        t_.sum[row] = 0;
      }
    }
  }

  // The tile of queries against a span of keys, the first of which is the segment's key `offset`.
  void attend_span(const AttentionShape& shape, const KeySpan& span, std::int64_t offset, const QueryTile& at,
                   std::int64_t heads) {
    // Of the span, what query i sees: [seen_from(i), seen_to(i)).
    const auto seen_from = [&](std::int64_t i) { return shape.first_key(*at.segment, at.first + i) - offset; };
    const auto seen_to = [&](std::int64_t i) {
      return std::min(span.count, at.segment->position(at.first + i) + 1 - offset);
    };
    const std::int64_t rows = at.count * heads, end = seen_to(at.count - 1);
    for (std::int64_t first = std::max<std::int64_t>(seen_from(0), 0); first < end; first += tile_keys) {
      const std::int64_t count = std::min(tile_keys, end - first);
      const HeadRows<Kv> keys = head_rows(op_.k, span.begin + first, count);
      const HeadRows<Kv> values = head_rows(op_.v, span.begin + first, count);
      const bool many = rows >= many_rows;
      if (many) {
        load_tiles(keys, values);
        tile_gemm(t_.query, stride_, t_.key, tile_keys, t_.score, tile_keys, rows, head_dim_, whole_lanes(count), false);
      } else {
        few_scores(t_.query, stride_, rows, keys, t_.score, tile_keys);
      }
      for (std::int64_t row = 0; row < rows; ++row) {
        const std::int64_t i = row / heads;
        exponentiate(row, std::clamp<std::int64_t>(seen_from(i) - first, 0, count),
                     std::clamp<std::int64_t>(seen_to(i) - first, 0, count), count);
      }
      if (many)
        tile_gemm(t_.score, tile_keys, t_.value, stride_, t_.out, stride_, rows, count, stride_, true);
      else
        add_few_values(t_.score, tile_keys, rows, values, t_.out, stride_);
    }
  }

  // This head's part of rows [first, first + count).
  HeadRows<Kv> head_rows(const Tensor& x, std::int64_t first, std::int64_t count) const {
    return {x.template row<Kv>(first) + kv_head_ * head_dim_, x.stride, count, head_dim_};
  }

  // Keys transposed and values, as floats; behind them, up to whole lanes, zeros.
  void load_tiles(const HeadRows<Kv>& keys, const HeadRows<Kv>& values) {
    for (std::int64_t j = 0; j < keys.count; ++j) {
      float* value = t_.value + j * stride_;
      std::copy_n(float_row<0>(values.data + j * values.stride, head_dim_), head_dim_, value);
      std::fill(value + head_dim_, value + stride_, 0.0f);
      const float* key = float_row<0>(keys.data + j * keys.stride, head_dim_);
      for (std::int64_t d = 0; d < head_dim_; ++d) t_.key[d * tile_keys + j] = key[d];
    }
    for (std::int64_t d = 0; d < head_dim_; ++d)
      std::fill(t_.key + d * tile_keys + keys.count, t_.key + d * tile_keys + whole_lanes(keys.count), 0.0f);
  }

  // Scores of a row to weights, of which keys outside of [begin, end) get none.
  void exponentiate(std::int64_t row, std::int64_t begin, std::int64_t end, std::int64_t count) {
    float* score = t_.score + row * tile_keys;
    if (begin >= end) {
      std::fill_n(score, count, 0.0f);
      return;
    }
    const float largest = std::max(t_.largest[row], row_largest(score + begin, end - begin));
    const float shrink = std::exp(t_.largest[row] - largest);
    if (shrink != 1.0f) row_scale(t_.out + row * stride_, stride_, shrink);
    std::fill(score, score + begin, 0.0f);
    t_.sum[row] = t_.sum[row] * shrink + row_exp(score + begin, end - begin, largest);
    std::fill(score + end, score + count, 0.0f);
    t_.largest[row] = largest;
  }

  void store_out(const QueryTile& at, std::int64_t head_begin, std::int64_t heads) {
    for (std::int64_t row = 0; row < at.count * heads; ++row) {
      float* out = t_.out + row * stride_;
      row_scale(out, head_dim_, 1.0f / t_.sum[row]);
      T* to = op_.out.template row<T>(at.segment->query_begin + at.first + row / heads) +
              (head_begin + row % heads) * head_dim_;
      float* floats = output_row<0>(to, head_dim_);
      std::copy_n(out, head_dim_, floats);
      store_row(floats, to, head_dim_);
    }
  }

 public:
  // One head of floats in place: its norm, if the model has one, then RoPE. `token` is the row of its angles.
  static void norm_and_rotate(const RopeAttention& op, float* head, const Tensor& weight, std::int64_t token) {
    const std::int64_t half = op.cosine.columns;
    if (weight.elements() > 0) {
      norm_row(head, weight.row<T>(0), op.norm.epsilon, 2 * half);
      round_row<T>(head, 2 * half);
    }
    row_rotate(head, op.cosine.row<float>(token), op.sine.row<float>(token), half);
  }

  // The new keys of a tile of queries, in place: before they go to the others, or where they lie among them.
  static void rotate_new_keys(const RopeAttention& op, const QueryTile& at) {
    const bool apart = op.key_rows.columns > 0;
    const Tensor& new_keys = apart ? op.new_k : op.k;
    const std::int64_t head_dim = op.shape.map.head_dim, width = new_keys.columns;
    const AttentionSegment& segment = *at.segment;
    const std::int64_t first_new =
        apart ? segment.query_begin : segment.own.begin + segment.own.count - segment.query_count;
    for (std::int64_t i = at.first; i < at.first + at.count; ++i) {
      T* row = new_keys.template row<T>(first_new + i);
      float* keys = float_row<0>(row, width);
      for (float* head = keys; head != keys + width; head += head_dim)
        norm_and_rotate(op, head, op.norm.k, segment.query_begin + i);
      store_row(keys, row, width);
    }
  }

 private:
  const RopeAttention& op_;
  std::int64_t kv_head_, head_dim_, stride_;
  std::int64_t head_begin_ = 0, heads_ = 0;  // query heads that read this KV head
  Tile& t_;
};

std::vector<QueryTile>& cut_into_tiles(const RopeAttention& op) {
  thread_local std::vector<QueryTile> tiles;
  tiles.clear();
  const std::int64_t most = std::max<std::int64_t>(tile_rows / op.shape.map.group, 1);
  for (const AttentionSegment& segment : *op.shape.segments) {
    const std::int64_t parts = (segment.query_count + most - 1) / most;
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t first = segment.query_count * part / parts;
      tiles.push_back({&segment, first, segment.query_count * (part + 1) / parts - first});
    }
  }
  return tiles;
}

// Calls body(T{}, Kv{}).
template <class Body>
void for_precision(const RopeAttention& op, const Body& body) {
  if (is_widened(op.k.dtype, op.q.dtype)) return body(float{}, BFloat16{});
  CHECK_THAT(op.k.dtype == op.q.dtype, "keys of {} do not meet queries of {}", name_of(op.k.dtype), name_of(op.q.dtype));
  for_dtype(op.q.dtype, [&]<class T>(T) { body(T{}, T{}); });
}

}  // namespace

void rope_attention_cpu(const CpuContext& context, const RopeAttention& op) {
  const std::int64_t kv_heads = op.k.columns / op.shape.map.head_dim;
  const auto& tiles = cut_into_tiles(op);
  const auto count = std::ssize(tiles);
  for_precision(op, [&]<class T, class Kv>(T, Kv) {
    parallel_for(context, count, [&](std::int64_t tile) {
      HeadGroup<T, Kv>::rotate_new_keys(op, tiles[static_cast<std::size_t>(tile)]);
    });
    if (op.key_rows.columns > 0) {
      scatter_rows_cpu(context, {op.new_k, op.key_rows, op.k});
      scatter_rows_cpu(context, {op.new_v, op.key_rows, op.v});
    }
    // Tiles differ in how many keys they see.
    parallel_for_uneven(context, count * kv_heads, [&](std::int64_t task) {
      // On the heap: in place, every thread of the program would hold as much, computing or not.
      thread_local const auto scratch = std::make_unique<Tile>();
      HeadGroup<T, Kv>(op, task % kv_heads, *scratch).attend(tiles[static_cast<std::size_t>(task / kv_heads)]);
    });
  });
}

}  // namespace batchscope
