// Multiplies a study's axes out into cells, and names and orders them.
#include "study/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "study/ablation.h"
#include "study/axes.h"

namespace batchscope {
namespace {

// The same on every machine, which std::shuffle does not promise.
template <class T>
void shuffle(std::vector<T>& values, std::mt19937_64& random) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random() % i]);
}

std::string fusion_name(const Fusion& fusion) {
  const std::string text = fusion_label(fusion);
  return text == "off" ? "" : text == "on" ? "fused" : text;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

// What an axis says of a strategy in its short name; absent where it does not apply.
std::optional<std::string> label_of(const Axis& axis, const CellSpec& spec) {
  if (!axis.applies_to(spec)) return std::nullopt;
  const std::string text = axis.text(spec);
  if (axis.label != nullptr) return axis.label(spec, text);
  return text.empty() ? "" : fmt::format("{} {}", axis.word, text);
}

// Adds to each name what the axis says of its strategy, if it does not say the same of all that it applies to.
void distinguish(std::span<const CellSpec> strategies, const Axis& axis, std::vector<std::string>& names) {
  std::vector<std::optional<std::string>> labels;
  std::set<std::string> different;
  for (const CellSpec& spec : strategies) {
    labels.push_back(label_of(axis, spec));
    if (labels.back()) different.insert(*labels.back());
  }
  if (different.size() < 2) return;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (labels[i] && !labels[i]->empty()) names[i] += " " + *labels[i];
}

}  // namespace

std::string strategy_name(const CellSpec& spec) {
  const CellSpec plain = with_nothing_set(spec);
  std::string name;
  for (const Axis* axis : axes_by_name()) {
    const std::string text = axis->text(spec);
    const Naming naming = axis->name.naming;
    if (naming == Naming::never || (naming == Naming::when_set && text == axis->text(plain))) continue;
    if (!name.empty()) name += " ";
    name += naming == Naming::bare ? text : fmt::format("{}={}", axis->name.word, text);
  }
  return name;
}

std::string cell_key(const CellSpec& spec, std::int64_t repeat) {
  return fmt::format("{} batch={} #{}", strategy_name(spec), spec.run.batch, repeat);
}

nlohmann::json stored_cell(const CellSpec& spec, std::int64_t repeat) {
  return {{"spec", to_json(spec)}, {"strategy", strategy_name(spec)}, {"repeat", repeat}};
}

std::string token_limit_name(const CellSpec& spec) {
  return spec.max_tokens_per_sequence ? fmt::format("≤{} tok", *spec.max_tokens_per_sequence) : "";
}

std::vector<std::string> short_names(std::span<const CellSpec> strategies) {
  std::vector<std::string> names;
  std::set<std::string> different;  // layouts and fusions or engines, whatever else is set
  std::set<std::string> strategy_names;
  for (const CellSpec& spec : strategies) {
    const std::string fusion = fusion_name(spec.run.fusion);
    // Of other engines neither is known here.
    names.push_back(!spec.engine.is_ours()
                        ? label(spec.engine)
                        : upper(spec.placement.layout.to_string()) + (fusion.empty() ? "" : " " + fusion));
    different.insert(names.back());
    strategy_names.insert(strategy_name(without_token_limit(spec)));
  }
  if (different.size() == strategy_names.size()) return names;
  for (const Axis* axis : axes_by_name()) distinguish(strategies, *axis, names);
  return names;
}

CellSpec without_token_limit(CellSpec spec) {
  spec.max_tokens_per_sequence.reset();
  spec.when_too_long = WhenTooLong::fail;
  return spec;
}

std::vector<PlannedRun> run_order(std::span<const CellSpec> cells, std::int64_t repeats, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<PlannedRun> order;
  for (std::int64_t repeat = 1; repeat <= repeats; ++repeat) {
    std::vector<std::vector<PlannedRun>> blocks;
    std::map<std::string, std::size_t> block_of;
    for (std::size_t cell = 0; cell < cells.size(); ++cell) {
      const auto [found, is_new] = block_of.emplace(cells[cell].worker_key(), blocks.size());
      if (is_new) blocks.emplace_back();
      blocks[found->second].push_back({cell, repeat});
    }
    shuffle(blocks, random);
    for (auto& block : blocks) {
      shuffle(block, random);
      order.insert(order.end(), block.begin(), block.end());
    }
  }
  return order;
}

}  // namespace batchscope
