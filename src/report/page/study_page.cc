// The page of a study (report/page/study_page.h).
#include "report/page/study_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include "base/units.h"
#include "report/cell_numbers.h"
#include "report/figure/figures.h"
#include "report/page/cell_details.h"
#include "report/page/cell_table.h"
#include "report/page/html.h"
#include "report/page/page_series.h"
#include "report/page/page_tables.h"
#include "report/table_fields.h"

namespace batchscope {
namespace {

// Where figures and sections stand; what has no place here comes in a part of its own at the end.
struct FigurePlace {
  const char* id;
  const char* title;
  std::vector<std::string_view> figures, sections;
};
const FigurePlace figure_places[] = {
    {"time", "Time", {"time", "throughput", "latency"}, {"time", "repeats", "whole"}},
    {"generation", "Generation", {"ttft", "tpot", "goodput", "goodput_rate"}, {"requests", "goodput"}},
    {"accuracy", "Accuracy", {"accuracy", "accuracy_kept", "changed"}, {"accuracy"}},
    {"memory", "Memory", {"memory", "frontier"}, {"memory", "frontier"}},
    {"traffic",
     "Traffic",
     {"traffic_tx", "traffic_rx", "traffic_utilisation", "traffic_driver", "traffic_sm", "paper", "closure"},
     {"rates", "traffic", "paper"}},
    {"busy", "Utilisation", {"busy"}, {"busy", "use"}},
    {"energy", "Energy", {"energy"}, {"energy"}},
    {"effects", "Effects", {"effects"}, {"effects"}},
    {"validity", "Validity", {}, {"troubles", "closing"}},
};

// "effects" is a place for "effects-fusion" too.
bool belongs(const std::vector<std::string_view>& names, std::string_view id) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) {
    return id.starts_with(name) && (id.size() == name.size() || id[name.size()] == '-' || id[name.size()] == '_');
  });
}

template <class Part>
std::vector<Part> take(std::vector<Part>& from, const std::vector<std::string_view>& names) {
  std::vector<Part> taken;
  for (Part& part : from)
    if (belongs(names, part.id)) taken.push_back(std::move(part));
  std::erase_if(from, [&](const Part& part) { return part.id.empty() || belongs(names, part.id); });
  return taken;
}

std::vector<PagePart> figures_and_tables(const StudyReport& report) {
  std::vector<Figure> figures = study_figures(report);
  std::vector<Section> sections = study_sections(report);
  std::vector<PagePart> parts;
  const auto add = [&](const char* id, const char* title, std::vector<Figure> of_figures, std::vector<Section> tables) {
    if (!of_figures.empty() || !tables.empty())
      parts.push_back({.id = id, .title = title, .figures = std::move(of_figures), .sections = std::move(tables)});
  };
  for (const FigurePlace& place : figure_places)
    add(place.id, place.title, take(figures, place.figures), take(sections, place.sections));
  add("more", "More", std::move(figures), std::move(sections));
  return parts;
}

std::string count_text(double count) {
  return count < 100 ? fmt::format("{:.3g}", count) : count < 1e15 ? format_count(std::llround(count)) : "many";
}

PageFact best_fact(const StudyReport& report) {
  const bool any_ok = std::any_of(report.strategies.begin(), report.strategies.end(),
                                  [](const StrategySummary& strategy) { return strategy.best.has_value(); });
  if (!any_ok) return {.label = "Fastest", .value = "none", .detail = no_fastest_text(report), .is_bad = true};
  if (!report.best) return {};  // of different tasks
  const CellSummary& cell = report.cells[*report.best];
  std::string detail = seconds_text(cell.time->mean) + " s";
  if (const auto rate = number(cell, "tokens_per_s")) detail += fmt::format(", {} tokens/s", count_text(*rate));
  if (const auto right = number(cell, "acc_norm")) detail += fmt::format(", accuracy {}", percent_text(right));
  return {.label = "Fastest", .value = report.place(cell), .detail = detail};
}

// By running, of strategies that cut nothing.
PageFact frontier_fact(const StudyReport& report) {
  constexpr std::size_t most = 8;
  std::string others;
  std::size_t count = 0;
  const StrategySummary* largest = nullptr;
  for (const StrategySummary& strategy : report.strategies) {
    if (!strategy.frontier || !strategy.frontier->largest_ran || !strategy.capacity_bytes) continue;
    if (strategy.spec.max_tokens_per_sequence) continue;
    if (largest == nullptr || *strategy.frontier->largest_ran > *largest->frontier->largest_ran) largest = &strategy;
    if (++count <= most)
      others += fmt::format("{}{} {}", others.empty() ? "" : ", ", strategy.label, *strategy.frontier->largest_ran);
  }
  if (largest == nullptr) return {};
  if (count > most) others += fmt::format(" and {} more", count - most);
  return {.label = "Largest batch in memory",
          .value = fmt::format("{}, {} sequences", largest->label, *largest->frontier->largest_ran),
          .detail = count > 1 ? others : ""};
}

