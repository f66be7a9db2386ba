// Tests of RoPE and attention: both forms against double precision and against each other, for grouped heads, shared
// spans, caches with past tokens and lengths across the borders of the kernel's tiles.
#include "ops/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "ops/norm.h"
#include "ops/rope.h"
#include "ops/rows.h"
#include "ops/test_device.h"

namespace batchscope {
namespace {

// Segments one behind the other, each with `past` cached keys before its new ones.
struct Layout {
  std::vector<AttentionSegment> segments;
  std::vector<std::int32_t> positions;
  std::int64_t key_rows = 0;

  void append(std::int64_t queries, std::int64_t past = 0, KeySpan shared = {}) {
    const auto first = static_cast<std::int64_t>(positions.size());
    segments.push_back({first, queries, shared, {key_rows, past + queries}});
    for (std::int64_t i = 0; i < queries; ++i) positions.push_back(static_cast<std::int32_t>(shared.count + past + i));
    key_rows += past + queries;
  }
  std::int64_t tokens() const { return static_cast<std::int64_t>(positions.size()); }
  // Of each token, where its key goes.
  std::vector<std::int32_t> new_rows() const {
    std::vector<std::int32_t> rows;
    for (const auto& s : segments)
      for (std::int64_t i = s.own.count - s.query_count; i < s.own.count; ++i)
        rows.push_back(static_cast<std::int32_t>(s.own.begin + i));
    return rows;
  }
};

constexpr float epsilon = 1e-5f;

struct Inputs {
  Tensor q, k, v, cosine, sine;
  QkNorm norm;
};

Inputs make_inputs(TestDevice& device, const Layout& layout, const HeadMap& map, DType dtype, std::int64_t kv_heads,
                   std::int64_t gap) {
  const std::int64_t half = map.head_dim / 2;
  std::vector<float> frequencies(static_cast<std::size_t>(half));
  for (std::int64_t i = 0; i < half; ++i)
    frequencies[static_cast<std::size_t>(i)] =
        static_cast<float>(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half)));
  Inputs in{.q = device.random(dtype, layout.tokens(), map.heads * map.head_dim, gap),
            .k = device.random(dtype, layout.key_rows, kv_heads * map.head_dim, gap),
            .v = device.random(dtype, layout.key_rows, kv_heads * map.head_dim, 2 * gap),
            .cosine = device.empty(DType::f32, layout.tokens(), half),
            .sine = device.empty(DType::f32, layout.tokens(), half)};
  rope_table(device, device.integers(layout.positions), device.floats(DType::f32, 1, half, frequencies), 1.0f,
             in.cosine, in.sine);
  return in;
}

// Rotates `count` rows of x from `first` on with the angles of tokens from `token` on.
void rotate(Matrix& x, const Matrix& cosine, const Matrix& sine, std::int64_t first, std::int64_t token,
            std::int64_t count) {
  const std::int64_t half = cosine.columns;
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t head = 0; head < x.columns / (2 * half); ++head)
      for (std::int64_t d = 0; d < half; ++d) {
        double& low = x.at(first + i, head * 2 * half + d);
        double& high = x.at(first + i, head * 2 * half + half + d);
        const double c = cosine.at(token + i, d), s = sine.at(token + i, d), l = low;
        low = l * c - high * s;
        high = high * c + l * s;
      }
}

// Norms each head of `count` rows of x from `first` on.
void norm_heads(Matrix& x, const Matrix& weight, std::int64_t first, std::int64_t count) {
  for (std::int64_t i = first; i < first + count; ++i)
    for (std::int64_t head = 0; head < x.columns; head += weight.columns) {
      double squares = 0;
      for (std::int64_t d = 0; d < weight.columns; ++d) squares += x.at(i, head + d) * x.at(i, head + d);
      const double scale = 1 / std::sqrt(squares / static_cast<double>(weight.columns) + epsilon);
      for (std::int64_t d = 0; d < weight.columns; ++d) x.at(i, head + d) *= scale * weight.at(0, d);
    }
}

