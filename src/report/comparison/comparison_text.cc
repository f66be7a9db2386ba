// A comparison as sections for terminal and page, and its figure (report/comparison/comparison.h).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/units.h"
#include "report/comparison/comparison.h"
#include "report/text.h"

namespace batchscope {
namespace {

using Field = TextTable::Field;

constexpr std::size_t most_lines = 12;  // of regressions at the top, the tables have all
constexpr std::size_t label_columns = 34;

Field label_field(const std::string& label) { return {shorten(label, label_columns)}; }

Colour colour_of_judgement(Judgement judgement) {
  switch (judgement) {
    case Judgement::worse:
      return Colour::red;
    case Judgement::better:
      return Colour::green;
    case Judgement::small:
    case Judgement::not_judged:
      return Colour::yellow;
    default:
      return Colour::dim;
  }
}

// "none", "SLOWER", "slower ≤5 %", "faster", "not judged".
Field judgement_field(const Compared& number, std::string worse, const char* better, double threshold) {
  const Colour colour = colour_of_judgement(number.judgement);
  if (number.judgement == Judgement::better) return {better, colour};
  if (number.judgement == Judgement::small) return {fmt::format("{} ≤{:g} %", worse, threshold * 100), colour};
  if (number.judgement != Judgement::worse) return {to_string(number.judgement), colour};
  std::transform(worse.begin(), worse.end(), worse.begin(), [](unsigned char c) { return std::toupper(c); });
  return {worse, colour};
}

std::string ratio_text(const Compared& number) {
  if (!number.ratio) return "?";
  if (!number.low || !number.high) return fmt::format("{:.3f}", *number.ratio);
  return fmt::format("{:.2f} ({:.2f}–{:.2f})", *number.ratio, *number.low, *number.high);
}

Field number_field(const std::optional<double>& value, const std::string& text) { return {text, Colour::none, value}; }

std::string p_text(const std::optional<double>& p) {
  return !p ? "?" : *p < 0.0001 ? std::string("<0.0001") : fmt::format("{:.4f}", *p);
}

std::string count_text(const std::optional<double>& count) {
  return count ? format_count(static_cast<std::int64_t>(std::llround(*count))) : "?";
}

bool differs(const Compared& number) { return number.a != number.b || number.judgement == Judgement::not_judged; }

// Regressions and what was not judged.

struct Named {
  const char* name;
  Compared CellComparison::*number;
};
constexpr Named judged[] = {{"status", &CellComparison::status},
                            {"time", &CellComparison::time},
                            {"accuracy", &CellComparison::accuracy},
                            {"memory", &CellComparison::memory},
                            {"traffic", &CellComparison::traffic}};

std::string regression_text(const CellComparison& cell, const Named& named) {
  const Compared& number = cell.*named.number;
  const std::string name = named.name;
  if (name == "status") return fmt::format("{}: {}", cell.label, number.why);
  if (name == "time")
    return fmt::format("{}: {} s, before {} s: {}", cell.label, seconds_text(number.b), seconds_text(number.a),
                       ratio_text(number));
  if (name == "accuracy")
    return fmt::format("{}: accuracy {}, before {}: {} items lost, {} gained of {}", cell.label, percent_text(number.b),
                       percent_text(number.a), cell.answers->lost, cell.answers->gained, cell.answers->items);
  return fmt::format("{}: {} {}, before {}", cell.label, name, bytes_text(number.b), bytes_text(number.a));
}

// Sections.

Section verdict_section(const Comparison& comparison) {
  const std::vector<std::string> regressions = comparison.regressions(), open = comparison.not_judged();
  Section section{.id = "verdict", .title = {}, .table = {}, .notes = {}};
  section.title = regressions.empty() ? "NO REGRESSION beyond noise and threshold"
                                      : fmt::format("REGRESSION: {} found", regressions.size());
  for (std::size_t i = 0; i < std::min(regressions.size(), most_lines); ++i) section.notes.push_back(regressions[i]);
  if (regressions.size() > most_lines)
    section.notes.push_back(fmt::format("and {} more, in the tables below", regressions.size() - most_lines));
  for (const std::string& line : open) section.notes.push_back("not judged: " + line);
  const Thresholds& t = comparison.thresholds;
  section.notes.push_back(fmt::format(
      "{} cells compared. Beyond noise: at most 5 % false alarms for the whole comparison (Holm). Thresholds: time "
      "{:g} %, accuracy {:g} points, memory {:g} %, traffic {:g} %.",
      comparison.cells.size(), t.time * 100, t.accuracy * 100, t.memory * 100, t.traffic * 100));
  return section;
}

Section status_section(const Comparison& comparison) {
  Section section{.id = "status", .title = "Cells that ended differently", .table = {}, .notes = {}};
  for (const CellComparison& cell : comparison.cells)
    if (!cell.status.why.empty())
      section.notes.push_back(fmt::format("{}{}: {}", cell.status.judgement == Judgement::worse ? "WORSE: " : "",
                                          cell.label, cell.status.why));
  for (const auto& [labels, where] : {std::pair(&comparison.only_in_a, "A"), std::pair(&comparison.only_in_b, "B")}) {
    std::string line;
    for (const std::string& label : *labels) line += (line.empty() ? "" : "; ") + label;
    if (!line.empty()) section.notes.push_back(fmt::format("only in {}: {}", where, line));
  }
  return section;
}

Section time_section(const Comparison& comparison) {
  TextTable table({"cell", "A s", "B s", "B / A (95 %)", "time"});
  const auto add = [&](const std::string& label, const Compared& time) {
    if (!time.ratio) return;
    table.add({label_field(label), number_field(time.a, time.a ? seconds_text(time.a) : ""),
               number_field(time.b, time.b ? seconds_text(time.b) : ""), number_field(time.ratio, ratio_text(time)),
               judgement_field(time, "slower", "faster", comparison.thresholds.time)});
  };
  for (const CellComparison& cell : comparison.cells) add(cell.label, cell.time);
  add("all together", comparison.overall);
  if (table.empty()) return {.id = "time", .title = {}, .table = {}, .notes = {}};
  Section section{
      .id = "time",
      .title = "Time: seconds, geometric mean of the repeats",
      .table = table,
      .notes = {fmt::format("Intervals allow for {:.1f} % (standard deviation) between runs, on top of what "
                            "repeats show.",
                            comparison.run_noise * 100)}};
  const auto thinned = std::count_if(comparison.cells.begin(), comparison.cells.end(), [](const CellComparison& cell) {
    return cell.time.judgement != Judgement::not_judged && !cell.time.why.empty();
  });
  if (thinned > 0)
    section.notes.push_back(fmt::format("{} of {} cells without the repeats that other programs disturbed.", thinned,
                                        comparison.cells.size()));
  return section;
}

Section accuracy_section(const Comparison& comparison) {
  TextTable table({"cell", "A", "B", "changed", "p", "accuracy"});
  std::size_t alike = 0;
  for (const CellComparison& cell : comparison.cells) {
    if (!cell.answers) continue;
    const Paired& answers = *cell.answers;
    alike += answers.changed == 0 ? 1 : 0;
    if (answers.changed == 0) continue;
    table.add({label_field(cell.label), number_field(cell.accuracy.a, percent_text(cell.accuracy.a)),
               number_field(cell.accuracy.b, percent_text(cell.accuracy.b)),
               number_field(static_cast<double>(answers.changed),
                            fmt::format("{} (-{} +{})", answers.changed, answers.lost, answers.gained)),
               number_field(cell.accuracy.p, p_text(cell.accuracy.p)),
               judgement_field(cell.accuracy, "worse", "better", comparison.thresholds.accuracy)});
  }
  Section section{
      .id = "accuracy",
      .title = "Accuracy by acc_norm, item by item: changed (correct lost, gained); adjusted p of McNemar's test",
      .table = {},
      .notes = {}};
  if (!table.empty()) section.table = table;
  if (alike > 0)
    section.notes.push_back(
        fmt::format("{} of {} cells have the same answer to every item.", alike, comparison.cells.size()));
  return section;
}

// Numbers without noise, where they differ.
Section exact_section(const Comparison& comparison) {
  TextTable table({"cell", "what", "A", "B", "B / A", "result"});
  std::size_t equal = 0;
  for (const CellComparison& cell : comparison.cells) {
    const auto add = [&](const char* what, const Compared& number, bool bytes, std::optional<double> threshold) {
      if (!differs(number)) return;
      const auto text = [&](const std::optional<double>& value) {
        return number_field(value, bytes ? bytes_text(value) : count_text(value));
      };
      table.add({label_field(cell.label),
                 {what},
                 text(number.a),
                 text(number.b),
                 number_field(number.ratio, ratio_text(number)),
                 threshold ? judgement_field(number, "more", "less", *threshold) : Field{""}});
    };
    const std::size_t before = table.rows().size();
    add("memory", cell.memory, true, comparison.thresholds.memory);
    add("traffic", cell.traffic, true, comparison.thresholds.traffic);
    add("tokens", cell.computed, false, std::nullopt);
    add("padding", cell.padding, false, std::nullopt);
    equal += table.rows().size() == before && cell.memory.a ? 1 : 0;
  }
  Section section{.id = "exact",
                  .title = "Peak memory, bytes sent, tokens computed and padding: exact numbers",
                  .table = {},
                  .notes = {}};
  if (!table.empty()) section.table = table;
  if (equal > 0)
    section.notes.push_back(fmt::format("{} of {} cells are equal in all of them.", equal, comparison.cells.size()));
  return section;
}

// Two numbers in ms of each cell, side by side.
Section milliseconds_section(const Comparison& comparison, Section section, const std::array<const char*, 2>& names,
                             const std::array<Compared CellComparison::*, 2>& numbers) {
  TextTable table({"cell", fmt::format("{} A", names[0]), fmt::format("{} B", names[0]), "B / A",
                   fmt::format("{} A", names[1]), fmt::format("{} B", names[1]), "B / A"});
  for (const CellComparison& cell : comparison.cells) {
    if (!(cell.*numbers[0]).ratio && !(cell.*numbers[1]).ratio) continue;
    std::vector<Field> row{label_field(cell.label)};
    for (const auto number : numbers) {
      const Compared& compared = cell.*number;
      for (const auto& value : {compared.a, compared.b}) row.push_back(number_field(value, milliseconds_text(value)));
      row.push_back(number_field(compared.ratio, compared.ratio ? fmt::format("{:.2f}", *compared.ratio) : "?"));
    }
    table.add(std::move(row));
  }
  if (!table.empty()) section.table = table;
  return section;
}

Section latency_section(const Comparison& comparison) {
  return milliseconds_section(
      comparison, {"latency", "Latency of a batch in ms (informational: already covered by time)", std::nullopt},
      {"p50", "p99"}, {&CellComparison::p50_ms, &CellComparison::p99_ms});
}

Section requests_section(const Comparison& comparison) {
  return milliseconds_section(
      comparison,
      {"requests", "Time to the first token and per output token, medians in ms (informational)", std::nullopt},
      {"TTFT", "TPOT"}, {&CellComparison::ttft_ms, &CellComparison::tpot_ms});
}

Section frontier_section(const Comparison& comparison) {
  TextTable table({"strategy", "A", "B", "largest batch"});
  std::size_t equal = 0;
  for (const FrontierComparison& frontier : comparison.frontiers) {
    equal += differs(frontier.largest) ? 0 : 1;
    if (!differs(frontier.largest)) continue;
    table.add({label_field(frontier.label), number_field(frontier.largest.a, count_text(frontier.largest.a)),
               number_field(frontier.largest.b, count_text(frontier.largest.b)),
               judgement_field(frontier.largest, "smaller", "larger", 0)});
  }
  Section section{.id = "frontier", .title = "Largest batch that ran", .table = {}, .notes = {}};
  if (!table.empty()) section.table = table;
  if (equal > 0)
    section.notes.push_back(
        fmt::format("{} of {} strategies have the same largest batch.", equal, comparison.frontiers.size()));
  return section;
}

Section environment_section(const Comparison& comparison) {
  TextTable table({"fact", "A", "B"});
  const auto add = [&](const Difference& difference, const char* kind) {
    const auto value = [](const std::string& text) { return Field{text.empty() ? "-" : shorten(text, 26)}; };
    table.add({{shorten(kind + difference.what, 24)}, value(difference.a), value(difference.b)});
  };
  for (const Difference& setting : comparison.settings) add(setting, "setting: ");
  for (const Difference& fact : comparison.environment) add(fact, "");
  if (table.empty()) return {.id = "environment", .title = {}, .table = {}, .notes = {"The environment is the same."}};
  return {.id = "environment", .title = "Settings and environment that differ", .table = table, .notes = {}};
}

// Cells by what stands before the ": " of their reason.
void add_groups(const std::map<std::string, std::vector<std::string>>& groups, std::vector<std::string>& lines) {
  for (const auto& [reason, cells] : groups) {
    std::string line = reason + ": ";
    for (std::size_t i = 0; i < std::min(cells.size(), most_lines); ++i) line += (i > 0 ? "; " : "") + cells[i];
    if (cells.size() > most_lines) line += fmt::format("; and {} more", cells.size() - most_lines);
    lines.push_back(line);
  }
}

}  // namespace

std::vector<std::string> Comparison::regressions() const {
  std::vector<std::string> lines;
  if (overall.judgement == Judgement::worse)
    lines.push_back(fmt::format("all cells together: time {} times A's", ratio_text(overall)));
  for (const FrontierComparison& frontier : frontiers)
    if (frontier.largest.judgement == Judgement::worse)
      lines.push_back(fmt::format("{}: largest batch {}, before {}", frontier.label, count_text(frontier.largest.b),
                                  count_text(frontier.largest.a)));
  for (const Named& named : judged)
    for (const CellComparison& cell : cells)
      if ((cell.*named.number).judgement == Judgement::worse) lines.push_back(regression_text(cell, named));
  return lines;
}

std::vector<std::string> Comparison::not_judged() const {
  std::map<std::string, std::vector<std::string>> groups;
  for (const Named& named : judged)
    for (const CellComparison& cell : cells) {
      const Compared& number = cell.*named.number;
      if (number.judgement != Judgement::not_judged) continue;
      const auto colon = std::min(number.why.find(": "), number.why.size());
      const std::string detail = colon < number.why.size() ? fmt::format(" ({})", number.why.substr(colon + 2)) : "";
      groups[fmt::format("{}, {}", named.name, number.why.substr(0, colon))].push_back(cell.label + detail);
    }
  for (const FrontierComparison& frontier : frontiers)
    if (frontier.largest.judgement == Judgement::not_judged)
      groups["largest batch, " + frontier.largest.why].push_back(frontier.label);
  std::vector<std::string> lines;
  add_groups(groups, lines);
  return lines;
}

std::vector<Section> comparison_sections(const Comparison& comparison) {
  std::vector<Section> sections{
      verdict_section(comparison),  status_section(comparison),   time_section(comparison),
      accuracy_section(comparison), exact_section(comparison),    latency_section(comparison),
      requests_section(comparison), frontier_section(comparison), environment_section(comparison)};
  std::erase_if(sections, [](const Section& section) { return !section.table && section.notes.empty(); });
  return sections;
}

std::string to_text(const Comparison& comparison, bool colour) {
  std::string text =
      wrap(fmt::format("A {} (study {})", comparison.file_a, comparison.study_a), terminal_columns, 2) + "\n" +
      wrap(fmt::format("B {} (study {})", comparison.file_b, comparison.study_b), terminal_columns, 2) + "\n";
  for (const Section& section : comparison_sections(comparison)) text += to_text(section, colour);
  return text;
}

Figure time_ratio_figure(const Comparison& comparison) {
  Figure figure{.id = "time-ratio",
                .title = "Time of B / time of A",
                .caption = "95 % intervals, which allow for noise between runs; hollow: not judged",
                .kind = FigureKind::intervals,
                .x = {.label = "cell"},
                .y = {.label = "seconds of B / seconds of A", .unit = FigureUnit::ratio, .from_zero = false}};
  FigureSeries known{.name = "judged", .stroke = FigureStroke::none};
  FigureSeries open{.name = "not judged", .style = 1, .stroke = FigureStroke::none, .hollow = true};
  const auto add = [&](const std::string& label, const Compared& time) {
    if (!time.ratio) return;
    const bool is_open = time.judgement == Judgement::not_judged;
    (is_open ? open : known)
        .points.push_back({.x = static_cast<double>(figure.x.categories.size()),
                           .y = *time.ratio,
                           .low = time.low,
                           .high = time.high,
                           .note = is_open ? time.why : to_string(time.judgement)});
    figure.x.categories.push_back(label);
  };
  for (const CellComparison& cell : comparison.cells) add(cell.label, cell.time);
  add("all together", comparison.overall);
  for (FigureSeries* series : {&known, &open})
    if (!series->points.empty()) figure.series.push_back(std::move(*series));
  figure.limits = {{1, "as fast as A"}, {1 + comparison.thresholds.time, "threshold"}};
  return figure;
}

}  // namespace batchscope
