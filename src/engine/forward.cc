// The forward pass, layer by layer. Two activations live throughout: x, the residual stream, and h, what the next
// block reads and then its output. Buffers come and go in scopes, so that the arena's peak is the table of their sizes.
#include "engine/forward.h"

#include <algorithm>

#include "base/error.h"
#include "engine/test_faults.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/log_softmax.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "ops/rows.h"
#include "ops/sample_tokens.h"

namespace batchscope {
namespace {

constexpr std::int64_t scored_rows_at_once = 256;  // of prompts, so that their logits take little memory

}  // namespace

struct Forward::Activations {
  Tensor x;             // [tokens, hidden] residual stream
  Tensor h;             // [tokens, hidden] normed input of a block, then its output
  Tensor cosine, sine;  // [tokens, head_dim / 2] f32
};

struct Forward::Turn {
  std::size_t number;
  Tensor x, h, cosine, sine;  // its rows of the activations
  Tensor key_rows;            // of the cache; nothing: keys and values are the turn's own
  const std::vector<AttentionSegment>& segments;
  Tensor table;  // of them
};

Forward::Forward(const ModelConfig& config, const Layout& layout, std::int64_t rank, const Precision& precision,
                 Device& device, Communicator& shards, Communicator& stages)
    : config_(config),
      layout_(layout),
      place_(layout.place(rank)),
      dtype_(precision.compute),
      kv_dtype_(precision.kv),
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
      weights_(config, layout, rank, precision, device) {}

Tensor Forward::allocate(std::string_view what, DType dtype, std::int64_t rows, std::int64_t columns) {
  return device_.arena().allocate(what, MemoryUse::activations, dtype, rows, columns);
}

KvCache Forward::allocate_cache(std::int64_t rows) {
  KvCache cache;
  const std::int64_t width = share_.kv_heads.size() * config_.head_dim;
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer)
    cache.layers.push_back({.k = device_.arena().allocate("key cache", MemoryUse::kv, kv_dtype_, rows, width),
                            .v = device_.arena().allocate("value cache", MemoryUse::kv, kv_dtype_, rows, width)});
  return cache;
}

void Forward::score(const ForwardStep& step, const Tensor& out) {
  const ArenaScope scope(device_.arena());
  const Activations at = run_layers(step);
  if (!last_stage()) return;
  log_probabilities_of(step.inputs.targets, logits(step, at, 0, step.batch.logits()), out);
}

// Of one target a row.
void Forward::log_probabilities_of(const Tensor& targets, const Tensor& logits, const Tensor& out) {
  const ArenaScope scope(device_.arena());
  const Tensor sum_and_target = allocate("softmax sums and target logits", DType::f32, 2, logits.rows);
  row_max(device_, logits, out);
  shards_.all_reduce(out, Reduce::max, "logits");
  sum_exp_and_target(device_, logits, out, targets, vocabulary_range(config_, layout_.shards(), place_.shard).begin,
                     sum_and_target);
  shards_.all_reduce(sum_and_target, Reduce::sum, "logits");
  target_log_probability(device_, out, sum_and_target, out);
}

void Forward::next_tokens(const ForwardStep& step, const NextTokens& out) {
  const ArenaScope scope(device_.arena());
  const Activations at = run_layers(step);
  if (!last_stage()) return;
  const std::int64_t sequences = out.tokens.columns;
  {
    const ArenaScope of_sequences(device_.arena());
    Tensor scores;
    if (step.inputs.draws.rows > 0) {
      scores = draw_tokens(step, at, out.tokens);
    } else {
      scores = logits(step, at, 0, sequences);
      most_probable_tokens(scores, out.tokens);
    }
    if (out.log_probabilities.columns > 0) write_log_probabilities(scores, out.tokens, 0, out);
  }
  for (std::int64_t begin = sequences; begin < step.batch.logits(); begin += scored_rows_at_once) {
    const ArenaScope of_part(device_.arena());
    const std::int64_t rows = std::min(scored_rows_at_once, step.batch.logits() - begin);
    write_log_probabilities(logits(step, at, begin, rows), step.inputs.targets.column_range(begin, rows), begin, out);
  }
}