// The rows of keys that query i of a segment sees.
std::vector<std::int64_t> visible_keys(const AttentionSegment& segment, std::int64_t i, std::int64_t window) {
  std::vector<std::int64_t> rows;
  for (std::int64_t j = 0; j < segment.shared.count; ++j) rows.push_back(segment.shared.begin + j);
  const std::int64_t own = segment.own.count - segment.query_count + i + 1;
  for (std::int64_t j = 0; j < own; ++j) rows.push_back(segment.own.begin + j);
  if (window > 0 && std::ssize(rows) > window) rows.erase(rows.begin(), rows.end() - window);
  return rows;
}

Matrix attended(TestDevice& device, const Layout& layout, const AttentionShape& shape, const Inputs& in) {
  const HeadMap& map = shape.map;
  Matrix q = device.read(in.q), k = device.read(in.k);
  const Matrix v = device.read(in.v), cosine = device.read(in.cosine), sine = device.read(in.sine);
  for (const auto& s : layout.segments) {
    if (in.norm.q.elements() > 0) {
      norm_heads(q, device.read(in.norm.q), s.query_begin, s.query_count);
      norm_heads(k, device.read(in.norm.k), s.own.begin + s.own.count - s.query_count, s.query_count);
    }
    rotate(q, cosine, sine, s.query_begin, s.query_begin, s.query_count);
    rotate(k, cosine, sine, s.own.begin + s.own.count - s.query_count, s.query_begin, s.query_count);
  }
  Matrix out(q.rows, q.columns);
  for (const auto& s : layout.segments)
    for (std::int64_t i = 0; i < s.query_count; ++i)
      for (std::int64_t head = 0; head < map.heads; ++head) {
        const std::int64_t at = head * map.head_dim, kv = map.kv_head(head) * map.head_dim;
        const auto rows = visible_keys(s, i, shape.window);
        std::vector<double> weight(rows.size());
        for (std::size_t j = 0; j < rows.size(); ++j) {
          double score = 0;
          for (std::int64_t d = 0; d < map.head_dim; ++d)
            score += q.at(s.query_begin + i, at + d) * k.at(rows[j], kv + d);
          weight[j] = std::exp(score / std::sqrt(static_cast<double>(map.head_dim)));
        }
        const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
        for (std::size_t j = 0; j < rows.size(); ++j)
          for (std::int64_t d = 0; d < map.head_dim; ++d)
            out.at(s.query_begin + i, at + d) += weight[j] / sum * v.at(rows[j], kv + d);
      }
  return out;
}

// The plain steps: q and k normed and rotated in place, scores in memory.
Tensor plain_attention(TestDevice& device, const Layout& layout, const AttentionShape& shape, const Inputs& in) {
  if (in.norm.q.elements() > 0) head_rms_norm(device, in.q, in.norm.q, epsilon);
  rope(device, in.q, in.cosine, in.sine);
  for (const auto& s : layout.segments) {
    const Tensor fresh = in.k.row_range(s.own.begin + s.own.count - s.query_count, s.query_count);
    if (in.norm.k.elements() > 0) head_rms_norm(device, fresh, in.norm.k, epsilon);
    rope(device, fresh, in.cosine.row_range(s.query_begin, s.query_count),
         in.sine.row_range(s.query_begin, s.query_count));
  }
  const Tensor scores = device.empty(in.q.dtype, 1, score_elements(shape));
  const Tensor out = device.empty(in.q.dtype, in.q.rows, in.q.columns, 1);
  attention_scores(device, in.q, in.k, shape, scores);
  causal_mask(device, shape, scores);
  attention_softmax(device, shape, scores);
  attention_values(device, scores, in.v, shape, out);
  return out;
}

// Entries are within [-1, 1]: so are outputs, and scores within sqrt(head_dim). In f32 a sum over up to 170 keys of
// products with small relative errors; in bf16 rotated keys, scores, probabilities and outputs are each rounded. Normed
// heads make scores of up to about head_dim, with errors larger as well, and are rounded twice more.
double tolerance(DType dtype, bool normed) {
  return (dtype == DType::f32 ? 64 : 4) * (normed ? 8 : 1) * roundoff(dtype);
}

struct Options {
  std::int64_t window = 0;
  bool qk_norm = false;
};

