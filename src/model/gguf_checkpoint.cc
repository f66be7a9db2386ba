// Opening of GGUF checkpoints and their parts (model/gguf_checkpoint.h).
#include "model/gguf_checkpoint.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/json.h"
#include "model/gguf_blocks.h"

namespace batchscope {
namespace {

constexpr std::int64_t most_parts = std::numeric_limits<std::uint16_t>::max();

std::string part_suffix(std::int64_t part, std::int64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", part, count);
}

}  // namespace

GgufCheckpoint::GgufCheckpoint(const std::filesystem::path& path) {
  files_.push_back(std::make_unique<Gguf>(path));
  add_tensors(metadata());
  if (const std::int64_t count = metadata().integer("split.count", 0, most_parts, 1); count > 1)
    open_parts(path, count);
}

GgufCheckpoint::GgufCheckpoint(std::span<const std::byte> file, std::string_view origin) {
  files_.push_back(std::make_unique<Gguf>(file, origin));
  if (metadata().integer("split.count", 0, most_parts, 1) > 1) metadata().refuse("split.count", "1 (one whole file)");
  add_tensors(metadata());
}

void GgufCheckpoint::open_parts(const std::filesystem::path& first, std::int64_t count) {
  const std::string name = first.filename().string(), suffix = part_suffix(1, count);
  if (metadata().integer("split.no", 0, count - 1) != 0 || !name.ends_with(suffix))
    throw InputError("{}: it is one of {} parts; name the first, whose name must end with {}", first.string(), count,
                     suffix);
  for (std::int64_t part = 2; part <= count; ++part) {
    const auto path = first.parent_path() / (name.substr(0, name.size() - suffix.size()) + part_suffix(part, count));
    const Gguf& file = *files_.emplace_back(std::make_unique<Gguf>(path));
    if (file.integer("split.count", 0, most_parts) != count || file.integer("split.no", 0, count - 1) != part - 1)
      throw InputError("{}: it is not part {} of {}; the parts do not belong together", path.string(), part, count);
    add_tensors(file);
  }
  const auto all = metadata().integer("split.tensors.count", 0, std::numeric_limits<std::int32_t>::max());
  if (all != std::ssize(tensors_))
    throw InputError("{}: its parts have {} tensors, not {}; they do not belong together", first.string(),
                     tensors_.size(), all);
}

void GgufCheckpoint::add_tensors(const Gguf& file) {
  for (const auto& [name, tensor] : file.tensors())
    if (!tensors_.emplace(name, Place{&file, &tensor}).second)
      throw InputError("{}: tensor {} is in another part, too; the parts do not belong together", file.origin(),
                       quote(name));
}

bool GgufCheckpoint::is_quantised() const {
  return std::any_of(tensors_.begin(), tensors_.end(), [](const auto& named) {
    const auto format = format_of(*named.second.tensor->type);
    return !format || !plain_dtype(*format);
  });
}

bool is_gguf_file(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  std::array<char, 4> first{};
  std::ifstream(path, std::ios::binary).read(first.data(), first.size());
  return std::string_view(first.data(), first.size()) == "GGUF";
}

ModelConfig read_gguf_config(const std::filesystem::path& path) {
  ModelConfig config = gguf_config(GgufCheckpoint(path));
  config.name = path.stem().string();
  return config;
}

std::unique_ptr<WeightSource> open_gguf(const std::filesystem::path& path, const ModelConfig& config) {
  return gguf_weights(std::make_unique<GgufCheckpoint>(path), config);
}

}  // namespace batchscope
