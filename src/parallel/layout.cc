// Layouts: reading, printing, and the shares of heads, columns, layers and vocabulary.
#include "parallel/layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/units.h"

namespace batchscope {
namespace {

constexpr std::int64_t most_ranks = 4096;

// One factor, "tp4": its name and number.
struct Factor {
  std::string_view strategy;
  std::int64_t count;
};

Factor parse_factor(std::string_view factor, std::string_view whole) {
  const auto digits = std::min(factor.find_first_of("0123456789"), factor.size());
  const auto strategy = factor.substr(0, digits);
  const bool known = strategy == "mp" || strategy == "pp" || strategy == "tp" || strategy == "dp";
  if (!known || digits == factor.size())
    throw InputError("--parallel: '{}' is not a layout; write mp4, pp4, tp4, dp4, or a product such as dp2.tp2", whole);
  return {strategy, parse_integer(factor.substr(digits), 1, most_ranks, fmt::format("--parallel {}", whole))};
}

}  // namespace

Range even_share(std::int64_t total, std::int64_t parts, std::int64_t index) {
  const std::int64_t even = total / parts, rest = total % parts;
  const std::int64_t begin = index * even + std::min(index, rest);
  return {begin, begin + even + (index < rest ? 1 : 0)};
}

Layout Layout::parse(std::string_view text) {
  Layout layout;
  bool dp = false, stages = false, tp = false;  // which factors were given
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('.', begin), text.size());
    const Factor factor = parse_factor(text.substr(begin, end - begin), text);
    const bool pipeline = factor.strategy == "mp" || factor.strategy == "pp";
    bool& given = factor.strategy == "dp" ? dp : pipeline ? stages : tp;
    if (given) throw InputError("--parallel: '{}' names the same kind of parallelism twice", text);
    given = true;
    (factor.strategy == "dp" ? layout.dp_ : pipeline ? layout.stages_ : layout.tp_) = factor.count;
    if (factor.strategy == "pp") layout.micro_batches_ = true;
    begin = end + 1;
  }
  if (layout.ranks() > most_ranks)
    throw InputError("--parallel: '{}' is {} ranks, {} at most", text, layout.ranks(), most_ranks);
  return layout;
}

Layout::Place Layout::place(std::int64_t rank) const {
  return {.replica = rank / (stages_ * tp_), .stage = rank / tp_ % stages_, .shard = rank % tp_};
}

void Layout::check(const ModelConfig& config) const {
  if (stages_ > config.layers)
    throw InputError("--parallel {}: {} stages, but {} has {} layers; use {} stages or fewer", to_string(), stages_,
                     config.name, config.layers, config.layers);
  if (tp_ > config.heads)
    throw InputError("--parallel {}: {} shards, but {} has {} attention heads; use tp{} or fewer", to_string(), tp_,
                     config.name, config.heads, config.heads);
  if (tp_ > config.intermediate || tp_ > config.vocabulary)
    throw InputError("--parallel {}: {} shards are more than {}'s MLP columns ({}) or vocabulary ({})", to_string(),
                     tp_, config.name, config.intermediate, config.vocabulary);
}

std::string Layout::to_string() const {
  std::string text;
  const auto append = [&](std::string_view strategy, std::int64_t count) {
    text += fmt::format("{}{}{}", text.empty() ? "" : ".", strategy, count);
  };
  if (dp_ > 1) append("dp", dp_);
  if (stages_ > 1) append(micro_batches_ ? "pp" : "mp", stages_);
  if (tp_ > 1 || text.empty()) append("tp", tp_);
  return text;
}

LayerShare layer_share(const ModelConfig& config, std::int64_t shards, std::int64_t shard) {
  const std::int64_t group = config.heads / config.kv_heads;
  const Range heads = even_share(config.heads, shards, shard);
  return {.heads = heads,
          .kv_heads = {heads.begin / group, (heads.end - 1) / group + 1},
          .intermediate = even_share(config.intermediate, shards, shard)};
}

Range layer_range(const ModelConfig& config, std::int64_t stages, std::int64_t stage) {
  return even_share(config.layers, stages, stage);
}

Range vocabulary_range(const ModelConfig& config, std::int64_t shards, std::int64_t shard) {
  return even_share(config.vocabulary, shards, shard);
}

}  // namespace batchscope
