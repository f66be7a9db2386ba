// Pairing of cells, and the tables of what came of it (report/effects.h).
#include "report/effects.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/units.h"
#include "study/ablation.h"
#include "study/axes.h"
#include "study/grid.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

// Axes that change how a cell runs and not what it is asked.
std::vector<const Axis*> compared_axes() {
  std::vector<const Axis*> compared;
  for (const Axis* axis : axes_by_name())
    if (axis->compared.title != nullptr) compared.push_back(axis);
  return compared;
}

// As the cells are grouped: with the first baseline.
CellSpec baseline_of(CellSpec spec, const Axis& axis) {
  axis.set(spec, axis.compared.baselines[0], axis.word);
  return spec;
}

// Cells that differ on the axis only, in the order of the study; the groups in the order of their first cells.
std::vector<std::vector<std::size_t>> groups_of(const std::vector<CellSummary>& cells, const Axis& axis) {
  std::vector<std::vector<std::size_t>> groups;
  std::map<std::string, std::size_t> group_of;
  for (std::size_t cell = 0; cell < cells.size(); ++cell) {
    const std::string key = cell_key(baseline_of(cells[cell].spec, axis), 1);
    const auto [found, is_new] = group_of.emplace(key, groups.size());
    if (is_new) groups.emplace_back();
    groups[found->second].push_back(cell);
  }
  return groups;
}

// By repeat and status, since what was cut is not compared with what was not; of several runs the geometric mean.
std::map<std::pair<std::int64_t, std::string>, double> seconds_of_repeats(const CellSummary& cell) {
  std::map<std::pair<std::int64_t, std::string>, std::vector<double>> logarithms;
  for (const CellRun& run : cell.runs)
    if (run.seconds && has_scores(run.status)) logarithms[{run.repeat, run.status}].push_back(std::log(*run.seconds));
  std::map<std::pair<std::int64_t, std::string>, double> seconds;
  for (const auto& [repeat, logs] : logarithms)
    seconds[repeat] = std::exp(std::accumulate(logs.begin(), logs.end(), 0.0) / static_cast<double>(logs.size()));
  return seconds;
}

std::optional<RatioInterval> time_ratio(const CellSummary& baseline, const CellSummary& cell) {
  const auto theirs = seconds_of_repeats(baseline), ours = seconds_of_repeats(cell);
  std::vector<double> numerators, denominators;
  for (const auto& [repeat, seconds] : ours)
    if (const auto found = theirs.find(repeat); found != theirs.end()) {
      numerators.push_back(seconds);
      denominators.push_back(found->second);
    }
  if (numerators.empty()) return std::nullopt;
  return ratio_interval(numerators, denominators);
}

// Terminal and page.

std::optional<std::int64_t> tokens_of(const CellSummary& cell, const char* which) {
  if (!cell.result.is_object()) return std::nullopt;
  const JsonObject result(cell.result, "result");
  return result.has("tokens") ? maybe_integer(result.object("tokens"), which) : std::nullopt;
}

// "0.81 (0.78–0.85)", "none (0.97–1.04)" where 1 is within the interval.
TextTable::Field ratio_field(const std::optional<RatioInterval>& time) {
  if (!time) return {"-", Colour::dim};
  if (!time->low) return {fmt::format("{:.2f} (?)", time->ratio), Colour::none, time->ratio};
  const std::string interval = fmt::format("({:.2f}–{:.2f})", *time->low, *time->high);
  if (*time->low <= 1 && *time->high >= 1) return {"none " + interval, Colour::dim, time->ratio};
  return {fmt::format("{:.2f} {}", time->ratio, interval), time->ratio < 1 ? Colour::green : Colour::red, time->ratio};
}

TextTable::Field time_field(const CellSummary& cell) {
  if (!cell.time) {
    return {status_words(cell.status), Colour::yellow};
  }
  const std::string text =
      seconds_text(cell.time->mean) + (is_loud(cell.status) ? " " + status_words(cell.status) : "");
  return {text + (cell.valid == false ? " !" : ""), Colour::none, cell.time->mean};
}

TextTable::Field count_field(const std::optional<std::int64_t>& count) {
  return count ? TextTable::Field{format_count(*count), Colour::none, static_cast<double>(*count)}
               : TextTable::Field{"?"};
}

std::optional<double> all_tokens(const CellSummary& cell) {
  const auto computed = tokens_of(cell, "computed"), padding = tokens_of(cell, "padding");
  return computed && padding ? std::optional(static_cast<double>(*computed + *padding)) : std::nullopt;
}

TextTable::Field tokens_ratio(const CellSummary& cell, const CellSummary& baseline) {
  const auto ours = all_tokens(cell), theirs = all_tokens(baseline);
  if (!ours || !theirs || *theirs <= 0) return {"?"};
  return {fmt::format("{:.2f}", *ours / *theirs), Colour::none, *ours / *theirs};
}