// The new keys and values apart from the others, which lie in `k` and `v`; the new ones' places there hold anything.
RopeAttention behind_a_cache(TestDevice& device, const Layout& layout, const Inputs& in, std::int64_t gap) {
  const Tensor rows = device.integers(layout.new_rows());
  RopeAttention op{.q = device.copy(in.q, gap),
                   .new_k = device.empty(in.k.dtype, layout.tokens(), in.k.columns, gap),
                   .new_v = device.empty(in.v.dtype, layout.tokens(), in.v.columns, gap),
                   .key_rows = rows,
                   .k = device.copy(in.k, gap),
                   .v = device.copy(in.v, gap),
                   .norm = in.norm,
                   .cosine = in.cosine,
                   .sine = in.sine};
  gather_rows(device, in.k, rows, op.new_k);
  gather_rows(device, in.v, rows, op.new_v);
  const Tensor anything = device.random(in.k.dtype, layout.tokens(), in.k.columns);
  scatter_rows(device, anything, rows, op.k);
  scatter_rows(device, anything, rows, op.v);
  return op;
}

void expect_both_forms(const Layout& layout, const HeadMap& map, std::int64_t kv_heads, const Options& options = {}) {
  for_each_variant([&](TestDevice& device, DType dtype, std::int64_t gap) {
    const AttentionShape shape{&layout.segments, map, options.window, device.table(layout.segments)};
    Inputs in = make_inputs(device, layout, map, dtype, kv_heads, gap);
    if (options.qk_norm)
      in.norm = {device.random(dtype, 1, map.head_dim), device.random(dtype, 1, map.head_dim), epsilon};
    const Matrix want = attended(device, layout, shape, in);
    const double tolerance = batchscope::tolerance(dtype, options.qk_norm);
    RopeAttention fused = behind_a_cache(device, layout, in, gap);
    fused.shape = shape;
    fused.out = device.empty(dtype, in.q.rows, in.q.columns, gap);
    rope_attention(device, fused);
    const bool all_are_new = layout.key_rows == layout.tokens();
    RopeAttention in_place = fused;
    if (all_are_new) {
      in_place.q = device.copy(in.q, gap);
      in_place.k = in_place.new_k = device.copy(in.k, gap);
      in_place.v = in_place.new_v = in.v;
      in_place.key_rows = {};
      in_place.out = device.empty(dtype, in.q.rows, in.q.columns, gap);
      rope_attention(device, in_place);
      expect_near(device.read(in_place.out), device.read(fused.out), 0);
    }
    const Matrix v_before = device.read(in.v);
    const Tensor plain = plain_attention(device, layout, shape, in);
    expect_near(device.read(fused.out), want, 0, tolerance);
    expect_near(device.read(plain), want, 0, tolerance);
    expect_near(device.read(fused.out), device.read(plain), 0, tolerance);
    // Keys are normed and rotated alike, but for the order of a norm's sum on a GPU; cached ones are left alone.
    const double order = TestDevice::is_gpu && options.qk_norm ? 4 * roundoff(dtype) : 0;
    expect_near(device.read(fused.k), device.read(in.k), order, order);
    expect_near(device.read(fused.v), v_before, 0);
  });
}

// Keys and values in bf16, all the rest in f32: both forms see the same ones, so that they differ as in f32.
void expect_both_forms_of_a_narrow_cache(const Layout& layout, const HeadMap& map, std::int64_t kv_heads,
                                         const Options& options = {}) {
  if (TestDevice::is_gpu) GTEST_SKIP() << "a GPU keeps everything in one dtype";
  for (const int threads : {1, 2}) {
    TestDevice device(threads);
    const AttentionShape shape{&layout.segments, map, options.window, device.table(layout.segments)};
    Inputs in = make_inputs(device, layout, map, DType::f32, kv_heads, 1);
    if (options.qk_norm)
      in.norm = {device.random(DType::f32, 1, map.head_dim), device.random(DType::f32, 1, map.head_dim), epsilon};
    const Matrix want = attended(device, layout, shape, in);
    RopeAttention fused = behind_a_cache(device, layout, in, 1);
    const auto narrow = [&](const Tensor& x) {
      return device.floats(DType::bf16, x.rows, x.columns, device->download(x), 1);
    };
    fused.k = narrow(fused.k);
    fused.v = narrow(fused.v);
    fused.shape = shape;
    fused.out = device.empty(DType::f32, in.q.rows, in.q.columns, 1);
    const Tensor q = device.copy(fused.q);
    rope_attention(device, fused);
    expect_near(device.read(fused.out), want, 0, tolerance(DType::bf16, options.qk_norm));
    // The plain steps, of the cache as the fused form has left it.
    if (options.qk_norm) head_rms_norm(device, q, in.norm.q, epsilon);
    rope(device, q, in.cosine, in.sine);
    const Tensor scores = device.empty(DType::f32, 1, score_elements(shape));
    const Tensor out = device.empty(DType::f32, q.rows, q.columns);
    attention_scores(device, q, fused.k, shape, scores);
    causal_mask(device, shape, scores);
    attention_softmax(device, shape, scores);
    attention_values(device, scores, fused.v, shape, out);
    expect_near(device.read(fused.out), device.read(out), 0, tolerance(DType::f32, options.qk_norm));
  }
}

