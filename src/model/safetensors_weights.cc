// Weights of a folder of safetensors files, mapped and handed out slice by slice (open_safetensors of model/weights.h).
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/input_warnings.h"
#include "base/json.h"
#include "model/safetensors.h"
#include "model/weight_checks.h"
#include "model/weight_names.h"
#include "model/weights.h"
#include "tensor/host_rows.h"

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
  if (entry.dtype == "F8_E4M3") return DType::fp8;
  throw InputError("{}: not supported: {}; supported: F32, F16, BF16, F8_E4M3 with scales", where, entry.dtype);
}

bool has_shards(const std::filesystem::path& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("model-") && name.ends_with(".safetensors")) return true;
  }
  return false;
}

std::string shown(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

class SafetensorsWeights : public WeightSource {
 public:
  SafetensorsWeights(const std::filesystem::path& folder, const ModelConfig& config) {
    open_shards(folder);
    name_tensors(folder);
    if (config.tied_embeddings && !where_.contains(embedding) && where_.contains(projection))
      where_[embedding] = where_.at(projection);  // one table, by its other name
    for (const WeightShape& shape : weight_shapes(config)) add(shape, config.fp8_block);
    for (const auto& [name, place] : where_) check_extra(place, name, config);
    if (config.tied_embeddings) check_tied();
    if (!unknown_.empty())
      warn_of_input(fmt::format("{}: tensors that the model does not use: {}", folder.string(), unknown_));
  }

  HostMatrix read(const WeightShape& tensor, const Slice& slice, std::vector<std::byte>& scratch) const override {
    const Located& at = located(tensor);
    const HostMatrix kept = view(at, slice);
    if (at.dtype != DType::fp8) return kept;
    scratch.resize(static_cast<std::size_t>(slice.row_count * slice.column_count) * sizeof(float));
    auto* out = reinterpret_cast<float*>(scratch.data());  // a vector's storage is aligned for every plain type
    for (std::int64_t row = 0; row < kept.rows; ++row) {
      const auto* values = reinterpret_cast<const Float8*>(kept.data + row * kept.stride);
      for (std::int64_t column = 0; column < kept.columns; ++column)
        *out++ = static_cast<float>(values[column]) *
                 at.scales.of(slice.row_begin + row, slice.column_begin + column);
    }
    return {scratch.data(), DType::f32, kept.rows, kept.columns, kept.columns};
  }

  std::optional<Fp8Slice> read_fp8(const WeightShape& tensor, const Slice& slice,
                                   std::int64_t scale_columns) const override {
    const Located& at = located(tensor);
    if (at.dtype != DType::fp8) return std::nullopt;
    Fp8Slice kept{.values = view(at, slice), .scales = {}};
    for (std::int64_t row = 0; row < slice.row_count; ++row)
      for (std::int64_t column = 0; column < slice.column_count; column += scale_columns)
        kept.scales.push_back(at.scales.of(slice.row_begin + row, slice.column_begin + column));
    return kept;
  }

 private:
  static constexpr const char* embedding = "model.embed_tokens.weight";
  static constexpr const char* projection = "lm_head.weight";
  struct Place {
    const Shard* shard = nullptr;
    const std::string* name = nullptr;  // there
    const SafetensorsEntry& entry() const { return shard->tensors.at(*name); }
    const std::byte* data() const { return shard->file.bytes().data() + entry().offset; }
    std::string text() const { return fmt::format("{}: tensor {}", shard->file.path().string(), quote(*name)); }
  };
  struct Scales {  // of a tensor in FP8, or nothing
    std::int64_t block_rows = 1, block_columns = 1, a_row = 0;  // a_row: blocks that lie beside each other
    std::vector<float> values;                                  // a block
    float of(std::int64_t row, std::int64_t column) const {
      return values[static_cast<std::size_t>(row / block_rows * a_row + column / block_columns)];
    }
  };
  struct Located {
    const Shard* shard;
    const std::byte* data;
    DType dtype;
    WeightShape shape;
    Scales scales;
  };
  const Located& located(const WeightShape& tensor) const {
    const auto found = located_.find(tensor.name);
    CHECK_THAT(found != located_.end(), "the model has no tensor {}", tensor.name);
    return found->second;
  }
  static HostMatrix view(const Located& at, const Slice& slice) {
    check_slice(at.shape, slice);
    const std::int64_t first = slice.row_begin * at.shape.columns + slice.column_begin;
    const HostMatrix view{at.data + first * size_of(at.dtype), at.dtype, slice.row_count, slice.column_count,
                          at.shape.columns};
    check_finite(view, slice, at.shard->file.path().string(), at.shape.name);
    return view;
  }

  void open_shards(const std::filesystem::path& folder);
  void name_tensors(const std::filesystem::path& folder);
  std::string missing_prefix(const std::filesystem::path& folder) const;
  void place(const std::string& name, const Place& place);
  void add(const WeightShape& shape, const ModelConfig::Fp8Block& block);
  Scales scales_of(const WeightShape& shape, const ModelConfig::Fp8Block& block, const std::string& where);
  void check_tied() const;
  void check_extra(const Place& place, const std::string& name, const ModelConfig& config);

  std::map<std::string, std::unique_ptr<Shard>> shards_;  // by file name, as transformers reads them
  std::map<std::string, std::string> listed_;             // by the index: tensor name -> file name
  std::map<std::string, Place> where_;                    // by Hugging Face's names of a whole model
  std::map<std::string, Located> located_;                // the model's tensors
  std::set<std::string> scales_;                          // names of tensors that are scales of those
  std::string index_;                                     // what says where tensors are: a file's path
  std::string unknown_;
};

void SafetensorsWeights::open_shards(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto single = folder / "model.safetensors";
  const auto index = folder / "model.safetensors.index.json";
  if (std::filesystem::exists(single, ignored)) {
    index_ = single.string();
    shards_[single.filename().string()] = std::make_unique<Shard>(single);
    return;
  }
  const bool has_index = std::filesystem::exists(index, ignored);
  if (!has_index && has_shards(folder))
    throw InputError("{}: its weights are in several files without model.safetensors.index.json; download that, too",
                     folder.string());
  if (!has_index)
    throw InputError(
        "{}: no model.safetensors and no model.safetensors.index.json in it; other weight files are not "
        "supported yet, convert them to safetensors",
        folder.string());
  index_ = index.string();
  listed_ = parse_safetensors_index(read_file(index), index.string());
  for (const auto& [tensor, file] : listed_) {
    auto& shard = shards_[file];
    if (shard) continue;
    if (!std::filesystem::exists(folder / file, ignored))
      throw InputError("{}: it names the file {}, which is not there; download that, too", index_, quote(file));
    shard = std::make_unique<Shard>(folder / file);
  }
}

// Of a model without its head ("embed_tokens.weight") the names begin with what a whole one has before it. InputError
// for what other programs put there.
std::string SafetensorsWeights::missing_prefix(const std::filesystem::path& folder) const {
  constexpr std::string_view whole = embedding, inner = "embed_tokens.weight";
  for (const auto& [file, shard] : shards_)
    for (const auto& [tensor, entry] : shard->tensors) {
      if (tensor == whole) return "";
      if (tensor == inner) return "model.";
      if (!tensor.ends_with(inner) || tensor == whole) continue;
      const std::string prefix = tensor.substr(0, tensor.size() - (tensor.ends_with(whole) ? whole : inner).size());
      throw InputError(
          "{}: the names of its tensors begin with {} ({}); save the model without that wrapper, or take it "
          "off the names",
          folder.string(), quote(prefix),
          prefix.starts_with("_orig_mod.") ? "torch.compile's"
          : prefix.starts_with("module.")  ? "DataParallel's"
                                           : "another program's or a larger model's");
    }
  return "";
}

// Tensors are where they are, whatever the index says.
void SafetensorsWeights::name_tensors(const std::filesystem::path& folder) {
  const std::string prefix = missing_prefix(folder);
  for (const auto& [file, shard] : shards_)
    for (const auto& [tensor, entry] : shard->tensors)
      place(tensor.starts_with("lm_head.") ? tensor : prefix + tensor, {shard.get(), &tensor});
  std::size_t lacking = 0;
  for (const auto& [tensor, file] : listed_) lacking += shards_.at(file)->tensors.contains(tensor) ? 0 : 1;
  if (lacking > 0)
    warn_of_input(
        fmt::format("{}: {} of its tensors are not in the files that it names for them; what the files have "
                    "counts",
                    index_, lacking));
}

// Of several files that have a tensor the last one's counts, as in transformers.
void SafetensorsWeights::place(const std::string& name, const Place& place) {
  const auto [known, is_new] = where_.emplace(name, place);
  if (is_new) return;
  const Place before = std::exchange(known->second, place);
  const SafetensorsEntry &a = before.entry(), &b = place.entry();
  const bool same = a.dtype == b.dtype && a.shape == b.shape && std::memcmp(before.data(), place.data(), a.bytes) == 0;
  if (!same)
    warn_of_input(fmt::format("{} has other values in {}, too; those of {} are used, as transformers does",
                              before.text(), place.shard->file.path().filename().string(),
                              place.shard->file.path().filename().string()));
}

void SafetensorsWeights::add(const WeightShape& shape, const ModelConfig::Fp8Block& block) {
  const auto found = where_.find(shape.name);
  if (found == where_.end())
    throw InputError("{}: tensor {} is missing; the file does not fit config.json", index_, shape.name);
  const Shard& shard = *found->second.shard;
  const SafetensorsEntry& entry = found->second.entry();
  const std::string where = found->second.text();
  const auto expected =
      shape.rows == 1 && entry.shape.size() == 1 ? std::vector{shape.columns} : std::vector{shape.rows, shape.columns};
  if (entry.shape != expected)
    throw InputError("{} has shape {}, config.json makes it {}; they do not belong together", where, shown(entry.shape),
                     shown(expected));
  Located at{.shard = &shard, .data = found->second.data(), .dtype = dtype_of(entry, where), .shape = shape, .scales = {}};
  if (at.dtype == DType::fp8) at.scales = scales_of(shape, block, where);
  located_.emplace(shape.name, std::move(at));
}

// Of "NAME_scale" or, as DeepSeek calls the same, "NAME_scale_inv"; its shape says what shares one.
SafetensorsWeights::Scales SafetensorsWeights::scales_of(const WeightShape& shape, const ModelConfig::Fp8Block& block,
                                                         const std::string& where) {
  auto found = where_.find(shape.name + "_scale");
  if (found == where_.end()) found = where_.find(shape.name + "_scale_inv");
  if (found == where_.end())
    throw InputError("{} is in FP8 without a tensor {}_scale or {}_scale_inv; it cannot be known what its values mean",
                     where, shape.name, shape.name);
  scales_.insert(found->first);
  const SafetensorsEntry& entry = found->second.entry();
  const std::string scales_where = found->second.text();
  const DType dtype = dtype_of(entry, scales_where);
  if (dtype == DType::fp8) throw InputError("{}: not supported: F8_E4M3; scales are F32, F16 or BF16", scales_where);
  const auto blocks = [](std::int64_t size, std::int64_t of) { return (size + of - 1) / of; };
  const auto count = static_cast<std::int64_t>(entry.bytes) / size_of(dtype);
  Scales scales;
  if (count == 1 && entry.shape.size() <= 2) {
    scales = {.block_rows = shape.rows, .block_columns = shape.columns, .a_row = 1, .values = {}};
  } else if (entry.shape == std::vector{shape.rows} || entry.shape == std::vector<std::int64_t>{shape.rows, 1}) {
    scales = {.block_rows = 1, .block_columns = shape.columns, .a_row = 1, .values = {}};
  } else if (block.rows > 0 &&
             entry.shape == std::vector{blocks(shape.rows, block.rows), blocks(shape.columns, block.columns)}) {
    scales = {.block_rows = block.rows, .block_columns = block.columns, .a_row = entry.shape[1], .values = {}};
  } else {
    throw InputError("{} has shape {}; expected a scale for the whole of {}, for each of its rows{}", scales_where,
                     shown(entry.shape), shown({shape.rows, shape.columns}),
                     block.rows > 0 ? fmt::format(", or for blocks of {} x {}", block.rows, block.columns)
                                    : ", or for blocks, whose size config.json would have to state");
  }
  const HostMatrix kept{found->second.data(), dtype, 1, count, count};
  check_finite(kept, {0, 1, 0, count}, found->second.shard->file.path().string(), found->first);
  scales.values.resize(static_cast<std::size_t>(count));
  read_row(kept, 0, scales.values.data());
  return scales;
}

// What config.json ties may be there twice, if it is the same: transformers does not tie what differs.
void SafetensorsWeights::check_tied() const {
  const auto head = where_.find(projection);
  if (head == where_.end()) return;
  const Located& table = located_.at(embedding);
  const std::string where = head->second.text();
  const auto bytes = static_cast<std::size_t>(table.shape.rows * table.shape.columns * size_of(table.dtype));
  if (dtype_of(head->second.entry(), where) != table.dtype || std::memcmp(head->second.data(), table.data, bytes) != 0)
    throw InputError(
        "{} is not model.embed_tokens.weight, though config.json ties them; if it is the model's, set "
        "tie_word_embeddings to false",
        where);
}

void SafetensorsWeights::check_extra(const Place& place, const std::string& tensor, const ModelConfig& config) {
  if (located_.contains(tensor) || scales_.contains(tensor)) return;
  const SafetensorsEntry& entry = place.entry();
  const std::string where = place.text();
  if (tensor == projection && entry.shape != std::vector{config.vocabulary, config.hidden})
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
