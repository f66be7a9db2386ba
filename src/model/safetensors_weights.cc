// Weights of a folder of safetensors files, mapped and handed out slice by slice (open_safetensors of model/weights.h).
#include <spdlog/spdlog.h>

#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/safetensors.h"
#include "model/weight_checks.h"
#include "model/weight_names.h"
#include "model/weights.h"

namespace batchscope {
namespace {

// One file, and what is in it.
struct Shard {
  explicit Shard(const std::filesystem::path& path)
      : file(path), tensors(parse_safetensors(file.bytes(), path.string())) {}
  MappedFile file;
  std::map<std::string, SafetensorsEntry> tensors;
};

DType dtype_of(const SafetensorsEntry& entry, const std::string& where) {
  if (entry.dtype == "F32") return DType::f32;
  if (entry.dtype == "F16") return DType::f16;
  if (entry.dtype == "BF16") return DType::bf16;
  throw InputError("{}: not supported: {}; supported: F32, F16, BF16", where, entry.dtype);
}

std::string shown(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

class SafetensorsWeights : public WeightSource {
 public:
  SafetensorsWeights(const std::filesystem::path& folder, const ModelConfig& config) {
    open_shards(folder);
    for (const WeightShape& shape : weight_shapes(config)) add(shape);
    for (const auto& [name, shard] : shards_)
      for (const auto& [tensor, entry] : shard->tensors) check_extra(*shard, tensor, entry, config);
    if (config.tied_embeddings) check_tied();
    if (!unknown_.empty()) spdlog::warn("{}: tensors that the model does not use: {}", folder.string(), unknown_);
  }

  HostMatrix read(const WeightShape& tensor, const Slice& slice, std::vector<std::byte>& /*scratch*/) const override {
    const auto found = located_.find(tensor.name);
    CHECK_THAT(found != located_.end(), "the model has no tensor {}", tensor.name);
    const Located& at = found->second;
    check_slice(at.shape, slice);
    const std::int64_t first = slice.row_begin * at.shape.columns + slice.column_begin;
    const HostMatrix view{at.data + first * size_of(at.dtype), at.dtype, slice.row_count, slice.column_count,
                          at.shape.columns};
    check_finite(view, slice, at.shard->file.path().string(), at.shape.name);
    return view;
  }

 private:
  struct Located {
    const Shard* shard;
    const std::byte* data;
    DType dtype;
    WeightShape shape;
  };

  void open_shards(const std::filesystem::path& folder);
  void add(const WeightShape& shape);
  void check_tied() const;
  void check_extra(const Shard& shard, const std::string& tensor, const SafetensorsEntry& entry,
                   const ModelConfig& config);

  std::map<std::string, std::unique_ptr<Shard>> shards_;  // by file name
  std::map<std::string, const Shard*> where_;             // tensor name -> its shard
  std::map<std::string, Located> located_;                // the model's tensors
  std::string index_;                                     // what says where tensors are: a file's path
  std::string unknown_;
};

void SafetensorsWeights::open_shards(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto single = folder / "model.safetensors";
  const auto index = folder / "model.safetensors.index.json";
  if (std::filesystem::exists(single, ignored)) {
    index_ = single.string();
    const auto& shard = shards_[single.filename().string()] = std::make_unique<Shard>(single);
    for (const auto& [tensor, entry] : shard->tensors) where_[tensor] = shard.get();
    return;
  }
  if (!std::filesystem::exists(index, ignored))
    throw InputError(
        "{}: no model.safetensors and no model.safetensors.index.json in it; other weight files are not "
        "supported yet, convert them to safetensors",
        folder.string());
  index_ = index.string();
  for (const auto& [tensor, file] : parse_safetensors_index(read_file(index), index.string())) {
    auto& shard = shards_[file];
    if (!shard) shard = std::make_unique<Shard>(folder / file);
    if (!shard->tensors.contains(tensor))
      throw InputError("{}: tensor {} is not in {}; the index is not of these files", index.string(), quote(tensor),
                       quote(file));
    where_[tensor] = shard.get();
  }
}

void SafetensorsWeights::add(const WeightShape& shape) {
  const auto found = where_.find(shape.name);
  if (found == where_.end())
    throw InputError("{}: tensor {} is missing; the file does not fit config.json", index_, shape.name);
  const Shard& shard = *found->second;
  const SafetensorsEntry& entry = shard.tensors.at(shape.name);
  const std::string where = fmt::format("{}: tensor {}", shard.file.path().string(), shape.name);
  const auto expected =
      shape.rows == 1 && entry.shape.size() == 1 ? std::vector{shape.columns} : std::vector{shape.rows, shape.columns};
  if (entry.shape != expected)
    throw InputError("{} has shape {}, config.json makes it {}; they do not belong together", where, shown(entry.shape),
                     shown(expected));
  located_.emplace(shape.name,
                   Located{&shard, shard.file.bytes().data() + entry.offset, dtype_of(entry, where), shape});
}

// What config.json ties may be there twice, if it is the same: transformers does not tie what differs.
void SafetensorsWeights::check_tied() const {
  const auto projection = where_.find("lm_head.weight");
  if (projection == where_.end()) return;
  const SafetensorsEntry& entry = projection->second->tensors.at("lm_head.weight");
  const Located& embedding = located_.at("model.embed_tokens.weight");
  const std::string where = fmt::format("{}: tensor lm_head.weight", projection->second->file.path().string());
  const auto bytes =
      static_cast<std::size_t>(embedding.shape.rows * embedding.shape.columns * size_of(embedding.dtype));
  if (dtype_of(entry, where) != embedding.dtype ||
      std::memcmp(projection->second->file.bytes().data() + entry.offset, embedding.data, bytes) != 0)
    throw InputError(
        "{} is not model.embed_tokens.weight, though config.json ties them; if it is the model's, set "
        "tie_word_embeddings to false",
        where);
}

void SafetensorsWeights::check_extra(const Shard& shard, const std::string& tensor, const SafetensorsEntry& entry,
                                     const ModelConfig& config) {
  if (located_.contains(tensor)) return;
  const std::string where = fmt::format("{}: tensor {}", shard.file.path().string(), quote(tensor));
  if (tensor == "lm_head.weight" && entry.shape != std::vector{config.vocabulary, config.hidden})
    throw InputError("{} has shape {}, config.json makes it [{}, {}]; they do not belong together", where,
                     shown(entry.shape), config.vocabulary, config.hidden);
  const ExtraTensor kind = classify_extra_tensor(tensor, config);
  if (kind == ExtraTensor::changes_numbers)
    throw InputError("{} is not part of a {} as config.json describes it; such models are not supported yet", where,
                     config.architecture);
  if (kind == ExtraTensor::unknown && unknown_.size() < 200) unknown_ += (unknown_.empty() ? "" : ", ") + quote(tensor);
}

}  // namespace

std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& folder, const ModelConfig& config) {
  return std::make_unique<SafetensorsWeights>(folder, config);
}

}  // namespace batchscope