TEST(Attention, MeetsACacheThatIsKeptNarrower) {
  Layout layout;
  layout.append(1, 32);   // decode
  layout.append(34, 32);  // a prompt in pieces
  layout.append(70, 3);
  expect_both_forms_of_a_narrow_cache(layout, {.heads = 4, .head_dim = 16, .group = 2}, 2);
  expect_both_forms_of_a_narrow_cache(layout, {.heads = 2, .head_dim = 10}, 2, {.window = 9, .qk_norm = true});
  Layout shared;
  shared.append(33);
  for (const std::int64_t ending : {3, 33, 1}) shared.append(ending, 0, {0, 33});
  expect_both_forms_of_a_narrow_cache(shared, {.heads = 2, .head_dim = 8, .group = 2}, 1);
}

TEST(Attention, LengthsAcrossTheTilesBorders) {
  for (const std::int64_t length : {1, 31, 32, 33, 100}) {
    SCOPED_TRACE(length);
    Layout layout;
    layout.append(length);
    expect_both_forms(layout, {.heads = 2, .head_dim = 8}, 2);
  }
}

TEST(Attention, SeveralSegmentsWithGroupedHeads) {
  Layout layout;
  for (const std::int64_t length : {5, 1, 33}) layout.append(length);
  expect_both_forms(layout, {.heads = 6, .head_dim = 6, .group = 3}, 2);
}

TEST(Attention, AShardThatBeginsWithinAGroupOfHeads) {
  Layout layout;
  for (const std::int64_t length : {4, 7}) layout.append(length);
  // Heads 2, 3, 4 of a model with 3 heads a KV head: KV heads 0, 1, 1.
  expect_both_forms(layout, {.heads = 3, .head_dim = 10, .first_head = 2, .group = 3, .first_kv_head = 0}, 2);
}

TEST(Attention, EndingsBehindAContextThatTheyShare) {
  for (const std::int64_t context : {1, 33}) {
    SCOPED_TRACE(context);
    Layout layout;
    layout.append(context);
    for (const std::int64_t ending : {3, 33, 1}) layout.append(ending, 0, {0, context});
    expect_both_forms(layout, {.heads = 2, .head_dim = 8, .group = 2}, 1);
  }
}

TEST(Attention, NewTokensBehindACache) {
  for (const std::int64_t past : {1, 32}) {
    SCOPED_TRACE(past);
    Layout layout;
    layout.append(1, past);   // decode
    layout.append(34, past);  // a prompt in pieces
    layout.append(2, 3);
    expect_both_forms(layout, {.heads = 2, .head_dim = 16, .group = 2}, 1);
  }
}

TEST(Attention, WindowsShorterAndLongerThanTheSequence) {
  for (const std::int64_t window : {1, 2, 24, 32, 33, 200}) {
    SCOPED_TRACE(window);
    Layout layout;
    for (const std::int64_t length : {1, 31, 100}) layout.append(length);
    expect_both_forms(layout, {.heads = 2, .head_dim = 8, .group = 2}, 1, {.window = window});
  }
}

TEST(Attention, AWindowReachesIntoTheSharedContextOrNotAnyMore) {
  for (const std::int64_t window : {3, 20, 40}) {
    SCOPED_TRACE(window);
    Layout layout;
    layout.append(37);
    for (const std::int64_t ending : {5, 34, 1}) layout.append(ending, 0, {0, 37});
    expect_both_forms(layout, {.heads = 2, .head_dim = 8}, 2, {.window = window});
  }
}