PageFact cells_fact(const StudyReport& report) {
  std::map<std::string, std::size_t> counts;
  for (const CellSummary& cell : report.cells) ++counts[cell.status];
  std::string detail;
  for (const auto& [status, label] : {std::pair("ok", "ok"),
                                      {"out_of_memory", "out of memory"},
                                      {"truncated", "TRUNCATED"},
                                      {"degraded", "DEGRADED"},
                                      {"failed", "failed"},
                                      {"timed_out", "timed out"},
                                      {"not run", "not run"}})
    if (counts[status] > 0) detail += fmt::format("{}{} {}", detail.empty() ? "" : ", ", counts[status], label);
  return {.label = "Cells",
          .value = fmt::format("{} of {} done", report.cells.size() - counts["not run"], report.cells.size()),
          .detail = detail,
          .is_bad = counts["truncated"] + counts["degraded"] + counts["failed"] + counts["timed_out"] > 0};
}

// Of cells that cut nothing: what batch, layout or kernels did to the answers.
PageFact answers_fact(const StudyReport& report) {
  if (!report.reference) return {};
  std::int64_t most = 0, compared = 0;
  const CellSummary* changed = nullptr;
  for (const CellSummary& cell : report.cells) {
    if (cell.status != "ok" || !cell.paired) continue;
    ++compared;
    if (cell.paired->changed <= most) continue;
    most = cell.paired->changed;
    changed = &cell;
  }
  if (compared == 0) return {};
  if (changed == nullptr)
    return {.label = "Changed answers",
            .value = "none",
            .detail = fmt::format("in {} cells against {}", compared, report.place(report.cells[*report.reference]))};
  return {.label = "Changed answers",
          .value = fmt::format("up to {} of {}", most, changed->paired->items),
          .detail = fmt::format("by {}; {} correct lost, {} gained", report.place(*changed), changed->paired->lost,
                                changed->paired->gained)};
}

PageFact validity_fact(const StudyReport& report) {
  std::size_t invalid = 0, known = 0;
  for (const CellSummary& cell : report.cells) {
    known += cell.valid.has_value() ? 1 : 0;
    invalid += cell.valid == false ? 1 : 0;
  }
  if (known == 0) return {};
  return {.label = "Validity",
          .value = invalid == 0 ? "all valid" : fmt::format("{} of {} not valid", invalid, known),
          .detail = invalid == 0 ? "as measurements" : "as measurements; the reasons are below",
          .is_bad = invalid > 0};
}

// Items that some cell answers otherwise than the reference; those that most cells change first.
std::string changed_items_html(const StudyReport& report) {
  constexpr std::size_t most = 100;
  struct Change {
    const ChangedItem* item;
    std::size_t cells = 0;
    std::string by;
  };
  std::map<std::string, Change> changes;
  std::size_t compared = 0;
  for (const CellSummary& cell : report.cells) {
    compared += cell.paired ? 1 : 0;
    for (const ChangedItem& item : cell.changed) {
      Change& change = changes.try_emplace(item.id_json, Change{&item, 0, ""}).first->second;
      if (++change.cells <= 3) change.by += (change.by.empty() ? "" : "; ") + report.place(cell);
    }
  }
  if (changes.empty()) return "";
  std::vector<const Change*> order;
  for (const auto& [id, change] : changes) order.push_back(&change);
  std::stable_sort(order.begin(), order.end(), [](const Change* a, const Change* b) { return a->cells > b->cells; });
  TextTable table({"item", "right", "reference", "changed by", "which"});
  for (std::size_t i = 0; i < std::min(order.size(), most); ++i) {
    const Change& change = *order[i];
    table.add({{change.item->id_json},
               count_field(change.item->gold),
               count_field(change.item->reference),
               {fmt::format("{} of {} cells", change.cells, compared), Colour::none, static_cast<double>(change.cells)},
               {change.cells > 3 ? fmt::format("{}; …", change.by) : change.by}});
  }
  std::string out = "<section class=\"table\" id=\"table-items\">\n<h3>Items whose answers changed</h3>\n" +
                    html_table(table, "Items whose answers changed");
  if (order.size() > most)
    out += fmt::format("<p class=\"note\">{} of {} items; report --json has all of them.</p>\n", most, order.size());
  return out + "</section>\n";
}

