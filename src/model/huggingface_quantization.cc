// Two layouts of FP8: "fp8" (DeepSeek, Qwen: blocks; others: a scale a tensor) and compressed-tensors'
// "float-quantized".
#include "model/huggingface_quantization.h"

#include <string>

#include "base/error.h"

namespace batchscope {
namespace {

using nlohmann::json;
using Fp8Block = ModelConfig::Fp8Block;

constexpr std::string_view supported_fp8 =
    "supported: FP8 (E4M3) as quant_method fp8, fbgemm_fp8 or compressed-tensors with "
    "format float-quantized";

[[noreturn]] void refuse(const JsonObject& object, std::string_view key, std::string_view is) {
  throw InputError("{}: not supported yet: {}; {}", object.name(key), is, supported_fp8);
}

void expect_text(const JsonObject& object, std::string_view key, std::string_view expected, std::string_view fallback) {
  const std::string is = object.text(key, std::string(fallback));
  if (is != expected) refuse(object, key, quote(is));
}

// [rows, columns]; nothing where it is absent.
Fp8Block read_block(const JsonObject& object, std::string_view key) {
  const json* list = object.find(key);
  if (list == nullptr) return {};
  constexpr std::int64_t largest = 1 << 20;
  const auto is_size = [](const json& size) {
    return size.is_number_unsigned() && size.get<std::uint64_t>() >= 1 && size.get<std::uint64_t>() <= largest;
  };
  if (!list->is_array() || list->size() != 2 || !is_size((*list)[0]) || !is_size((*list)[1]))
    object.refuse(key, "two whole numbers from 1 to 1048576, a block's rows and columns");
  return {(*list)[0].get<std::int64_t>(), (*list)[1].get<std::int64_t>()};
}

Fp8Block read_group(const JsonObject& group, const std::string& format) {
  expect_text(group, "format", "float-quantized", format);
  const JsonObject weights = group.object("weights");
  if (weights.integer("num_bits", 1, 64) != 8)
    refuse(weights, "num_bits", std::to_string(weights.integer("num_bits", 1, 64)));
  expect_text(weights, "type", "float", "int");
  if (!weights.boolean("symmetric", true)) refuse(weights, "symmetric", "false");
  if (weights.boolean("dynamic", false)) refuse(weights, "dynamic", "true");
  const std::string strategy = weights.text("strategy", "tensor");
  if (strategy == "block") {
    const Fp8Block block = read_block(weights, "block_structure");
    if (block.rows == 0) weights.refuse("block_structure", "a block's rows and columns");
    return block;
  }
  if (strategy != "tensor" && strategy != "channel") refuse(weights, "strategy", quote(strategy));
  return {};
}

Fp8Block read_compressed_tensors(const JsonObject& quantization) {
  const std::string format = quantization.text("format", "");
  if (quantization.has("sparsity_config")) {
    const JsonObject sparsity = quantization.object("sparsity_config");
    if (!sparsity.value().empty()) expect_text(sparsity, "format", "dense", "dense");
  }
  const JsonObject groups = quantization.object("config_groups");
  if (groups.value().empty()) quantization.refuse("config_groups", "at least one group");
  Fp8Block block;
  bool is_first = true;
  for (const auto& [name, value] : groups.value().items()) {
    const Fp8Block each = read_group(groups.object(name), format);
    if (!is_first && (each.rows != block.rows || each.columns != block.columns))
      throw InputError("{}: not supported yet: groups whose scales are of different blocks; {}", groups.name(name),
                       supported_fp8);
    block = each;
    is_first = false;
  }
  return block;
}

}  // namespace

void read_quantization(const JsonObject& file, ModelConfig& config) {
  if (!file.has("quantization_config")) return;
  const JsonObject quantization = file.object("quantization_config");
  const std::string method = quantization.text("quant_method", "");
  if (method == "compressed-tensors") {
    config.fp8_block = read_compressed_tensors(quantization);
    return;
  }
  if (method == "fp8") {
    expect_text(quantization, "fmt", "e4m3", "e4m3");
    config.fp8_block = read_block(quantization, "weight_block_size");
    return;
  }
  if (method != "fbgemm_fp8")
    refuse(file, "quantization_config", method.empty() ? "a quantisation without quant_method" : quote(method));
}

}  // namespace batchscope
