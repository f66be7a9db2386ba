// Allocating and loading a rank's weights. Attention and MLP are cut by columns, then by rows (Shoeybi et al. 2019),
// the vocabulary projection by rows; the embedding table is whole on every shard, which costs memory and no traffic.
#include "engine/rank_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <string>
#include <utility>

#include "model/rope_frequencies.h"

namespace batchscope {
namespace {

Range all_of(std::int64_t count) { return {0, count}; }

Range times(const Range& range, std::int64_t factor) { return {range.begin * factor, range.end * factor}; }

std::string name_of(std::int64_t layer, std::string_view part) {
  return fmt::format("model.layers.{}.{}", layer, part);
}

}  // namespace

RankWeights::RankWeights(const ModelConfig& config, const Layout& layout, std::int64_t rank,
                         const Precision& precision, Device& device)
    : config_(config), place_(layout.place(rank)), layout_(layout), precision_(precision), device_(device) {
  inverse_frequencies =
      device.arena().allocate("RoPE frequencies", MemoryUse::workspace, DType::f32, 1, config.head_dim / 2);
  const Range stage = layer_range(config, layout.stages(), place_.stage);
  add_embedding_and_projection();
  for (std::int64_t layer = stage.begin; layer < stage.end; ++layer) add_layer(layer);
}

Tensor RankWeights::allocate_vector(std::string_view what, std::int64_t columns) {
  return device_.arena().allocate(what, MemoryUse::weights, precision_.compute, 1, columns);
}

// In the form that the device's GEMM reads best; `parts`: the rows of each part that is used alone.
Tensor RankWeights::allocate_matrix(std::string_view what, DType dtype, std::initializer_list<std::int64_t> parts,
                                    std::int64_t columns) {
  std::int64_t rows = 0, divisor = 0;
  for (const std::int64_t part : parts) {
    rows += part;
    divisor = std::gcd(divisor, part);
  }
  Tensor tensor = device_.arena().allocate(what, MemoryUse::weights, dtype, rows, columns);
  tensor.panel = device_.weight_panel(dtype, divisor, columns);
  return tensor;
}

// A projection of a layer; `columns`: which of the whole matrix's these are. Scales of FP8 are a row's, or of a checkpoint's
// blocks, cut where this part of the columns begins.
Weight RankWeights::allocate_projection(std::string_view what, std::initializer_list<std::int64_t> parts, Range columns) {
  Tensor values = allocate_matrix(what, precision_.weights, parts, columns.size());
  if (precision_.weights != DType::fp8) return values;
  const std::int64_t block = config_.fp8_block.columns;
  const std::int64_t scale_columns =
      block > 0 ? std::gcd(block, columns.begin) : std::max<std::int64_t>(columns.size(), 1);
  if (scale_columns < columns.size() && scale_columns % values.panel_group() != 0) values.panel = 0;
  const std::int64_t groups = (columns.size() + scale_columns - 1) / scale_columns;
  const Tensor scales = device_.arena().allocate(fmt::format("{}, scales", what), MemoryUse::weights, DType::f32,
                                                 values.rows, groups);
  return {values, scales, scale_columns};
}

void RankWeights::add_part(std::string name, std::int64_t rows, std::int64_t columns, Range row_share,
                           Range column_share, const Weight& to) {
  parts_.push_back({.source = {std::move(name), rows, columns},
                    .slice = {row_share.begin, row_share.size(), column_share.begin, column_share.size()},
                    .to = to});
}

void RankWeights::add_vector(std::string name, std::int64_t columns, Range share, const Tensor& to) {
  add_part(std::move(name), 1, columns, all_of(1), share, to);
}

void RankWeights::add_embedding_and_projection() {
  const bool first = place_.stage == 0, last = place_.stage == layout_.stages() - 1;
  const std::int64_t hidden = config_.hidden, vocabulary = config_.vocabulary;
  const Range share = vocabulary_range(config_, layout_.shards(), place_.shard);
  const bool tied_here = config_.tied_embeddings && first && last;
  if (first) {
    embedding = tied_here ? allocate_matrix("embedding", precision_.vocabulary(),
                                            {share.begin, share.size(), vocabulary - share.end}, hidden)
                          : device_.arena().allocate("embedding", MemoryUse::weights, precision_.vocabulary(), vocabulary,
                                                     hidden);
    add_part("model.embed_tokens.weight", vocabulary, hidden, all_of(vocabulary), all_of(hidden), embedding);
  }
  if (!last) return;
  final_norm = allocate_vector("final norm", hidden);
  add_vector("model.norm.weight", hidden, all_of(hidden), final_norm);
  if (tied_here) {
    projection = embedding.row_range(share.begin, share.size());
    return;
  }
  projection = allocate_matrix("vocabulary projection", precision_.vocabulary(), {share.size()}, hidden);
  add_part(config_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight", vocabulary, hidden, share,
           all_of(hidden), projection);
}

void RankWeights::add_layer(std::int64_t layer) {
  const std::int64_t hidden = config_.hidden;
  LayerWeights& w = layers.emplace_back();
  w.input_norm = allocate_vector("input norm", hidden);
  add_vector(name_of(layer, "input_layernorm.weight"), hidden, all_of(hidden), w.input_norm);
  add_attention(layer, w);
  w.post_norm = allocate_vector("post-attention norm", hidden);
  add_vector(name_of(layer, "post_attention_layernorm.weight"), hidden, all_of(hidden), w.post_norm);
  add_mlp(layer, w);
}

void RankWeights::add_attention(std::int64_t layer, LayerWeights& w) {
  const LayerShare share = layer_share(config_, layout_.shards(), place_.shard);
  const std::int64_t hidden = config_.hidden;
  const Range q = times(share.heads, config_.head_dim), kv = times(share.kv_heads, config_.head_dim);
  const std::int64_t all_q = config_.heads * config_.head_dim, all_kv = config_.kv_heads * config_.head_dim;
  const std::int64_t width = q.size() + 2 * kv.size();
  w.qkv = allocate_projection("query, key and value projections", {q.size(), kv.size(), kv.size()}, all_of(hidden));
  w.q = w.qkv.row_range(0, q.size());
  w.k = w.qkv.row_range(q.size(), kv.size());
  w.v = w.qkv.row_range(q.size() + kv.size(), kv.size());
  w.attention_out = allocate_projection("attention output projection", {hidden}, q);
  add_part(name_of(layer, "self_attn.q_proj.weight"), all_q, hidden, q, all_of(hidden), w.q);
  add_part(name_of(layer, "self_attn.k_proj.weight"), all_kv, hidden, kv, all_of(hidden), w.k);
  add_part(name_of(layer, "self_attn.v_proj.weight"), all_kv, hidden, kv, all_of(hidden), w.v);
  add_part(name_of(layer, "self_attn.o_proj.weight"), hidden, all_q, all_of(hidden), q, w.attention_out);
  if (config_.qkv_bias) {
    w.qkv_bias = allocate_vector("query, key and value biases", width);
    w.q_bias = w.qkv_bias.column_range(0, q.size());
    w.k_bias = w.qkv_bias.column_range(q.size(), kv.size());
    w.v_bias = w.qkv_bias.column_range(q.size() + kv.size(), kv.size());
    add_vector(name_of(layer, "self_attn.q_proj.bias"), all_q, q, w.q_bias);
    add_vector(name_of(layer, "self_attn.k_proj.bias"), all_kv, kv, w.k_bias);
    add_vector(name_of(layer, "self_attn.v_proj.bias"), all_kv, kv, w.v_bias);
  }
  if (config_.attention_out_bias && place_.shard == 0) {
    w.attention_out_bias = allocate_vector("attention output bias", hidden);
    add_vector(name_of(layer, "self_attn.o_proj.bias"), hidden, all_of(hidden), w.attention_out_bias);
  }
  if (config_.qk_norm) {
    w.q_norm = allocate_vector("query norm", config_.head_dim);
    w.k_norm = allocate_vector("key norm", config_.head_dim);
    add_vector(name_of(layer, "self_attn.q_norm.weight"), config_.head_dim, all_of(config_.head_dim), w.q_norm);
    add_vector(name_of(layer, "self_attn.k_norm.weight"), config_.head_dim, all_of(config_.head_dim), w.k_norm);
  }
}

void RankWeights::add_mlp(std::int64_t layer, LayerWeights& w) {
  const Range share = layer_share(config_, layout_.shards(), place_.shard).intermediate;
  const std::int64_t hidden = config_.hidden, intermediate = config_.intermediate, width = share.size();
  w.gate_up = allocate_projection("gate and up projections", {width, width}, all_of(hidden));
  w.gate = w.gate_up.row_range(0, width);
  w.up = w.gate_up.row_range(width, width);
  w.down = allocate_projection("down projection", {hidden}, share);
  add_part(name_of(layer, "mlp.gate_proj.weight"), intermediate, hidden, share, all_of(hidden), w.gate);
  add_part(name_of(layer, "mlp.up_proj.weight"), intermediate, hidden, share, all_of(hidden), w.up);
  add_part(name_of(layer, "mlp.down_proj.weight"), hidden, intermediate, all_of(hidden), share, w.down);
  if (!config_.mlp_bias) return;
  w.gate_up_bias = allocate_vector("gate and up biases", 2 * width);
  w.gate_bias = w.gate_up_bias.column_range(0, width);
  w.up_bias = w.gate_up_bias.column_range(width, width);
  add_vector(name_of(layer, "mlp.gate_proj.bias"), intermediate, share, w.gate_bias);
  add_vector(name_of(layer, "mlp.up_proj.bias"), intermediate, share, w.up_bias);
  if (place_.shard != 0) return;
  w.down_bias = allocate_vector("down bias", hidden);
  add_vector(name_of(layer, "mlp.down_proj.bias"), hidden, all_of(hidden), w.down_bias);
}

void RankWeights::load(const WeightSource& source) {
  const std::vector<float> frequencies = batchscope::inverse_frequencies(config_, config_.max_positions);
  const auto count = std::ssize(frequencies);
  device_.upload(HostMatrix{reinterpret_cast<const std::byte*>(frequencies.data()), DType::f32, 1, count, count},
                 inverse_frequencies);
  std::vector<std::byte> scratch;
  for (const Part& part : parts_) load_part(source, part, scratch);
}

// A few rows at a time: what a source has to convert stays in the cache until it is uploaded.
void RankWeights::load_part(const WeightSource& source, const Part& part, std::vector<std::byte>& scratch) {
  if (const auto drawn = source.drawn(part.source))
    if (device_.draw({drawn->key, drawn->mean, part.slice.row_begin, part.slice.column_begin, part.source.columns},
                     part.to))
      return;
  constexpr std::int64_t elements = 1 << 17;  // half a MiB of f32
  const std::int64_t unit = std::max<std::int64_t>(part.to.values.panel, 1);
  const std::int64_t step = unit * std::max<std::int64_t>(1, elements / std::max<std::int64_t>(unit * part.to.columns(), 1));
  for (std::int64_t begin = 0; begin < part.to.rows(); begin += step) {
    Slice slice = part.slice;
    slice.row_begin += begin;
    slice.row_count = std::min(step, part.to.rows() - begin);
    const Weight to = part.to.row_range(begin, slice.row_count);
    if (to.is_scaled())
      load_fp8(source, part.source, slice, to, scratch);
    else
      device_.upload(source.read(part.source, slice, scratch), to.values);
  }
}

// As the checkpoint has it, or else with a scale a row, for which whole rows are read: every layout has the same values.
void RankWeights::load_fp8(const WeightSource& source, const WeightShape& tensor, const Slice& slice, const Weight& to,
                           std::vector<std::byte>& scratch) {
  if (const auto kept = source.read_fp8(tensor, slice, to.scale_columns)) {
    device_.upload(kept->values, to.values);
    device_.upload({reinterpret_cast<const std::byte*>(kept->scales.data()), DType::f32, to.scales.rows, to.scales.columns,
                    to.scales.columns},
                   to.scales);
    return;
  }
  Slice whole = slice;
  whole.column_begin = 0;
  whole.column_count = tensor.columns;
  device_.upload_as_fp8(source.read(tensor, whole, scratch), slice.column_begin, to);
}

}  // namespace batchscope
