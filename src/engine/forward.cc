// The forward pass, layer by layer. Two activations live throughout: x, the residual stream, and h, what the next
// block reads and then its output. Buffers come and go in scopes, so that the arena's peak is the table of their sizes.
#include "engine/forward.h"

#include <algorithm>

#include "base/error.h"
#include "model/rope_frequencies.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/log_softmax.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "ops/rows.h"

namespace batchscope {

struct Forward::Step {
  const Batch& batch;
  const Fusion& fusion;
  const CacheWrite* cache;  // null: keys and values are the batch's own
  Tensor x;                 // [tokens, hidden] residual stream
  Tensor h;                 // [tokens, hidden] normed input of a block, then its output
  Tensor cosine, sine;      // [tokens, head_dim / 2] f32
  Tensor cache_rows;        // [1, tokens] i32
};

Forward::Forward(const ModelConfig& config, const Layout& layout, std::int64_t rank, DType dtype, Device& device,
                 Communicator& shards, Communicator& stages)
    : config_(config),
      layout_(layout),
      place_(layout.place(rank)),
      dtype_(dtype),
      share_(layer_share(config, layout.shards(), place_.shard)),
      layers_(layer_range(config, layout.stages(), place_.stage)),
      heads_{.heads = share_.heads.size(),
             .head_dim = config.head_dim,
             .first_head = share_.heads.begin,
             .group = config.heads / config.kv_heads,
             .first_kv_head = share_.kv_heads.begin},
      device_(device),
      shards_(shards),
      stages_(stages),
      weights_(config, layout, rank, dtype, device) {}

Tensor Forward::allocate(std::string_view what, DType dtype, std::int64_t rows, std::int64_t columns) {
  return device_.arena().allocate(what, MemoryUse::activations, dtype, rows, columns);
}

Tensor Forward::upload(std::string_view what, const std::vector<std::int32_t>& values) {
  const Tensor tensor = allocate(what, DType::i32, 1, static_cast<std::int64_t>(values.size()));
  device_.upload(values, tensor);
  return tensor;
}

KvCache Forward::allocate_cache(std::int64_t rows) {
  KvCache cache;
  const std::int64_t width = share_.kv_heads.size() * config_.head_dim;
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer)
    cache.layers.push_back({.k = device_.arena().allocate("key cache", MemoryUse::kv, dtype_, rows, width),
                            .v = device_.arena().allocate("value cache", MemoryUse::kv, dtype_, rows, width)});
  return cache;
}

std::vector<float> Forward::score(const Batch& batch, const Fusion& fusion) {
  const ArenaScope scope(device_.arena());
  Step step{batch, fusion, nullptr, {}, {}, {}, {}, {}};
  run_layers(step);
  if (!last_stage()) return {};
  const Tensor scores = logits(step);
  const std::int64_t rows = scores.rows;
  const Tensor targets = upload("targets", batch.targets);
  const Tensor largest = allocate("largest logits", DType::f32, 1, rows);
  const Tensor sum_and_target = allocate("softmax sums and target logits", DType::f32, 2, rows);
  row_max(device_, scores, largest);
  shards_.all_reduce(largest, Reduce::max, "logits");
  sum_exp_and_target(device_, scores, largest, targets, vocabulary_range(config_, layout_.shards(), place_.shard).begin,
                     sum_and_target);
  shards_.all_reduce(sum_and_target, Reduce::sum, "logits");
  target_log_probability(device_, largest, sum_and_target, largest);
  return device_.download(largest);
}

std::vector<std::int32_t> Forward::next_tokens(const Batch& batch, const CacheWrite& cache,
                                               const std::vector<TokenDraw>& draws, const Fusion& fusion) {
  const ArenaScope scope(device_.arena());
  Step step{batch, fusion, &cache, {}, {}, {}, {}, {}};
  run_layers(step);
  if (!last_stage()) return {};
  const bool any_drawn = std::any_of(draws.begin(), draws.end(), [](const auto& draw) { return draw.temperature > 0; });
  return any_drawn ? drawn_tokens(step, draws) : most_probable_tokens(step);
}

std::vector<std::int32_t> Forward::most_probable_tokens(const Step& step) {
  const Tensor scores = logits(step);
  const Tensor best = allocate("best tokens", DType::f32, shards_.size() * scores.rows, 2);
  row_argmax(device_, scores, vocabulary_range(config_, layout_.shards(), place_.shard).begin,
             best.row_range(shards_.rank() * scores.rows, scores.rows));
  shards_.all_gather(best, "logits");
  const auto values = device_.download(best);
  std::vector<std::int32_t> tokens;
  for (std::int64_t row = 0; row < scores.rows; ++row) {
    std::size_t winner = static_cast<std::size_t>(row);
    for (auto at = winner; at < static_cast<std::size_t>(best.rows); at += static_cast<std::size_t>(scores.rows))
      if (values[2 * at] > values[2 * winner]) winner = at;
    tokens.push_back(static_cast<std::int32_t>(values[2 * winner + 1]));
  }
  return tokens;
}

