// Weights of a GGUF checkpoint, de-quantised slice by slice (gguf_weights of model/gguf_checkpoint.h).
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/input_warnings.h"
#include "base/json.h"
#include "model/gguf_blocks.h"
#include "model/gguf_checkpoint.h"
#include "model/weight_checks.h"

namespace batchscope {
namespace {

using Name = std::pair<std::string_view, std::string_view>;  // Hugging Face's, GGUF's
constexpr std::array global_names{Name{"model.embed_tokens.weight", "token_embd.weight"},
                                  Name{"model.norm.weight", "output_norm.weight"},
                                  Name{"lm_head.weight", "output.weight"}};
constexpr std::array layer_names{Name{"input_layernorm", "attn_norm"},    Name{"post_attention_layernorm", "ffn_norm"},
                                 Name{"self_attn.q_proj", "attn_q"},      Name{"self_attn.k_proj", "attn_k"},
                                 Name{"self_attn.v_proj", "attn_v"},      Name{"self_attn.o_proj", "attn_output"},
                                 Name{"self_attn.q_norm", "attn_q_norm"}, Name{"self_attn.k_norm", "attn_k_norm"},
                                 Name{"mlp.gate_proj", "ffn_gate"},       Name{"mlp.up_proj", "ffn_up"},
                                 Name{"mlp.down_proj", "ffn_down"}};

// "model.layers.3.self_attn.q_proj.bias" -> "blk.3.attn_q.bias"
std::string gguf_name(std::string_view name) {
  for (const auto& [huggingface, gguf] : global_names)
    if (name == huggingface) return std::string(gguf);
  constexpr std::string_view prefix = "model.layers.";
  CHECK_THAT(name.starts_with(prefix), "{} is a tensor of a layer", name);
  const std::size_t dot = name.find('.', prefix.size()), last = name.rfind('.');
  const std::string_view layer = name.substr(prefix.size(), dot - prefix.size());
  const std::string_view part = name.substr(dot + 1, last - dot - 1), kind = name.substr(last);
  for (const auto& [huggingface, gguf] : layer_names)
    if (part == huggingface) return fmt::format("blk.{}.{}{}", layer, gguf, kind);
  CHECK_THAT(false, "{} has a name in GGUF", name);
  return {};
}

class GgufWeights : public WeightSource {
 public:
  GgufWeights(std::unique_ptr<const GgufCheckpoint> checkpoint, const ModelConfig& config)
      : checkpoint_(std::move(checkpoint)) {
    std::set<std::string_view> used;
    if (!config.rope_scaling.divisors.empty()) used.insert("rope_freqs.weight");
    for (const WeightShape& shape : weight_shapes(config)) used.insert(add(shape, config));
    std::string unknown;
    for (const auto& [name, place] : checkpoint_->tensors()) {
      if (used.contains(name) || name.ends_with(".attn_rot_embd.weight")) continue;  // old ones; it follows from theta
      if (is_of_a_layer(name, config))
        throw InputError(
            "{}: tensor {} is not part of a {} as the metadata describes it; such models are not "
            "supported yet",
            place.file->origin(), quote(name), config.architecture);
      if (unknown.size() < 200) unknown += (unknown.empty() ? "" : ", ") + quote(name);
    }
    if (!unknown.empty())
      warn_of_input(
          fmt::format("{}: tensors that the model does not use: {}", checkpoint_->metadata().origin(), unknown));
  }

  HostMatrix read(const WeightShape& tensor, const Slice& slice, std::vector<std::byte>& scratch) const override {
    const auto found = located_.find(tensor.name);
    CHECK_THAT(found != located_.end(), "the model has no tensor {}", tensor.name);
    const Located& at = found->second;
    check_slice(at.shape, slice);
    const HostMatrix view = at.plain && at.pair_rows == 0 ? view_of(at, slice) : copy_of(at, slice, scratch);
    check_finite(view, slice, at.file->origin(), tensor.name);
    return view;
  }

 private:
  // Of one that is computed: it would change what that gives.
  static bool is_of_a_layer(std::string_view name, const ModelConfig& config) {
    constexpr std::string_view layers = "blk.";
    if (name.starts_with("rope_")) return true;  // divides the frequencies of all layers
    if (!name.starts_with(layers)) return false;
    std::int64_t layer = 0;
    name.remove_prefix(layers.size());
    const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
    return error != std::errc() || layer < config.layers;
  }

  struct Located {
    const Gguf* file;
    const std::byte* data;
    const GgufTensorType* type;
    GgufFormat format;
    std::optional<DType> plain;  // nothing: quantised
    std::int64_t pair_rows;      // rows of a head, whose halves lie in the file as pairs; 0: as in Hugging Face's form
    WeightShape shape;
  };

  std::string_view add(const WeightShape& shape, const ModelConfig& config);

  static HostMatrix view_of(const Located& at, const Slice& slice) {
    const std::int64_t first = slice.row_begin * at.shape.columns + slice.column_begin;
    return {at.data + first * size_of(*at.plain), *at.plain, slice.row_count, slice.column_count, at.shape.columns};
  }

