// Attention on the CPU in plain steps: a product, a mask, a softmax, a product, each over the whole score matrix.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "device/cpu/parallel_for.h"
#include "ops/attention.h"
#include "ops/element.h"
#include "ops/gemm_cpu.h"
#include "ops/kernels_cpu.h"
#include "ops/row_math.h"

namespace batchscope {
namespace {

// One head of one segment: its [query_count, keys] part of the score matrix.
struct HeadScores {
  const AttentionSegment* segment;
  std::int64_t head;
  std::int64_t offset;  // elements before the part
};

std::vector<HeadScores>& cut_into_heads(const AttentionShape& shape) {
  thread_local std::vector<HeadScores> parts;
  parts.clear();
  std::int64_t offset = 0;
  for (const AttentionSegment& segment : *shape.segments)
    for (std::int64_t head = 0; head < shape.map.heads; ++head) {
      parts.push_back({&segment, head, offset});
      offset += segment.query_count * segment.keys();
    }
  return parts;
}

// Calls body(segment, head, scores) with each part, the parts shared by the device's threads.
template <class Body>
void for_each_head(const CpuContext& context, const AttentionShape& shape, const Tensor& scores, const Body& body) {
  const auto& parts = cut_into_heads(shape);
  parallel_for_uneven(context, std::ssize(parts), [&](std::int64_t index) {
    const auto& [segment, head, offset] = parts[static_cast<std::size_t>(index)];
    body(*segment, head,
         Tensor{scores.data + offset * size_of(scores.dtype), scores.dtype, segment->query_count, segment->keys(),
                segment->keys()});
  });
}

constexpr CpuContext one_thread{.threads = 1};  // within a part

Tensor head_columns(const Tensor& x, std::int64_t head, std::int64_t head_dim) {
  return x.column_range(head * head_dim, head_dim);
}

Tensor span_rows(const Tensor& x, const KeySpan& span) { return x.row_range(span.begin, span.count); }

template <class T>
void softmax_row(T* row, std::int64_t count) {
  float* x = float_row<0>(row, count);
  const float largest = row_largest(x, count);
  row_scale(x, count, 1.0f / row_exp(x, count, largest));
  store_row(x, row, count);
}

// Calls multiply(a, b, transpose_b, scale, out, accumulate) with the products of one head of a segment.
template <class Multiply>
void score_products(const AttentionScores& op, const AttentionSegment& segment, std::int64_t head, const Tensor& scores,
                    const Multiply& multiply) {
  const HeadMap& map = op.shape.map;
  const float scale = 1.0f / std::sqrt(static_cast<float>(map.head_dim));
  const Tensor q = head_columns(op.q, head, map.head_dim).row_range(segment.query_begin, segment.query_count);
  const Tensor k = head_columns(op.k, map.kv_head(head), map.head_dim);
  multiply(q, span_rows(k, segment.shared), Transpose::yes, scale, scores.column_range(0, segment.shared.count), false);
  multiply(q, span_rows(k, segment.own), Transpose::yes, scale,
           scores.column_range(segment.shared.count, segment.own.count), false);
}

template <class Multiply>
void value_products(const AttentionValues& op, const AttentionSegment& segment, std::int64_t head, const Tensor& scores,
                    const Multiply& multiply) {
  const HeadMap& map = op.shape.map;
  const Tensor out = head_columns(op.out, head, map.head_dim).row_range(segment.query_begin, segment.query_count);
  const Tensor v = head_columns(op.v, map.kv_head(head), map.head_dim);
  const std::int64_t shared = segment.shared.count;
  if (shared > 0)
    multiply(scores.column_range(0, shared), span_rows(v, segment.shared), Transpose::no, 1.0f, out, false);
  multiply(scores.column_range(shared, segment.own.count), span_rows(v, segment.own), Transpose::no, 1.0f, out,
           shared > 0);
}

// What a thread's products want, the most of any; heads do not differ.
template <class Products>
std::int64_t thread_workspace(const AttentionShape& shape, const Products& products) {
  std::int64_t most = 0;
  for (const AttentionSegment& segment : *shape.segments)
    products(segment, [&](const Tensor& a, const Tensor& b, Transpose transpose_b, float scale, const Tensor& out,
                          bool accumulate) {
      most = std::max(most, gemm_workspace(one_thread, a, b, transpose_b, scale, out, accumulate));
    });
  return (most + Arena::granularity - 1) / Arena::granularity * Arena::granularity;
}

Tensor scores_of(const AttentionSegment& segment, const Tensor& scores) {
  return {scores.data, scores.dtype, segment.query_count, segment.keys(), segment.keys()};
}

std::int64_t thread_workspace(const AttentionScores& op) {
  return thread_workspace(op.shape, [&](const AttentionSegment& segment, const auto& multiply) {
    score_products(op, segment, 0, scores_of(segment, op.scores), multiply);
  });
}

std::int64_t thread_workspace(const AttentionValues& op) {
  return thread_workspace(op.shape, [&](const AttentionSegment& segment, const auto& multiply) {
    value_products(op, segment, 0, scores_of(segment, op.scores), multiply);
  });
}

// Multiplies with the calling thread's part of the workspace.
auto multiply_in(const CpuContext& context, std::int64_t thread_bytes) {
  return [=](const Tensor& a, const Tensor& b, Transpose transpose_b, float scale, const Tensor& out, bool accumulate) {
    const CpuContext own{.threads = 1, .workspace = context.workspace + thread_number() * thread_bytes};
    gemm_cpu(own, a, b, transpose_b, scale, out, accumulate);
  };
}

}  // namespace

std::int64_t attention_scores_cpu_workspace(const CpuContext& context, const AttentionScores& op) {
  return op.k.dtype == DType::f32 ? 0 : context.threads * thread_workspace(op);
}

std::int64_t attention_values_cpu_workspace(const CpuContext& context, const AttentionValues& op) {
  return op.v.dtype == DType::f32 ? 0 : context.threads * thread_workspace(op);
}

void attention_scores_cpu(const CpuContext& context, const AttentionScores& op) {
  const auto multiply = multiply_in(context, attention_scores_cpu_workspace(context, op) / context.threads);
  for_each_head(context, op.shape, op.scores, [&](const AttentionSegment& segment, std::int64_t head,
                                                  const Tensor& scores) {
    score_products(op, segment, head, scores, multiply);
  });
}

void causal_mask_cpu(const CpuContext& context, const CausalMask& op) {
  for_dtype(op.scores.dtype, [&]<class T>(T) {
    for_each_head(context, op.shape, op.scores, [&](const AttentionSegment& segment, std::int64_t,
                                                    const Tensor& scores) {
      T masked;
      store(masked, -std::numeric_limits<float>::infinity());
      for (std::int64_t query = 0; query < segment.query_count; ++query) {
        T* row = scores.row<T>(query);
        std::fill_n(row, op.shape.first_key(segment, query), masked);                // before the window
        std::fill(row + segment.position(query) + 1, row + scores.columns, masked);  // newer than the query
      }
    });
  });
}

void attention_softmax_cpu(const CpuContext& context, const AttentionSoftmax& op) {
  for_dtype(op.scores.dtype, [&]<class T>(T) {
    for_each_head(context, op.shape, op.scores, [&](const AttentionSegment&, std::int64_t, const Tensor& scores) {
      for (std::int64_t query = 0; query < scores.rows; ++query) softmax_row(scores.row<T>(query), scores.columns);
    });
  });
}

void attention_values_cpu(const CpuContext& context, const AttentionValues& op) {
  const auto multiply = multiply_in(context, attention_values_cpu_workspace(context, op) / context.threads);
  for_each_head(context, op.shape, op.scores, [&](const AttentionSegment& segment, std::int64_t head,
                                                  const Tensor& scores) {
    value_products(op, segment, head, scores, multiply);
  });
}

}  // namespace batchscope
