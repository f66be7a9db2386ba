// Allocating and loading a rank's weights. Attention and MLP are cut by columns, then by rows (Shoeybi et al. 2019),
// the vocabulary projection by rows; the embedding table is whole on every shard, which costs memory and no traffic.
#include "engine/rank_weights.h"

#include <fmt/format.h>

#include <cmath>
#include <string>

namespace batchscope {
namespace {

Range all_of(std::int64_t count) { return {0, count}; }

Range times(const Range& range, std::int64_t factor) { return {range.begin * factor, range.end * factor}; }

}  // namespace

RankWeights::RankWeights(const ModelConfig& config, const Layout& layout, std::int64_t rank, DType dtype,
                         Device& device)
    : config_(config), place_(layout.place(rank)), layout_(layout), dtype_(dtype), device_(device) {
  inverse_frequencies =
      device.arena().allocate("RoPE frequencies", MemoryUse::workspace, DType::f32, 1, config.head_dim / 2);
  const Range stage = layer_range(config, layout.stages(), place_.stage);
  add_embedding_and_projection();
  for (std::int64_t layer = stage.begin; layer < stage.end; ++layer) add_layer(layer);
}

Tensor RankWeights::allocate(std::string_view what, std::int64_t rows, std::int64_t columns) {
  return device_.arena().allocate(what, MemoryUse::weights, dtype_, rows, columns);
}

void RankWeights::add_part(std::string name, std::int64_t rows, std::int64_t columns, Range row_share,
                           Range column_share, const Tensor& to) {
  parts_.push_back({.source = {std::move(name), rows, columns},
                    .slice = {row_share.begin, row_share.size(), column_share.begin, column_share.size()},
                    .to = to});
}

void RankWeights::add_embedding_and_projection() {
  const bool first = place_.stage == 0, last = place_.stage == layout_.stages() - 1;
  const std::int64_t hidden = config_.hidden, vocabulary = config_.vocabulary;
  if (first) {
    embedding = allocate("embedding", vocabulary, hidden);
    add_part("model.embed_tokens.weight", vocabulary, hidden, all_of(vocabulary), all_of(hidden), embedding);
  }
  if (!last) return;
  final_norm = allocate("final norm", 1, hidden);
  add_part("model.norm.weight", 1, hidden, all_of(1), all_of(hidden), final_norm);
  const Range share = vocabulary_range(config_, layout_.shards(), place_.shard);
  if (config_.tied_embeddings && first) {
    projection = embedding.row_range(share.begin, share.size());
    return;
  }
  projection = allocate("vocabulary projection", share.size(), hidden);
  add_part(config_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight", vocabulary, hidden, share,
           all_of(hidden), projection);
}

void RankWeights::add_layer(std::int64_t layer) {
  const LayerShare share = layer_share(config_, layout_.shards(), place_.shard);
  const std::int64_t hidden = config_.hidden;
  const Range q = times(share.heads, config_.head_dim), kv = times(share.kv_heads, config_.head_dim);
  const std::int64_t all_q = config_.heads * config_.head_dim, all_kv = config_.kv_heads * config_.head_dim;
  const auto name = [&](std::string_view part) { return fmt::format("model.layers.{}.{}.weight", layer, part); };

  LayerWeights& w = layers.emplace_back();
  w.input_norm = allocate("input norm", 1, hidden);
  w.qkv = allocate("query, key and value projections", q.size() + 2 * kv.size(), hidden);
  w.q = w.qkv.row_range(0, q.size());
  w.k = w.qkv.row_range(q.size(), kv.size());
  w.v = w.qkv.row_range(q.size() + kv.size(), kv.size());
  w.attention_out = allocate("attention output projection", hidden, q.size());
  w.post_norm = allocate("post-attention norm", 1, hidden);
  w.gate_up = allocate("gate and up projections", 2 * share.intermediate.size(), hidden);
  w.gate = w.gate_up.row_range(0, share.intermediate.size());
  w.up = w.gate_up.row_range(share.intermediate.size(), share.intermediate.size());
  w.down = allocate("down projection", hidden, share.intermediate.size());

  add_part(name("input_layernorm"), 1, hidden, all_of(1), all_of(hidden), w.input_norm);
  add_part(name("self_attn.q_proj"), all_q, hidden, q, all_of(hidden), w.q);
  add_part(name("self_attn.k_proj"), all_kv, hidden, kv, all_of(hidden), w.k);
  add_part(name("self_attn.v_proj"), all_kv, hidden, kv, all_of(hidden), w.v);
  add_part(name("self_attn.o_proj"), hidden, all_q, all_of(hidden), q, w.attention_out);
  add_part(name("post_attention_layernorm"), 1, hidden, all_of(1), all_of(hidden), w.post_norm);
  add_part(name("mlp.gate_proj"), config_.intermediate, hidden, share.intermediate, all_of(hidden), w.gate);
  add_part(name("mlp.up_proj"), config_.intermediate, hidden, share.intermediate, all_of(hidden), w.up);
  add_part(name("mlp.down_proj"), hidden, config_.intermediate, all_of(hidden), share.intermediate, w.down);
}

void RankWeights::load(const WeightSource& source) {
  std::vector<float> frequencies;  // theta^(-2i / head_dim)
  for (std::int64_t i = 0; i < config_.head_dim / 2; ++i)
    frequencies.push_back(static_cast<float>(
        1.0 / std::pow(config_.rope_theta, static_cast<double>(2 * i) / static_cast<double>(config_.head_dim))));
  const auto count = static_cast<std::int64_t>(frequencies.size());
  device_.upload(HostMatrix{reinterpret_cast<const std::byte*>(frequencies.data()), DType::f32, 1, count, count},
                 inverse_frequencies);
  std::vector<std::byte> scratch;
  for (const Part& part : parts_) device_.upload(source.read(part.source, part.slice, scratch), part.to);
}

}  // namespace batchscope