// Of the targets and of the most probable tokens, to their places from `begin` on.
void Forward::write_log_probabilities(const Tensor& logits, const Tensor& targets, std::int64_t begin,
                                      const NextTokens& out) {
  const Tensor top_tokens = out.top_tokens.column_range(begin, logits.rows);
  log_probabilities_of(targets, logits, out.log_probabilities.column_range(begin, logits.rows));
  most_probable_tokens(logits, top_tokens);
  log_probabilities_of(top_tokens, logits, out.top_log_probabilities.column_range(begin, logits.rows));
}

void Forward::most_probable_tokens(const Tensor& logits, const Tensor& out) {
  const ArenaScope scope(device_.arena());
  const Tensor best = allocate("best tokens", DType::f32, shards_.size() * logits.rows, 2);
  row_argmax(device_, logits, vocabulary_range(config_, layout_.shards(), place_.shard).begin,
             best.row_range(shards_.rank() * logits.rows, logits.rows));
  shards_.all_gather(best, "logits");
  best_token(device_, best, out);
}

// Returns this shard's logits. Shards' parts of the vocabulary differ by one at most; in the all-gather each takes the
// room of the widest.
Tensor Forward::draw_tokens(const ForwardStep& step, const Activations& at, const Tensor& out) {
  const std::int64_t rows = out.columns;
  const std::int64_t widest = vocabulary_range(config_, layout_.shards(), 0).size();
  const Tensor all = allocate("logits of all shards", dtype_, shards_.size() * rows, widest);
  const Tensor own = all.row_range(shards_.rank() * rows, rows).column_range(0, weights_.projection.rows());
  project(step, at, 0, own);
  shards_.all_gather(all, "logits");
  sample_tokens(device_, all, config_.vocabulary, step.inputs.draws, out);
  return own;
}

Forward::Activations Forward::run_layers(const ForwardStep& step) {
  if (step.fusion.attention && config_.head_dim > RopeAttention::largest_head_dim)
    throw InputError("--fusion attention: heads of {} are wider than the kernel's {}; leave it out", config_.head_dim,
                     RopeAttention::largest_head_dim);
  const std::int64_t tokens = step.batch.rows();
  Activations at;
  at.x = allocate("residual stream", dtype_, tokens, config_.hidden);
  at.h = allocate("normed hidden states", dtype_, tokens, config_.hidden);
  at.cosine = allocate("RoPE cosines", DType::f32, tokens, config_.head_dim / 2);
  at.sine = allocate("RoPE sines", DType::f32, tokens, config_.head_dim / 2);
  make_rope_table(step, at);
  if (first_stage())
    embedding(device_, step.inputs.tokens, weights_.embedding, at.x);
  else
    stages_.recv(at.x, stages_.rank() - 1, "boundary");

  const auto epsilon = static_cast<float>(config_.rms_norm_epsilon);
  rms_norm(device_, at.x, weights_.layers.front().input_norm, epsilon, at.h);
  const std::vector<Turn> turns = turns_of(step, at);
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    for (const Turn& turn : turns) {
      device_.join(turn.number);
      attention(step, turn, layer);
      reduce_and_norm(step, turn, &weights_.layers[layer].post_norm, "attention");
    }
    const Tensor* next_norm = layer + 1 < weights_.layers.size() ? &weights_.layers[layer + 1].input_norm
                              : last_stage()                     ? &weights_.final_norm
                                                                 : nullptr;
    for (const Turn& turn : turns) {
      device_.join(turn.number);
      mlp(step, turn, weights_.layers[layer]);
      reduce_and_norm(step, turn, next_norm, "mlp");
    }
  }
  for (const Turn& turn : turns) device_.join(turn.number);
  if (!last_stage()) stages_.send(at.x, stages_.rank() + 1, "boundary");
  return at;
}

