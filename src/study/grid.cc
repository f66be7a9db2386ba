// Names and order of cells (study/grid.h).
#include "study/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "base/units.h"
#include "study/ablation.h"

namespace batchscope {
namespace {

bool is_default_device(const CellSpec& spec) {
  return to_string(spec.placement.device) ==
         to_string(parse_device(fmt::format("cpu:{}", spec.placement.layout.ranks())));
}

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

// What may tell one strategy from another, beside layout and fusion; "" where there is nothing to say.
constexpr auto distinctions = {
    +[](const CellSpec& s) { return to_string(s.run.packing); },
    +[](const CellSpec& s) { return std::string(name_of(s.placement.dtype)); },
    +[](const CellSpec& s) {
      return s.run.batch_tokens ? fmt::format("≤{} tok a batch", *s.run.batch_tokens) : std::string("any tokens a batch");
    },
    +[](const CellSpec& s) {
      return s.run.device_memory_bytes ? format_bytes(static_cast<double>(*s.run.device_memory_bytes)) : "no limit";
    },
    +[](const CellSpec& s) { return to_string(s.run.link); },
    +[](const CellSpec& s) { return to_string(s.placement.device); },
    +[](const CellSpec& s) {
      return s.placement.threads ? fmt::format("{} threads", *s.placement.threads) : std::string("auto threads");
    },
    +[](const CellSpec& s) { return std::filesystem::path(s.model.path).filename().string(); },
    +[](const CellSpec& s) { return s.model.random_shape; },
    +[](const CellSpec& s) { return std::filesystem::path(s.task).filename().string(); },
    +[](const CellSpec& s) { return std::string(s.workload ? "generate" : "questions"); },
    +[](const CellSpec& s) { return s.limit ? fmt::format("{} items", *s.limit) : std::string("all items"); },
    +[](const CellSpec& s) { return s.engine; },
};

// The same of those that generate, among each other; "" where it does not apply.
constexpr auto workload_distinctions = {
    +[](const Workload& w) {
      return w.trace.empty() ? fmt::format("{}+{} tok", w.prompt_tokens, w.output_tokens)
                             : std::filesystem::path(w.trace).filename().string();
    },
    +[](const Workload& w) { return w.requests > 0 ? fmt::format("{} requests", w.requests) : ""; },
    +[](const Workload& w) {
      if (!w.trace.empty()) return std::string();
      return w.arrival_rate ? fmt::format("{}/s", *w.arrival_rate) : "at once";
    },
    +[](const Workload& w) { return fmt::format("T {}", w.sampling.temperature); },
    +[](const Workload& w) { return fmt::format("top-p {}", w.sampling.top_p); },
    +[](const Workload& w) { return fmt::format("seed {}", w.sampling.seed); },
};

// Adds to each name what `distinction` says of its strategy, if it does not say the same of all that `applies` to.
void distinguish(std::span<const CellSpec> strategies, const std::function<bool(const CellSpec&)>& applies,
                 const std::function<std::string(const CellSpec&)>& distinction, std::vector<std::string>& names) {
  std::set<std::string> values;
  for (const CellSpec& spec : strategies)
    if (applies(spec)) values.insert(distinction(spec));
  if (values.size() < 2) return;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (applies(strategies[i]))
      if (const std::string value = distinction(strategies[i]); !value.empty()) names[i] += " " + value;
}

}  // namespace

std::string strategy_name(const CellSpec& spec) {
  std::string name = fmt::format("{} fusion={} {} {}", spec.placement.layout.to_string(), to_string(spec.run.fusion),
                                 to_string(spec.run.packing), name_of(spec.placement.dtype));
  const auto add = [&](const char* what, const auto& value) { name += fmt::format(" {}={}", what, value); };
  if (spec.run.device_memory_bytes) add("memory", *spec.run.device_memory_bytes);
  if (spec.run.link != LinkSpec()) add("link", to_string(spec.run.link));
  if (spec.run.batch_tokens) add("batch-tokens", *spec.run.batch_tokens);
  if (spec.max_tokens_per_sequence) add("max-tokens", *spec.max_tokens_per_sequence);
  if (spec.when_too_long == WhenTooLong::truncate) add("when-too-long", to_string(spec.when_too_long));
  if (!is_default_device(spec)) add("device", to_string(spec.placement.device));
  if (spec.placement.threads) add("threads", *spec.placement.threads);
  if (!spec.model.path.empty()) add("model", spec.model.path);
  if (!spec.model.random_shape.empty()) add("random-weights", spec.model.random_shape);
  if (spec.model.seed != 0) add("weights-seed", spec.model.seed);
  if (!spec.task.empty()) add("task", spec.task);
  if (spec.workload) {
    const Workload& workload = *spec.workload;
    if (!workload.trace.empty()) add("trace", workload.trace);
    if (workload.prompt_tokens > 0) add("prompt-tokens", workload.prompt_tokens);
    if (workload.output_tokens > 0) add("output-tokens", workload.output_tokens);
    if (workload.requests > 0) add("requests", workload.requests);
    if (workload.arrival_rate) add("arrival-rate", *workload.arrival_rate);
    if (workload.sampling.temperature > 0) add("temperature", workload.sampling.temperature);
    if (workload.sampling.top_p < 1) add("top-p", workload.sampling.top_p);
    if (workload.sampling.seed != 0) add("task-seed", workload.sampling.seed);
  }
  if (spec.limit) add("limit", *spec.limit);
  if (spec.engine != "batchscope") add("engine", spec.engine);
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
  std::set<std::string> different;  // layouts and fusions, whatever else is set
  std::set<std::string> strategy_names;
  for (const CellSpec& spec : strategies) {
    const std::string fusion = fusion_name(spec.run.fusion);
    names.push_back(upper(spec.placement.layout.to_string()) + (fusion.empty() ? "" : " " + fusion));
    different.insert(names.back());
    strategy_names.insert(strategy_name(without_token_limit(spec)));
  }
  if (different.size() == strategy_names.size()) return names;
  for (const auto distinction : distinctions)
    distinguish(
        strategies, [](const CellSpec&) { return true; }, distinction, names);
  for (const auto distinction : workload_distinctions)
    distinguish(
        strategies, [&](const CellSpec& spec) { return spec.workload && !distinction(*spec.workload).empty(); },
        [&](const CellSpec& spec) { return distinction(*spec.workload); }, names);
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