TEST(Attention, AWindowOverACache) {
  for (const std::int64_t window : {1, 7, 33}) {
    SCOPED_TRACE(window);
    Layout layout;
    layout.append(1, 70);
    layout.append(34, 5);
    layout.append(2, 0);
    expect_both_forms(layout, {.heads = 2, .head_dim = 8, .group = 2}, 1, {.window = window});
  }
}

TEST(Attention, HeadsAreNormedBeforeTheyAreRotated) {
  Layout layout;
  layout.append(33);
  layout.append(5, 0, {0, 33});
  layout.append(1, 40);
  expect_both_forms(layout, {.heads = 6, .head_dim = 10, .group = 3}, 2, {.qk_norm = true});
  expect_both_forms(layout, {.heads = 2, .head_dim = 16}, 2, {.window = 9, .qk_norm = true});
}

TEST(Attention, HeadsOfTheWidthsThatModelsHave) {
  for (const std::int64_t head_dim : {64, 80, 96, 128, 256}) {
    SCOPED_TRACE(head_dim);
    Layout few, many;
    for (const std::int64_t length : {40, 3, 65}) few.append(length);
    few.append(9, 70);
    for (const std::int64_t length : {129, 70}) many.append(length);
    many.append(140, 75);
    expect_both_forms(few, {.heads = 2, .head_dim = head_dim, .group = 2}, 1);
    expect_both_forms(many, {.heads = 1, .head_dim = head_dim}, 1, {.window = 100, .qk_norm = true});
    expect_both_forms(many, {.heads = 1, .head_dim = head_dim}, 1);
  }
}

// A decode step: other kernels than a prompt's.
TEST(Attention, OneNewTokenBehindEachCache) {
  for (const std::int64_t group : {1, 3, 8, 9})
    for (const std::int64_t head_dim : {10, 64, 128, 160}) {
      SCOPED_TRACE(std::to_string(group) + " heads of " + std::to_string(head_dim) + " a KV head");
      Layout layout;
      for (const std::int64_t past : {0, 31, 32, 33, 300}) layout.append(1, past);
      layout.append(1, 40, {1, 60});
      // The first KV head's group begins in another shard, the last one's ends in one.
      const HeadMap map{.heads = 2 * group, .head_dim = head_dim, .first_head = group / 2, .group = group};
      expect_both_forms(layout, map, 3);
      expect_both_forms(layout, map, 3, {.window = 50, .qk_norm = true});
    }
}

// Keeps what the last op said that it costs.
class WorkRecorder : public Device {
 public:
  WorkRecorder() : Device("recorder", pages_) {}
  void copy_in(const std::byte*, const Tensor&) override {}
  void copy_out(const Tensor&, std::byte*) override {}
  void upload(const HostMatrix&, const Tensor&) override {}
  std::vector<float> download(const Tensor&) override { return {}; }
  Work last;

 private:
  void run(const Work& work, std::type_index, const void*, std::byte*) override { last = work; }
  NoPages pages_;
};

// Work of one segment: every pair of query and key counted one by one.
TEST(Attention, CountsThePairsAndRowsThatAWindowLeaves) {
  for (const std::int64_t window : {0, 1, 4, 9, 10, 11, 50}) {
    const AttentionSegment segment{0, 6, {0, 3}, {3, 8}};  // queries at positions 5 to 10 of 11 keys
    const std::vector<AttentionSegment> segments{segment};
    const AttentionShape shape{&segments, {.heads = 2, .head_dim = 4}, window};
    double pairs = 0;
    std::int64_t oldest = segment.keys();
    for (std::int64_t i = 0; i < segment.query_count; ++i) {
      const auto seen = visible_keys(segment, i, window);
      pairs += static_cast<double>(seen.size());
      oldest = std::min(oldest, seen.front());
    }
    WorkRecorder device;
    const auto tensor = [](std::int64_t rows, std::int64_t columns) {
      return Tensor{nullptr, DType::f32, rows, columns, columns};
    };
    rope_attention(device, {.q = tensor(6, 8), .new_k = tensor(6, 8), .new_v = tensor(6, 8), .k = tensor(50, 8),
                            .v = tensor(50, 8), .cosine = tensor(6, 2), .sine = tensor(6, 2), .shape = shape,
                            .out = tensor(6, 8)});
    EXPECT_EQ(device.last.flop, 2 * 4 * 4 * pairs) << "window " << window;
    const std::int64_t own_rows = segment.keys() - std::max<std::int64_t>(oldest, segment.shared.count);
    EXPECT_EQ(device.last.bytes, (2 * 6 + 2 * own_rows) * 8 * 4) << "window " << window;
  }
}