// Which effects a study has, and how its cells are called without the axis.
class Table {
 public:
  Table(const StudyReport& report, const Axis& axis) : report_(report), axis_(axis) {
    for (const Effect& effect : report.effects)
      if (effect.axis == axis.word) effects_.emplace(std::pair(effect.cell, effect.from), &effect);
    for (const auto& [place, effect] : effects_) shown_.insert({effect->cell, effect->baseline});
    for (const char* baseline : axis.compared.baselines)
      if (baseline != nullptr && any_of(baseline)) baselines_.push_back(baseline);
    is_packing_ = axis.word == "packing";
  }
  std::optional<Section> section() const;

 private:
  bool any_of(const std::string& baseline) const {
    return std::any_of(effects_.begin(), effects_.end(),
                       [&](const auto& entry) { return entry.first.second == baseline; });
  }
  std::string label_of(const CellSpec& spec) const {
    return axis_.word == "fusion" ? fusion_label(spec.run.fusion) : axis_.text(spec);
  }
  std::vector<TextTable::Field> row(const CellSummary& cell, std::size_t index, const std::string& name) const;
  std::vector<std::string> notes() const;

  const StudyReport& report_;
  const Axis& axis_;
  std::map<std::pair<std::size_t, std::string>, const Effect*> effects_;  // by cell and baseline's value
  std::set<std::size_t> shown_;                                           // cells that are part of an effect
  std::vector<std::string> baselines_;
  bool is_packing_ = false;
};

std::vector<TextTable::Field> Table::row(const CellSummary& cell, std::size_t index, const std::string& name) const {
  std::vector<TextTable::Field> fields{{name}, time_field(cell)};
  for (const std::string& baseline : baselines_) {
    const auto found = effects_.find({index, baseline});
    fields.push_back(found != effects_.end() ? ratio_field(found->second->time) : TextTable::Field{""});
  }
  if (!is_packing_) return fields;
  fields.push_back(count_field(tokens_of(cell, "computed")));
  fields.push_back(count_field(tokens_of(cell, "padding")));
  const auto found = effects_.find({index, axis_.compared.baselines[0]});
  fields.push_back(found != effects_.end() ? tokens_ratio(cell, report_.cells[found->second->baseline])
                                           : TextTable::Field{""});
  return fields;
}

std::vector<std::string> Table::notes() const {
  std::string text = "Ratios of seconds, paired by repeat, with 95 % intervals; none: 1 is within the interval.";
  if (is_packing_) text += " The last column is the ratio of tokens and padding together.";
  const bool unknown = std::any_of(effects_.begin(), effects_.end(),
                                   [](const auto& e) { return e.second->time && !e.second->time->low; });
  if (unknown) text += " (?): one repeat has no interval; give the study repeats = 5.";
  const bool disturbed =
      std::any_of(shown_.begin(), shown_.end(), [&](std::size_t cell) { return report_.cells[cell].valid == false; });
  if (disturbed) text += " !: not valid as a measurement, see below.";
  return {text};
}

std::optional<Section> Table::section() const {
  if (effects_.empty()) return std::nullopt;
  std::vector<CellSpec> specs;
  for (const StrategySummary& strategy : report_.strategies) specs.push_back(baseline_of(strategy.spec, axis_));
  const std::vector<std::string> names = short_names(specs);
  std::vector<std::string> header{fmt::format("strategy, batch: {}", axis_.word), "seconds"};
  for (const std::string& baseline : baselines_) header.push_back("against " + baseline);
  if (is_packing_) header.insert(header.end(), {"tokens", "padding", "ratio"});
  TextTable table(header);
  for (const auto& group : groups_of(report_.cells, axis_))
    for (const std::size_t index : group) {
      if (!shown_.contains(index)) continue;
      const CellSummary& cell = report_.cells[index];
      const std::string limit = token_limit_name(cell.spec);
      const std::string name = fmt::format("{}, {}{}: {}", shorten(names[cell.strategy], 24), cell.spec.run.batch,
                                           limit.empty() ? "" : " " + limit, label_of(cell.spec));
      table.add(row(cell, index, name));
    }
  return Section{
      .id = fmt::format("effects-{}", axis_.word), .title = axis_.compared.title, .table = table, .notes = notes()};
}

}  // namespace

std::vector<Effect> study_effects(const std::vector<CellSummary>& cells) {
  std::vector<Effect> effects;
  for (const Axis* axis : compared_axes())
    for (const auto& group : groups_of(cells, *axis))
      for (const char* from : axis->compared.baselines) {
        const auto value = [&](std::size_t cell) { return axis->text(cells[cell].spec); };
        const auto baseline =
            std::find_if(group.begin(), group.end(), [&](std::size_t cell) { return from && value(cell) == from; });
        if (baseline == group.end()) continue;
        for (const std::size_t cell : group) {
          if (value(cell) == from || value(cell) == axis->compared.baselines[0]) continue;
          effects.push_back({.axis = std::string(axis->word),
                             .from = from,
                             .to = value(cell),
                             .baseline = *baseline,
                             .cell = cell,
                             .time = time_ratio(cells[*baseline], cells[cell])});
        }
      }
  return effects;
}

std::vector<Section> effects_sections(const StudyReport& report) {
  std::vector<Section> sections;
  for (const Axis* axis : compared_axes())
    if (auto section = Table(report, *axis).section()) sections.push_back(std::move(*section));
  return sections;
}

}  // namespace batchscope