// Shards' parts of the vocabulary differ by one at most; in the all-gather each takes the room of the widest.
std::vector<std::int32_t> Forward::drawn_tokens(const Step& step, const std::vector<TokenDraw>& draws) {
  const std::int64_t rows = step.batch.logits();
  std::vector<std::int64_t> widths;
  for (std::int64_t shard = 0; shard < layout_.shards(); ++shard)
    widths.push_back(vocabulary_range(config_, layout_.shards(), shard).size());
  const std::int64_t widest = *std::max_element(widths.begin(), widths.end());
  const Tensor all = allocate("logits of all shards", dtype_, shards_.size() * rows, widest);
  project(step, all.row_range(shards_.rank() * rows, rows).column_range(0, weights_.projection.rows));
  shards_.all_gather(all, "logits");
  const Tensor tokens = allocate("drawn tokens", DType::i32, 1, rows);
  sample_tokens(device_, all, widths, draws, tokens);
  const auto values = device_.download(tokens);
  return {values.begin(), values.end()};
}

void Forward::run_layers(Step& step) {
  if (step.fusion.attention && config_.head_dim > RopeAttention::largest_head_dim)
    throw InputError("--fusion attention: heads of {} are wider than the kernel's {}; leave it out", config_.head_dim,
                     RopeAttention::largest_head_dim);
  const std::int64_t tokens = step.batch.rows();
  step.x = allocate("residual stream", dtype_, tokens, config_.hidden);
  step.h = allocate("normed hidden states", dtype_, tokens, config_.hidden);
  step.cosine = allocate("RoPE cosines", DType::f32, tokens, config_.head_dim / 2);
  step.sine = allocate("RoPE sines", DType::f32, tokens, config_.head_dim / 2);
  {
    const ArenaScope inputs(device_.arena());
    make_rope_table(step);
    if (first_stage()) embedding(device_, upload("token ids", step.batch.tokens), weights_.embedding, step.x);
  }
  if (step.cache != nullptr) step.cache_rows = upload("cache rows", step.cache->rows);
  if (!first_stage()) stages_.recv(step.x, stages_.rank() - 1, "boundary");

  const auto epsilon = static_cast<float>(config_.rms_norm_epsilon);
  rms_norm(device_, step.x, weights_.layers.front().input_norm, epsilon, step.h);
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    attention(step, layer);
    reduce_and_norm(step, &weights_.layers[layer].post_norm, "attention");
    mlp(step, weights_.layers[layer]);
    const Tensor* next_norm = layer + 1 < weights_.layers.size() ? &weights_.layers[layer + 1].input_norm
                              : last_stage()                     ? &weights_.final_norm
                                                                 : nullptr;
    reduce_and_norm(step, next_norm, "mlp");
  }
  if (!last_stage()) stages_.send(step.x, stages_.rank() + 1, "boundary");
}

// Under dynamic scaling the frequencies follow from each sequence's own length; a padded row is as long as its batch.
void Forward::make_rope_table(Step& step) {
  const RopeScaling& scaling = config_.rope_scaling;
  const auto factor = static_cast<float>(scaling.attention_factor);
  const Tensor positions = upload("positions", step.batch.positions);
  if (scaling.kind != RopeScaling::Kind::dynamic)
    return rope_table(device_, positions, weights_.inverse_frequencies, factor, step.cosine, step.sine);
  for (const auto& segment : step.batch.segments) {
    if (segment.shared.count > 0 && segment.keys() > config_.max_positions)
      throw InputError(
          "--packing prefix: under dynamic RoPE scaling, sequences of more than {} tokens do not share keys, and one "
          "has {}; use packed",
          config_.max_positions, segment.keys());
    const ArenaScope scope(device_.arena());
    const Tensor own = allocate("RoPE frequencies of a sequence", DType::f32, 1, config_.head_dim / 2);
    const auto frequencies = inverse_frequencies(config_, segment.keys());
    device_.upload(
        HostMatrix{reinterpret_cast<const std::byte*>(frequencies.data()), DType::f32, 1, own.columns, own.columns},
        own);
    const auto rows = [&](const Tensor& x) { return x.row_range(segment.query_begin, segment.query_count); };
    rope_table(device_, positions.column_range(segment.query_begin, segment.query_count), own, factor,
               rows(step.cosine), rows(step.sine));
  }
}

AttentionShape Forward::shape_of(const Step& step, std::size_t layer) const {
  return {&step.batch.segments, heads_, config_.window(layers_.begin + static_cast<std::int64_t>(layer))};
}