// Sessions' series and attempts, looked up once.
class CellSeries {
 public:
  CellSeries(const StudyReport& report, const StoreReader& reader) : reader_(reader) {
    for (const AttemptRecord& attempt : reader.attempts()) attempts_[attempt.id] = attempt;
    std::int64_t intervals = 0, series = 0;
    for (const CellSummary& cell : report.cells)
      if (const AttemptRecord* attempt = attempt_of(cell)) {
        ++intervals;
        series += static_cast<std::int64_t>(series_within(*attempt).size());
      }
    budget_ = series_budget(intervals, series / std::max<std::int64_t>(intervals, 1) + 1);
  }

  // Null where there is none, or where it never ended.
  const AttemptRecord* attempt_of(const CellSummary& cell) const {
    if (!cell.attempt) return nullptr;
    const auto found = attempts_.find(*cell.attempt);
    return found != attempts_.end() && found->second.end && *found->second.end > found->second.begin ? &found->second
                                                                                                     : nullptr;
  }

  std::string names_html() const { return script_json("series-names", names_.json()); }

  std::string html(std::size_t cell, const AttemptRecord& attempt, const std::vector<Phase>& phases) {
    return script_json("series-" + cell_anchor(cell), interval_json(reader_, series_within(attempt), phases,
                                                                    attempt.begin, *attempt.end, budget_, names_));
  }

 private:
  struct Known {
    SeriesRecord series;
    SeriesSummary summary;
  };

  std::vector<SeriesRecord> series_within(const AttemptRecord& attempt) {
    auto found = sessions_.find(attempt.session);
    if (found == sessions_.end()) {
      found = sessions_.emplace(attempt.session, std::vector<Known>()).first;
      for (SeriesRecord& series : reader_.series(attempt.session)) {
        const SeriesSummary summary = reader_.summary(series.id);
        found->second.push_back({std::move(series), summary});
      }
    }
    std::vector<SeriesRecord> within;
    for (const Known& known : found->second)
      if (known.summary.begin && *known.summary.begin <= *attempt.end && *known.summary.end >= attempt.begin)
        within.push_back(known.series);
    return within;
  }

  const StoreReader& reader_;
  std::map<std::int64_t, AttemptRecord> attempts_;
  std::map<std::int64_t, std::vector<Known>> sessions_;
  SeriesBudget budget_;
  SeriesNames names_;
};

PagePart cells_part(const StudyReport& report, const StoreReader& reader) {
  constexpr std::size_t most_items = 100, items_in_all = 5000;
  const std::size_t items =
      std::clamp<std::size_t>(items_in_all / std::max<std::size_t>(report.cells.size(), 1), 10, most_items);
  PagePart part{.id = "cells", .title = "Cells"};
  part.html =
      cell_table_html(report, to_json(report)) + "<div class=\"details-list\">\n<h3>Details of each cell</h3>\n";
  CellSeries series(report, reader);
  std::string data;
  for (std::size_t cell = 0; cell < report.cells.size(); ++cell) {
    std::vector<Phase> phases;
    if (const AttemptRecord* attempt = series.attempt_of(report.cells[cell])) {
      phases = reader.phases(attempt->id);
      data += series.html(cell, *attempt, phases);
    }
    part.html += cell_details_html(report, cell, phases, items);
  }
  part.html += "</div>\n<noscript><p class=\"note\">Time series are drawn by JavaScript.</p></noscript>\n" + data +
               series.names_html();
  return part;
}

std::vector<PageFact> facts_of(const StudyReport& report) {
  std::vector<PageFact> facts{best_fact(report), frontier_fact(report), cells_fact(report), answers_fact(report),
                              validity_fact(report)};
  std::erase_if(facts, [](const PageFact& fact) { return fact.value.empty(); });
  return facts;
}

}  // namespace

Page study_page(const StudyReport& report, const StoreReader& reader) {
  Page page{.title = "study " + report.name, .subtitle = origin_text(report.environment, reader.sessions())};
  if (report.has_virtual_devices) page.badges.push_back("VIRTUAL DEVICES");
  page.facts = facts_of(report);
  page.parts = figures_and_tables(report);
  const std::string items = changed_items_html(report);
  for (PagePart& part : page.parts)
    if (part.id == "accuracy") part.html += items;
  page.parts.push_back(cells_part(report, reader));
  page.parts.push_back(origin_part(reader));
  return page;
}

}  // namespace batchscope