  // In f32, the rows in Hugging Face's order.
  static HostMatrix copy_of(const Located& at, const Slice& slice, std::vector<std::byte>& scratch) {
    const bool bias = at.shape.rows == 1 && at.pair_rows != 0;  // its columns stand for rows
    scratch.resize(static_cast<std::size_t>(slice.row_count * slice.column_count) * sizeof(float));
    auto* out = reinterpret_cast<float*>(scratch.data());  // a vector's storage is aligned for every plain type
    if (bias)
      copy_bias(at, slice, out);
    else
      for (std::int64_t row = 0; row < slice.row_count; ++row)
        copy_row(at, in_file(at, slice.row_begin + row), slice.column_begin, slice.column_count,
                 out + row * slice.column_count);
    return {scratch.data(), DType::f32, slice.row_count, slice.column_count, slice.column_count};
  }

  // Of row 2i + j of a head in the file, Hugging Face's form has j * rows / 2 + i: rotation turns i and i + rows / 2
  // there, neighbours here.
  static std::int64_t in_file(const Located& at, std::int64_t row) {
    if (at.pair_rows == 0) return row;
    const std::int64_t head = row / at.pair_rows, within = row % at.pair_rows, half = at.pair_rows / 2;
    return head * at.pair_rows + within % half * 2 + within / half;
  }

  static void copy_bias(const Located& at, const Slice& slice, float* out) {
    if (slice.row_count == 0) return;
    std::vector<float> all(static_cast<std::size_t>(at.shape.columns));
    copy_row(at, 0, 0, at.shape.columns, all.data());
    for (std::int64_t i = 0; i < slice.column_count; ++i)
      out[i] = all[static_cast<std::size_t>(in_file(at, slice.column_begin + i))];
  }

  // Columns [begin, begin + count) of a row of the file. Blocks that stick out of them are decoded aside.
  static void copy_row(const Located& at, std::int64_t row, std::int64_t begin, std::int64_t count, float* out) {
    const std::int64_t elements = at.type->block_elements, bytes = at.type->block_bytes;
    const std::byte* blocks = at.data + row * (at.shape.columns / elements) * bytes;
    const std::int64_t end = begin + count;
    while (begin < end) {
      const std::int64_t block = begin / elements, skipped = begin % elements;
      const std::int64_t whole = skipped == 0 ? (end - begin) / elements : 0;
      std::int64_t copied = whole * elements;
      if (whole > 0) {
        dequantise(at.format, blocks + block * bytes, whole, out);
      } else {
        std::array<float, largest_gguf_block> aside;
        dequantise(at.format, blocks + block * bytes, 1, aside.data());
        copied = std::min(elements - skipped, end - begin);
        std::copy_n(aside.begin() + skipped, copied, out);
      }
      begin += copied;
      out += copied;
    }
  }

  std::unique_ptr<const GgufCheckpoint> checkpoint_;
  std::map<std::string, Located> located_;  // by Hugging Face's names
};

// The name that the file has for it.
std::string_view GgufWeights::add(const WeightShape& shape, const ModelConfig& config) {
  const std::string name = gguf_name(shape.name);
  const auto found = checkpoint_->tensors().find(name);
  if (found == checkpoint_->tensors().end())
    throw InputError("{}: tensor {} is missing; the file does not fit its metadata", checkpoint_->metadata().origin(),
                     name);
  const auto [file, tensor] = found->second;
  const std::string where = fmt::format("{}: tensor {}", file->origin(), name);
  const auto expected = shape.rows == 1 && tensor->shape.size() == 1 ? std::vector{shape.columns}
                                                                     : std::vector{shape.columns, shape.rows};
  if (tensor->shape != expected)
    throw InputError("{} has shape [{}], the metadata makes it [{}]; they do not belong together", where,
                     fmt::join(tensor->shape, ", "), fmt::join(expected, ", "));
  const auto format = format_of(*tensor->type);
  if (!format)
    throw InputError("{}: not supported: {}; supported: {}", where, tensor->type->name, supported_gguf_types());
  // Conversions to the architecture llama reorder queries and keys; those to qwen2 and qwen3 do not.
  const bool reordered = config.architecture == "LlamaForCausalLM" || config.architecture == "MistralForCausalLM";
  const bool query_or_key = name.find(".attn_q.") != std::string::npos || name.find(".attn_k.") != std::string::npos;
  located_.emplace(shape.name, Located{.file = file,
                                       .data = file->bytes(*tensor).data(),
                                       .type = tensor->type,
                                       .format = *format,
                                       .plain = plain_dtype(*format),
                                       .pair_rows = reordered && query_or_key ? config.head_dim : 0,
                                       .shape = shape});
  return found->first;
}

}  // namespace

std::unique_ptr<WeightSource> gguf_weights(std::unique_ptr<const GgufCheckpoint> checkpoint,
                                           const ModelConfig& config) {
  return std::make_unique<GgufWeights>(std::move(checkpoint), config);
}

}  // namespace batchscope