// h = attention(h), this shard's part of the sum.
void Forward::attention(const Step& step, std::size_t layer) {
  const ArenaScope scope(device_.arena());
  const LayerWeights& w = weights_.layers[layer];
  const std::int64_t tokens = step.batch.rows();
  const std::int64_t q_width = heads_.heads * heads_.head_dim;
  const std::int64_t kv_width = share_.kv_heads.size() * heads_.head_dim;
  const Tensor out = allocate("attention output", dtype_, tokens, q_width);
  Tensor q, k, v;
  if (step.fusion.qkv) {
    const Tensor qkv = allocate("queries, keys and values", dtype_, tokens, q_width + 2 * kv_width);
    linear(device_, step.h, w.qkv, w.qkv_bias, qkv);
    q = qkv.column_range(0, q_width);
    k = qkv.column_range(q_width, kv_width);
    v = qkv.column_range(q_width + kv_width, kv_width);
  } else {
    q = allocate("queries", dtype_, tokens, q_width);
    k = allocate("keys", dtype_, tokens, kv_width);
    v = allocate("values", dtype_, tokens, kv_width);
    linear(device_, step.h, w.q, w.q_bias, q);
    linear(device_, step.h, w.k, w.k_bias, k);
    linear(device_, step.h, w.v, w.v_bias, v);
  }
  const QkNorm norm{w.q_norm, w.k_norm, static_cast<float>(config_.rms_norm_epsilon)};
  Tensor all_k = k, all_v = v;
  if (!step.fusion.attention) {
    if (config_.qk_norm) {
      head_rms_norm(device_, q, norm.q, norm.epsilon);
      head_rms_norm(device_, k, norm.k, norm.epsilon);
    }
    rope(device_, q, step.cosine, step.sine);
    rope(device_, k, step.cosine, step.sine);
  }
  if (step.cache != nullptr) {
    all_k = step.cache->cache->layers[layer].k;
    all_v = step.cache->cache->layers[layer].v;
    scatter_rows(device_, k, step.cache_rows, all_k);
    scatter_rows(device_, v, step.cache_rows, all_v);
  }
  const AttentionShape shape = shape_of(step, layer);
  if (step.fusion.attention) {
    rope_attention(device_, q, all_k, all_v, norm, step.cosine, step.sine, shape, out);
  } else {
    const Tensor scores = allocate("attention scores", dtype_, 1, score_elements(shape));
    attention_scores(device_, q, all_k, shape, scores);
    causal_mask(device_, shape, scores);
    attention_softmax(device_, shape, scores);
    attention_values(device_, scores, all_v, shape, out);
  }
  linear(device_, out, w.attention_out, w.attention_out_bias, step.h);
}

// h = mlp(h), this shard's part of the sum.
void Forward::mlp(const Step& step, const LayerWeights& w) {
  const ArenaScope scope(device_.arena());
  const std::int64_t tokens = step.batch.rows(), width = share_.intermediate.size();
  const Tensor gate_up = allocate("gate and up", dtype_, tokens, 2 * width);
  if (step.fusion.swiglu) {
    const Tensor activated = allocate("activated", dtype_, tokens, width);  // in one piece, as GEMMs read it best
    linear(device_, step.h, w.gate_up, w.gate_up_bias, gate_up);
    swiglu(device_, gate_up.column_range(0, width), gate_up.column_range(width, width), activated);
    linear(device_, activated, w.down, w.down_bias, step.h);
    return;
  }
  const Tensor gate{gate_up.data, dtype_, tokens, width, width};  // two contiguous halves of the same buffer
  const Tensor up{gate_up.data + gate.bytes(), dtype_, tokens, width, width};
  linear(device_, step.h, w.gate, w.gate_bias, gate);
  linear(device_, step.h, w.up, w.up_bias, up);
  silu(device_, gate);
  multiply(device_, gate, up);
  linear(device_, gate, w.down, w.down_bias, step.h);
}

// x += sum of h over the shards; h = norm(x), unless the stage ends here.
void Forward::reduce_and_norm(const Step& step, const Tensor* next_norm, std::string_view phase) {
  const auto epsilon = static_cast<float>(config_.rms_norm_epsilon);
  if (step.fusion.comm && shards_.size() > 1 && next_norm != nullptr)
    return shards_.all_reduce_add_rms_norm(step.x, step.h, *next_norm, epsilon, step.h, phase);
  shards_.all_reduce(step.h, Reduce::sum, phase);
  if (step.fusion.norm && next_norm != nullptr)
    return add_rms_norm(device_, step.x, step.h, *next_norm, epsilon, step.h);
  add(device_, step.x, step.h);
  if (next_norm != nullptr) rms_norm(device_, step.x, *next_norm, epsilon, step.h);
}

// [logit rows, vocabulary here]
Tensor Forward::logits(const Step& step) {
  const Tensor out = allocate("logits", dtype_, step.batch.logits(), weights_.projection.rows);
  project(step, out);
  return out;
}

// Logits of the rows that they are wanted of.
void Forward::project(const Step& step, const Tensor& out) {
  const Batch& batch = step.batch;
  if (batch.logit_rows.empty()) return linear(device_, step.h, weights_.projection, {}, out);
  const ArenaScope scope(device_.arena());
  const Tensor selected = allocate("scored hidden states", dtype_, batch.logits(), config_.hidden);
  gather_rows(device_, step.h, upload("scored rows", batch.logit_rows), selected);
  linear(device_, selected, weights_.projection, {}, out);
}

}  // namespace batchscope