void Forward::make_rope_table(const ForwardStep& step, const Activations& at) {
  const auto factor = static_cast<float>(config_.rope_scaling.attention_factor);
  const Tensor& positions = step.inputs.positions;
  const Tensor& own = step.inputs.frequencies;
  if (own.rows == 0) return rope_table(device_, positions, weights_.inverse_frequencies, factor, at.cosine, at.sine);
  for (std::size_t i = 0; i < step.batch.segments.size(); ++i) {
    const auto& segment = step.batch.segments[i];
    const auto rows = [&](const Tensor& x) { return x.row_range(segment.query_begin, segment.query_count); };
    rope_table(device_, positions.column_range(segment.query_begin, segment.query_count),
               own.row_range(static_cast<std::int64_t>(i), 1), factor, rows(at.cosine), rows(at.sine));
  }
}

std::vector<Forward::Turn> Forward::turns_of(const ForwardStep& step, const Activations& at) const {
  std::vector<Turn> turns;
  std::int64_t segments = 0;
  for (const BatchTurn& turn : step.turns) {
    const auto rows = [&](const Tensor& all) { return all.row_range(turn.row_begin, turn.rows); };
    const Tensor key_rows =
        step.cache != nullptr ? step.inputs.key_rows.column_range(turn.row_begin, turn.rows) : Tensor{};
    turns.push_back({turns.size(), rows(at.x), rows(at.h), rows(at.cosine), rows(at.sine), key_rows, turn.segments,
                     step.inputs.segments.row_range(segments, std::ssize(turn.segments))});
    segments += std::ssize(turn.segments);
  }
  return turns;
}

AttentionShape Forward::shape_of(const Turn& turn, std::size_t layer) const {
  return {&turn.segments, heads_, config_.window(layers_.begin + static_cast<std::int64_t>(layer)), turn.table};
}

// h = attention(h), this shard's part of the sum.
void Forward::attention(const ForwardStep& step, const Turn& turn, std::size_t layer) {
  const ArenaScope scope(device_.arena());
  const LayerWeights& w = weights_.layers[layer];
  const std::int64_t tokens = turn.h.rows;
  const std::int64_t q_width = heads_.heads * heads_.head_dim;
  const std::int64_t kv_width = share_.kv_heads.size() * heads_.head_dim;
  const Tensor out = allocate("attention output", dtype_, tokens, q_width);
  Tensor q, k, v;
  if (step.fusion.qkv) {
    const Tensor qkv = allocate("queries, keys and values", dtype_, tokens, q_width + 2 * kv_width);
    linear(device_, turn.h, w.qkv, w.qkv_bias, qkv);
    q = qkv.column_range(0, q_width);
    k = qkv.column_range(q_width, kv_width);
    v = qkv.column_range(q_width + kv_width, kv_width);
  } else {
    q = allocate("queries", dtype_, tokens, q_width);
    k = allocate("keys", dtype_, tokens, kv_width);
    v = allocate("values", dtype_, tokens, kv_width);
    linear(device_, turn.h, w.q, w.q_bias, q);
    linear(device_, turn.h, w.k, w.k_bias, k);
    linear(device_, turn.h, w.v, w.v_bias, v);
  }
  if (step.fusion.attention) {
    const QkNorm norm{w.q_norm, w.k_norm, static_cast<float>(config_.rms_norm_epsilon)};
    const Tensor all_k = step.cache != nullptr ? step.cache->layers[layer].k : k;
    const Tensor all_v = step.cache != nullptr ? step.cache->layers[layer].v : v;
    rope_attention(device_,
                   {q, k, v, turn.key_rows, all_k, all_v, norm, turn.cosine, turn.sine, shape_of(turn, layer), out});
  } else {
    plain_attention(step, turn, layer, q, k, v, out);
  }
  linear(device_, out, w.attention_out, w.attention_out_bias, turn.h);
}