TEST(Attention, NoTokensIsNoWork) { expect_both_forms({}, {.heads = 2, .head_dim = 4}, 2); }

TEST(Attention, LargeScoresDoNotOverflow) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    TestDevice device;
    Layout layout;
    layout.append(40);
    const HeadMap map{.heads = 1, .head_dim = 4};
    Inputs in = make_inputs(device, layout, map, dtype, 1, 0);
    in.q = device.random(dtype, 40, 4, 0, 1e6f, 2e6f);
    in.k = device.random(dtype, 40, 4, 0, 1e6f, 2e6f);
    const Tensor out = device.empty(dtype, 40, 4);
    rope_attention(device, {.q = in.q, .new_k = in.k, .new_v = in.v, .k = in.k, .v = in.v, .cosine = in.cosine,
                            .sine = in.sine, .shape = {&layout.segments, map, 0, device.table(layout.segments)},
                            .out = out});
    for (const double value : device.read(out).values) EXPECT_LE(std::abs(value), 1.001);
  }
}

TEST(Attention, HeadsWiderThanTheTileAreRefused) {
  TestDevice device;
  Layout layout;
  layout.append(1);
  const HeadMap map{.heads = 1, .head_dim = RopeAttention::largest_head_dim + 2};
  const Inputs in = make_inputs(device, layout, map, DType::f32, 1, 0);
  const RopeAttention op{.q = in.q, .new_k = in.k, .new_v = in.v, .k = in.k, .v = in.v, .cosine = in.cosine,
                         .sine = in.sine, .shape = {&layout.segments, map, 0, device.table(layout.segments)},
                         .out = in.q};
  EXPECT_THROW(rope_attention(device, op), std::logic_error);
}

TEST(Rope, TurnsPairsByTheirAngleAndKeepsTheirLength) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    Layout layout;
    layout.append(9);
    const Inputs in = make_inputs(device, layout, {.heads = 3, .head_dim = 14}, dtype, 3, gap);
    Matrix want = device.read(in.q);
    rotate(want, device.read(in.cosine), device.read(in.sine), 0, 0, 9);
    rope(device, in.q, in.cosine, in.sine);
    expect_near(device.read(in.q), want, roundoff(dtype), 4 * roundoff(DType::f32));
  });
}

TEST(Rope, TheTableIsCosineAndSineOfTheAngle) {
  TestDevice device;
  const Tensor cosine = device.empty(DType::f32, 3, 2), sine = device.empty(DType::f32, 3, 2);
  rope_table(device, device.integers({0, 1, 4096}), device.floats(DType::f32, 1, 2, {1, 0.01f}), 1.0f, cosine, sine);
  const Matrix c = device.read(cosine), s = device.read(sine);
  const std::vector<double> angles{0, 0, 1, 0.01f, 4096, 4096 * static_cast<double>(0.01f)};
  for (std::size_t i = 0; i < angles.size(); ++i) {  // the angle itself is rounded to f32
    EXPECT_NEAR(c.values[i], std::cos(angles[i]), (1 + angles[i]) * roundoff(DType::f32));
    EXPECT_NEAR(s.values[i], std::sin(angles[i]), (1 + angles[i]) * roundoff(DType::f32));
  }
}

TEST(Rope, TheTableIsMultipliedByTheAttentionFactor) {
  TestDevice device;
  const Tensor cosine = device.empty(DType::f32, 2, 1), sine = device.empty(DType::f32, 2, 1);
  rope_table(device, device.integers({0, 3}), device.floats(DType::f32, 1, 1, {0.5f}), 1.25f, cosine, sine);
  EXPECT_EQ(device.read(cosine).at(0, 0), 1.25);
  EXPECT_NEAR(device.read(cosine).at(1, 0), 1.25 * std::cos(1.5), 4 * roundoff(DType::f32));
  EXPECT_NEAR(device.read(sine).at(1, 0), 1.25 * std::sin(1.5), 4 * roundoff(DType::f32));
}

}  // namespace
}  // namespace batchscope