// In steps, with the scores in memory.
void Forward::plain_attention(const ForwardStep& step, const Turn& turn, std::size_t layer, const Tensor& q,
                              const Tensor& k, const Tensor& v, const Tensor& out) {
  const LayerWeights& w = weights_.layers[layer];
  if (config_.qk_norm) {
    const auto epsilon = static_cast<float>(config_.rms_norm_epsilon);
    head_rms_norm(device_, q, w.q_norm, epsilon);
    head_rms_norm(device_, k, w.k_norm, epsilon);
  }
  rope(device_, q, turn.cosine, turn.sine);
  rope(device_, k, turn.cosine, turn.sine);
  Tensor all_k = k, all_v = v;
  if (step.cache != nullptr) {
    all_k = step.cache->layers[layer].k;
    all_v = step.cache->layers[layer].v;
    scatter_rows(device_, k, turn.key_rows, all_k);
    scatter_rows(device_, v, turn.key_rows, all_v);
  }
  if (test_faults.keys_and_values) test_faults.keys_and_values(step.batch, all_k, all_v);
  const AttentionShape shape = shape_of(turn, layer);
  const Tensor scores = allocate("attention scores", dtype_, 1, score_elements(shape));
  attention_scores(device_, q, all_k, shape, scores);
  causal_mask(device_, shape, scores);
  attention_softmax(device_, shape, scores);
  attention_values(device_, scores, all_v, shape, out);
}

// h = mlp(h), this shard's part of the sum.
void Forward::mlp(const ForwardStep& step, const Turn& turn, const LayerWeights& w) {
  const ArenaScope scope(device_.arena());
  const std::int64_t tokens = turn.h.rows, width = share_.intermediate.size();
  const Tensor gate_up = allocate("gate and up", dtype_, tokens, 2 * width);
  if (step.fusion.swiglu) {
    const Tensor activated = allocate("activated", dtype_, tokens, width);  // in one piece, as GEMMs read it best
    linear(device_, turn.h, w.gate_up, w.gate_up_bias, gate_up);
    swiglu(device_, gate_up.column_range(0, width), gate_up.column_range(width, width), activated);
    linear(device_, activated, w.down, w.down_bias, turn.h);
    return;
  }
  const Tensor gate{gate_up.data, dtype_, tokens, width, width};  // two contiguous halves of the same buffer
  const Tensor up{gate_up.data + gate.bytes(), dtype_, tokens, width, width};
  linear(device_, turn.h, w.gate, w.gate_bias, gate);
  linear(device_, turn.h, w.up, w.up_bias, up);
  silu(device_, gate);
  multiply(device_, gate, up);
  linear(device_, gate, w.down, w.down_bias, turn.h);
}

// x += sum of h over the shards; h = norm(x), unless the stage ends here. Where turns alternate, beside the other one's
// work.
void Forward::reduce_and_norm(const ForwardStep& step, const Turn& turn, const Tensor* next_norm,
                              std::string_view phase) {
  const auto epsilon = static_cast<float>(config_.rms_norm_epsilon);
  const auto enqueue = [&] {
    if (step.fusion.comm && shards_.size() > 1) {
      if (next_norm == nullptr) return shards_.all_reduce_add(turn.x, turn.h, phase);
      return shards_.all_reduce_add_rms_norm(turn.x, turn.h, *next_norm, epsilon, turn.h, phase);
    }
    shards_.all_reduce(turn.h, Reduce::sum, phase);
    if (step.fusion.norm && next_norm != nullptr)
      return add_rms_norm(device_, turn.x, turn.h, *next_norm, epsilon, turn.h);
    add(device_, turn.x, turn.h);
    if (next_norm != nullptr) rms_norm(device_, turn.x, *next_norm, epsilon, turn.h);
  };
  if (step.turns.size() > 1)
    device_.beside(turn.number, enqueue);
  else
    enqueue();
}

// [rows, vocabulary here], of the logit rows from `begin` on.
Tensor Forward::logits(const ForwardStep& step, const Activations& at, std::int64_t begin, std::int64_t rows) {
  const Tensor out = allocate("logits", dtype_, rows, weights_.projection.rows());
  project(step, at, begin, out);
  return out;
}

void Forward::project(const ForwardStep& step, const Activations& at, std::int64_t begin, const Tensor& out) {
  if (step.batch.logit_rows.empty()) return linear(device_, at.h, weights_.projection, {}, out);
  const ArenaScope scope(device_.arena());
  const Tensor selected = allocate("scored hidden states", dtype_, out.rows, config_.hidden);
  gather_rows(device_, at.h, step.inputs.logit_rows.column_range(begin, out.rows), selected);
  linear(device_, selected, weights_.projection, {}, out);
}

}  // namespace batchscope
