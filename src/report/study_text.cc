// A study's tables (report/study_report.h): the paper's, for the terminal and for the page.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/json.h"
#include "base/units.h"
#include "report/cell_numbers.h"
#include "report/effects.h"
#include "report/section.h"
#include "report/study_report.h"
#include "report/table_fields.h"
#include "report/text.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

using Field = TextTable::Field;

// What stands in every table where a cell has no numbers.
Field status_field(const CellSummary& cell) {
  if (cell.status == "out_of_memory") return {"out of memory", Colour::yellow};
  if (cell.status == "timed_out") return {"timed out", Colour::red};
  if (cell.status == "failed") return {"failed", Colour::red};
  return {"not run", Colour::dim};
}

// Rows: batches; columns: strategies.
class Pivot {
 public:
  explicit Pivot(const StudyReport& report) : report_(report) {}

  using FieldOf = std::function<Field(const CellSummary&)>;

  TextTable table(const FieldOf& field_of, const FieldOf& without_numbers = status_field) const {
    std::vector<std::string> header{"batch"};
    header.insert(header.end(), report_.columns.begin(), report_.columns.end());
    TextTable table(header);
    for (const StudyReport::Row& at : report_.rows) {
      std::vector<Field> row{
          {at.token_limit.empty() ? std::to_string(at.batch) : fmt::format("{} {}", at.batch, at.token_limit)}};
      for (std::size_t column = 0; column < report_.columns.size(); ++column) {
        const CellSummary* cell = report_.cell(column, at);
        row.push_back(cell == nullptr      ? Field{"-", Colour::dim}
                      : has_numbers(*cell) ? field_of(*cell)
                                           : without_numbers(*cell));
      }
      table.add(std::move(row));
    }
    return table;
  }

 private:
  const StudyReport& report_;
};

// A strategy's label; what looks like a result and is none says so.
Field loud_label(const StudyReport& report, const CellSummary& cell) {
  if (!is_loud(cell.status)) return {report.label(cell)};
  return {report.label(cell) + " " + status_words(cell.status), Colour::red};
}

Field time_and_accuracy(const CellSummary& cell, const StudyReport& report) {
  const double seconds = cell.time->mean;
  std::string text = seconds_text(seconds);
  if (const auto right = number(cell, "acc_norm")) text += " / " + percent_text(right);
  if (is_loud(cell.status)) return {text + " " + status_words(cell.status), Colour::red, seconds};
  if (cell.status != "ok") return {text + " " + status_field(cell).text, Colour::red, seconds};
  const auto& best = report.strategies[cell.strategy].best;
  const bool is_best = best && &report.cells[*best] == &cell;
  if (is_best) text += " *";
  return {text, is_best ? Colour::green : Colour::none, seconds};
}

Section time_section(const StudyReport& report, const Pivot& pivot) {
  const auto& strategies = report.strategies;
  const bool any_best =
      std::any_of(strategies.begin(), strategies.end(), [](const auto& s) { return s.best.has_value(); });
  const bool per_request = std::any_of(report.cells.begin(), report.cells.end(), [](const CellSummary& cell) {
    return cell.spec.workload && cell.spec.workload->requests == Workload::one_batch;
  });
  std::string note = !any_best     ? "no fastest cell: " + no_fastest_text(report)
                     : per_request ? "* least time a request in its column"
                                   : "* fastest in its column";
  if (report.best)
    note += fmt::format("; fastest overall: {}, batch {}", report.label(report.cells[*report.best]),
                        report.cells[*report.best].spec.run.batch);
  const bool any_scored = std::any_of(report.cells.begin(), report.cells.end(),
                                      [](const CellSummary& cell) { return number(cell, "acc_norm").has_value(); });
  return {"time",
          any_scored ? "Time and accuracy: seconds / accuracy (acc_norm)" : "Time: seconds",
          pivot.table([&](const CellSummary& cell) { return time_and_accuracy(cell, report); }),
          {note}};
}

// Only where cells ran a sample.
Section whole_section(const StudyReport& report, const Pivot& pivot) {
  std::set<std::int64_t> items;
  for (const CellSummary& cell : report.cells)
    if (whole_seconds(cell))
      items.insert(maybe_integer(JsonObject(cell.result, "result").object("whole_task"), "items").value_or(0));
  Section section{"whole", "Whole task, extrapolated: seconds with 95 % intervals / accuracy (acc_norm)"};
  if (items.empty()) return section;
  section.table = pivot.table([](const CellSummary& cell) -> Field {
    const auto whole = whole_seconds(cell);
    if (!whole) return {"?"};
    const std::string error = whole->high ? seconds_text(*whole->high - whole->mean) : "?";
    std::string text = fmt::format("{} ± {}", seconds_text(whole->mean), error);
    if (const auto right = number(cell, "acc_norm")) text += " / " + percent_text(right);
    if (is_loud(cell.status)) return {text + " " + status_words(cell.status), Colour::red, whole->mean};
    return {text, cell.valid == false ? Colour::dim : Colour::none, whole->mean};
  });
  section.notes = {fmt::format("of {} questions, by a sample that has all lengths in their proportion",
                               format_count(*items.rbegin()))};
  return section;
}

// How far the model of performance was off, before anything ran.
constexpr double near_factor = 1.5;

Section estimate_section(const StudyReport& report, const Pivot& pivot) {
  std::vector<double> ratios;
  for (const CellSummary& cell : report.cells)
    if (const auto ratio = measured_to_estimated(cell)) ratios.push_back(*ratio);
  Section section{"estimate", "Time by the performance model: seconds, and measured / estimated"};
  if (ratios.empty()) return section;
  section.table = pivot.table([](const CellSummary& cell) -> Field {
    const auto ratio = measured_to_estimated(cell);
    if (!ratio) return {"?"};
    const bool is_near = *ratio<near_factor&& * ratio> 1 / near_factor;
    return {fmt::format("{} ×{:.2f}", seconds_text(number(cell, "estimated_seconds")), *ratio),
            is_near ? Colour::none : Colour::yellow, ratio};
  });
  std::sort(ratios.begin(), ratios.end());
  const auto near = std::count_if(ratios.begin(), ratios.end(),
                                  [](double ratio) { return ratio < near_factor && ratio > 1 / near_factor; });
  section.notes = {fmt::format("estimated before the cells ran; {} of {} within a factor of {}, median ×{:.2f}", near,
                               ratios.size(), near_factor, ratios[ratios.size() / 2])};
  return section;
}

// How far repeats lie apart; only for studies that have any.
Section repeats_section(const StudyReport& report, const Pivot& pivot) {
  return {"repeats", fmt::format("Seconds with 95 % intervals from {} repeats", report.repeats),
          pivot.table([](const CellSummary& cell) -> Field {
            const auto& [mean, low, high] = *cell.time;
            const std::string half_width = low ? seconds_text(*high - mean) : "?";
            return {fmt::format("{} ± {}", seconds_text(mean), half_width), Colour::none, mean};
          })};
}

Section rates_section(const Pivot& pivot) {
  return {"rates", "Traffic: bytes sent per second, mean of the devices",
          pivot.table([](const CellSummary& cell) -> Field {
            const auto rate = sent_bytes_per_s(cell);
            if (!rate) return {"?"};
            return {format_bytes(*rate) + "/s", Colour::none, rate};
          })};
}

Section busy_section(const Pivot& pivot) {
  return {"busy", "Devices' time: % computing / communicating / idle, mean of the devices",
          pivot.table([](const CellSummary& cell) -> Field {
            const auto mean = [&](std::optional<double> DeviceRecord::*part) {
              return mean_over_devices(cell, [&](const DeviceRecord& device) { return device.*part; });
            };
            const auto text = [](const std::optional<double>& share) {
              return share ? fmt::format("{:.0f}", *share * 100) : std::string("?");
            };
            const auto compute = mean(&DeviceRecord::busy_compute);
            return {fmt::format("{} / {} / {}", text(compute), text(mean(&DeviceRecord::busy_communicate)),
                                text(mean(&DeviceRecord::busy_idle))),
                    Colour::none, compute};
          })};
}

// Three notions of utilisation, where the devices' own counters have theirs.
Section use_section(const Pivot& pivot, const StudyReport& report) {
  Section section{"use",
                  "Utilisation: % in use by the driver / multiprocessors active / computing, mean of the devices"};
  if (std::none_of(report.cells.begin(), report.cells.end(),
                   [](const CellSummary& cell) { return mean_over_devices(cell, "utilisation").has_value(); }))
    return section;
  section.table = pivot.table([](const CellSummary& cell) -> Field {
    const auto text = [](const std::optional<double>& share) {
      return share ? fmt::format("{:.0f}", *share * 100) : std::string("?");
    };
    const auto driver = mean_over_devices(cell, "utilisation");
    const auto computing = mean_over_devices(cell, [](const DeviceRecord& device) { return device.busy_compute; });
    return {fmt::format("{} / {} / {}", text(driver), text(mean_over_devices(cell, "sm_active")), text(computing)),
            Colour::none, driver};
  });
  return section;
}

Section energy_section(const Pivot& pivot, const StudyReport& report) {
  Section section{"energy", "Energy: joules of all devices per question or request"};
  if (std::none_of(report.cells.begin(), report.cells.end(),
                   [](const CellSummary& cell) { return joules_per_item(cell).has_value(); }))
    return section;
  section.table = pivot.table([](const CellSummary& cell) -> Field {
    const auto joules = joules_per_item(cell);
    return {joules ? fmt::format("{:.3g}", *joules) : "?", Colour::none, joules};
  });
  return section;
}

// What the paper's sampler made of the same cells, mean of the devices.
Section paper_section(const StudyReport& report) {
  Section section{"paper",
                  "The paper's method beside exact counters: PCIe bytes sent and received, mean of the devices"};
  TextTable table({"strategy", "batch", "TX seen", "its TX rate", "exact", "RX seen", "its RX rate", "exact", "its use",
                   "driver's"});
  for (const CellSummary& cell : report.cells) {
    const auto paper = [&](const std::string& key) { return paper_number(cell, key); };
    if (!has_numbers(cell) || !paper("utilisation")) continue;
    std::vector<Field> row{loud_label(report, cell), count_field(cell.spec.run.batch)};
    for (const std::string direction : {"tx", "rx"}) {
      const auto seen = paper(direction + "_seen_bytes"), exact = paper(direction + "_exact_bytes");
      const auto share = seen && exact && *exact > 0 ? std::optional(*seen / *exact) : std::nullopt;
      const auto rate = paper(direction + "_bytes_per_s");
      row.push_back({percent_text(share, 0), Colour::none, share});
      row.push_back({rate ? format_bytes(*rate) + "/s" : "?", Colour::none, rate});
      const auto exact_rate = exact ? std::optional(*exact / number(cell, "seconds").value()) : std::nullopt;
      row.push_back({exact_rate ? format_bytes(*exact_rate) + "/s" : "?", Colour::none, exact_rate});
    }
    row.push_back(share_field(paper("utilisation")));
    row.push_back(share_field(mean_over_devices(cell, "utilisation")));
    table.add(std::move(row));
  }
  if (table.empty()) return section;
  section.table = std::move(table);
  section.notes = {"seen: the share of the bytes that fell into the windows of its calls"};
  return section;
}

// The device that uses most, and whether it is what the plan said, to the byte.
Field memory_field(const CellSummary& cell) {
  const DeviceRecord* fullest = nullptr;
  bool exact = true;
  for (const DeviceRecord& device : cell.devices) {
    if (!device.peak_bytes) return {"?"};
    exact = exact && device.peak_bytes == device.planned_bytes;
    if (fullest == nullptr || *device.peak_bytes > *fullest->peak_bytes) fullest = &device;
  }
  if (fullest == nullptr) return {"?"};
  const auto peak = static_cast<double>(*fullest->peak_bytes);
  if (exact) return {format_bytes(peak), Colour::none, peak};
  return {fmt::format("{} (plan {})", format_bytes(peak), bytes_text(as_double(fullest->planned_bytes))),
          Colour::yellow, peak};
}

// What a cell that ran out of memory would have needed.
Field memory_wanted(const CellSummary& cell) {
  const auto planned = planned_bytes(cell);
  if (cell.status != "out_of_memory" || planned.value_or(0) <= 0) return status_field(cell);
  return {fmt::format("needs {}", format_bytes(*planned)), Colour::yellow};
}

Section memory_section(const StudyReport& report, const Pivot& pivot) {
  std::set<std::string> limits;
  for (const StrategySummary& strategy : report.strategies)
    limits.insert(strategy.capacity_bytes ? format_bytes(static_cast<double>(*strategy.capacity_bytes)) : "no limit");
  std::string line = "limit of each device:";
  for (const std::string& limit : limits) line += (line.back() == ':' ? " " : ", ") + limit;
  return {"memory",
          "Peak memory of the fullest device (plan in brackets where it differs)",
          pivot.table(memory_field, memory_wanted),
          {line}};
}

Section frontier_section(const StudyReport& report) {
  TextTable table({"strategy", "by running", "by the plan", "tries", "limit"});
  std::vector<std::string> notes;
  for (const StrategySummary& strategy : report.strategies) {
    if (!strategy.frontier) continue;
    const FrontierRecord& found = *strategy.frontier;
    if (!strategy.capacity_bytes && !found.largest_ran && !found.largest_plan) continue;
    const Colour colour = found.largest_ran == found.largest_plan ? Colour::none : Colour::yellow;
    const auto batch = [&](const std::optional<std::int64_t>& value) -> Field {
      return {!value ? "?" : *value == 0 ? "none fits" : std::to_string(*value), colour, as_double(value)};
    };
    table.add({{strategy.label},
               batch(found.largest_ran),
               batch(found.largest_plan),
               count_field(static_cast<std::int64_t>(found.tries.size())),
               bytes_field(as_double(strategy.capacity_bytes), "none")});
    if (!found.reason.empty()) notes.push_back(fmt::format("{}: {}", strategy.label, found.reason));
  }
  return {"frontier", "Largest batch before out of memory", std::move(table), std::move(notes)};
}

// A row a cell that generated.
Section requests_section(const StudyReport& report) {
  TextTable table({"strategy", "batch", "requests", "out tok/s", "TTFT p50", "p99", "TPOT p50", "p99", "E2E p50", "p99"});
  for (const CellSummary& cell : report.cells) {
    if (!has_requests(cell)) continue;
    const auto ms = [&](const char* times, const char* share) -> Field {
      const auto value = percentile(cell, times, share);
      return {value ? milliseconds_text(value) : "-", Colour::none, value};
    };
    const auto rate = number(cell, "output_tokens_per_s");
    table.add({loud_label(report, cell),
               count_field(cell.spec.run.batch),
               count_field(static_cast<std::int64_t>(*number(cell, "requests"))),
               {rate ? fmt::format("{:.0f}", *rate) : "?", Colour::none, rate},
               ms("ttft_ms", "p50"),
               ms("ttft_ms", "p99"),
               ms("tpot_ms", "p50"),
               ms("tpot_ms", "p99"),
               ms("latency_ms", "p50"),
               ms("latency_ms", "p99")});
  }
  return {"requests",
          "Generation: time from arrival to first token (TTFT) and to the last (E2E), time per output token (TPOT), ms",
          std::move(table)};
}

Section goodput_section(const StudyReport& report) {
  Section section{"goodput", "Goodput: requests with " + report.slo};
  TextTable table({"strategy", "batch", "requests", "in time", "share", "requests/s in time"});
  for (const CellSummary& cell : report.cells) {
    if (!has_requests(cell) || !cell.goodput) continue;
    table.add({loud_label(report, cell),
               count_field(cell.spec.run.batch),
               count_field(static_cast<std::int64_t>(*number(cell, "requests"))),
               count_field(cell.goodput->met),
               share_field(cell.goodput->share),
               {fmt::format("{:.3g}", cell.goodput->requests_per_s), Colour::none, cell.goodput->requests_per_s}});
  }
  if (!table.empty()) section.table = std::move(table);
  return section;
}

std::string accuracy_line_key(const CellSummary& cell) {
  const auto& p = cell.paired;
  return fmt::format("{} {} {} {} {}", cell.status, number(cell, "acc_norm").value_or(-1), p ? p->changed : -1,
                     p ? p->lost : -1, p ? p->gained : -1);
}

std::vector<Field> accuracy_row(const StudyReport& report, const CellSummary& cell, const Field& batches) {
  const auto& paired = cell.paired;
  const bool is_reference = report.reference && &report.cells[*report.reference] == &cell;
  const auto percent = [&](const char* key) { return fmt::format("{:.1f}", number(cell, key).value_or(0) * 100); };
  Field changed{is_reference ? "reference" : "?"}, p{""};
  if (paired) {
    changed = count_field(paired->changed);
    if (paired->lost + paired->gained > 0) changed.text += fmt::format(" (-{} +{})", paired->lost, paired->gained);
    p = {paired->p < 0.0001 ? std::string("<0.0001") : fmt::format("{:.4f}", paired->p),
         paired->p < 0.05 ? Colour::red : Colour::none, paired->p};
  }
  return {loud_label(report, cell),
          batches,
          share_field(number(cell, "acc_norm")),
          {fmt::format("{}–{}", percent("acc_norm_low"), percent("acc_norm_high"))},
          changed,
          p};
}

// Batches of a strategy that answered alike share a row.
Section accuracy_section(const StudyReport& report) {
  TextTable table({"strategy", "batch", "accuracy", "95 %", "changed", "p"});
  for (std::size_t strategy = 0; strategy < report.strategies.size(); ++strategy) {
    std::vector<const CellSummary*> cells;
    for (const CellSummary& cell : report.cells)
      if (cell.strategy == strategy && has_numbers(cell) && number(cell, "acc_norm")) cells.push_back(&cell);
    std::sort(cells.begin(), cells.end(),
              [](const CellSummary* a, const CellSummary* b) { return a->spec.run.batch < b->spec.run.batch; });
    for (std::size_t begin = 0; begin < cells.size();) {
      std::size_t end = begin + 1;
      while (end < cells.size() && accuracy_line_key(*cells[end]) == accuracy_line_key(*cells[begin])) ++end;
      const std::int64_t first = cells[begin]->spec.run.batch, last = cells[end - 1]->spec.run.batch;
      table.add(accuracy_row(report, *cells[begin],
                             {first == last ? std::to_string(first) : fmt::format("{}-{}", first, last), Colour::none,
                              static_cast<double>(first)}));
      begin = end;
    }
  }
  std::string heading = "Accuracy by acc_norm";
  if (report.reference) {
    const CellSummary& reference = report.cells[*report.reference];
    heading += fmt::format(", and answers that differ from {}, batch {}: changed (correct lost, gained), McNemar's p",
                           report.label(reference), reference.spec.run.batch);
  }
  return {"accuracy", heading, std::move(table)};
}

// At each strategy's fastest batch.
Section traffic_section(const StudyReport& report) {
  TextTable table({"strategy", "devices", "link", "predicted", "counted", "link's own", "closure"});
  for (const StrategySummary& strategy : report.strategies) {
    if (!strategy.fastest) continue;
    for (std::vector<Field>& row : traffic_rows(report.cells[*strategy.fastest])) {
      row.insert(row.begin(), Field{strategy.label});
      table.add(std::move(row));
    }
  }
  return {"traffic", "Traffic of each device and link at each strategy's best batch; closure = seen / predicted",
          std::move(table)};
}

// Cells whose reasons differ in one number at most.
struct Alike {
  std::vector<std::pair<std::string, std::string>> batches_of;  // label, "1, 2, 4"
  std::set<std::int64_t> numbers;

  void add(const std::string& label, std::int64_t batch) {
    const auto known =
        std::find_if(batches_of.begin(), batches_of.end(), [&](const auto& entry) { return entry.first == label; });
    if (known != batches_of.end())
      known->second += fmt::format(", {}", batch);
    else
      batches_of.emplace_back(label, std::to_string(batch));
  }
  std::string where() const {
    std::string text;
    for (const auto& [label, batches] : batches_of)
      text += fmt::format("{}{}, batch {}", text.empty() ? "" : "; ", label, batches);
    return text;
  }
};

// What is not to be trusted, cells with like reasons together: "other processes used 48 to 70 % of the CPUs".
void add_disturbed(const StudyReport& report, std::vector<std::string>& notes) {
  std::map<std::pair<std::string, std::string>, Alike> groups;  // by what stands before and behind the number
  for (const CellSummary& cell : report.cells) {
    if (cell.valid != false || cell.status != "ok") continue;
    constexpr const char* digits = "0123456789";
    const std::string& reason = cell.reason;
    const auto begin = std::min(reason.find_first_of(digits), reason.size());
    const auto end = std::min(reason.find_first_not_of(digits, begin), reason.size());
    Alike& group = groups[{reason.substr(0, begin), reason.substr(end)}];
    group.add(report.label(cell), cell.spec.run.batch);
    if (end > begin && end - begin < 18) group.numbers.insert(std::stoll(reason.substr(begin, end - begin)));
  }
  for (const auto& [around, group] : groups) {
    std::string number = group.numbers.empty() ? "" : std::to_string(*group.numbers.begin());
    if (group.numbers.size() > 1) number += fmt::format(" to {}", *group.numbers.rbegin());
    notes.push_back(
        fmt::format("Not valid as measurements: {}{}{}: {}", around.first, number, around.second, group.where()));
  }
}

// Cells that did something else than asked, each with its reason; those disturbed share a line.
Section troubles_section(const StudyReport& report) {
  Section section{"troubles", "Cells that did not run as requested"};
  for (const CellSummary& cell : report.cells) {
    if (cell.status == "ok" || cell.status == "not run" || cell.status == "out_of_memory") continue;
    section.notes.push_back(fmt::format("{}: {}: {}", report.place(cell), status_words(cell.status), cell.reason));
  }
  add_disturbed(report, section.notes);
  return section;
}

// What is doubtful about the models and tasks, once however many cells have it.
Section warnings_section(const StudyReport& report) {
  Section section{"warnings", "Warnings"};
  for (const CellSummary& cell : report.cells) {
    const auto warnings =
        cell.result.is_object() ? cell.result.value("warnings", nlohmann::json::array()) : nlohmann::json();
    for (const auto& warning : warnings)
      if (warning.is_string() &&
          std::find(section.notes.begin(), section.notes.end(), warning.get<std::string>()) == section.notes.end())
        section.notes.push_back(warning.get<std::string>());
  }
  return section;
}

Section closing_section(const StudyReport& report) {
  const auto done = std::count_if(report.cells.begin(), report.cells.end(),
                                  [](const CellSummary& cell) { return cell.status != "not run"; });
  std::string text = fmt::format("{} of {} cells are done, in {} session{}; the file holds {} time series.", done,
                                 report.cells.size(), report.sessions, report.sessions == 1 ? "" : "s", report.series);
  if (report.has_virtual_devices)
    text +=
        " All cpu: devices are VIRTUAL: simulated on this machine's CPU, with links that copy and count bytes;"
        " their times are not a GPU's.";
  return {"closing", "", std::nullopt, {text}};
}

bool is_empty(const Section& section) { return (!section.table || section.table->empty()) && section.notes.empty(); }

}  // namespace

std::vector<Section> study_sections(const StudyReport& report) {
  const Pivot pivot(report);
  std::vector<Section> sections{time_section(report, pivot)};
  if (report.repeats > 1) sections.push_back(repeats_section(report, pivot));
  sections.push_back(whole_section(report, pivot));
  sections.push_back(estimate_section(report, pivot));
  sections.push_back(requests_section(report));
  sections.push_back(goodput_section(report));
  const auto tells = [](const CellSummary& cell) { return has_numbers(cell) && !cell.devices.empty(); };
  if (std::any_of(report.cells.begin(), report.cells.end(), tells)) {
    sections.push_back(rates_section(pivot));
    sections.push_back(busy_section(pivot));
    sections.push_back(use_section(pivot, report));
    sections.push_back(energy_section(pivot, report));
    sections.push_back(paper_section(report));
    sections.push_back(memory_section(report, pivot));
  }
  for (Section& section : effects_sections(report)) sections.push_back(std::move(section));
  sections.push_back(frontier_section(report));
  sections.push_back(accuracy_section(report));
  sections.push_back(traffic_section(report));
  sections.push_back(troubles_section(report));
  sections.push_back(warnings_section(report));
  sections.push_back(closing_section(report));
  std::erase_if(sections, is_empty);
  return sections;
}

std::string to_text(const StudyReport& report, bool colour) {
  std::string text =
      fmt::format("study {}{}\n", visible(report.name), report.has_virtual_devices ? " (virtual devices)" : "");
  for (const Section& section : study_sections(report)) text += to_text(section, colour);
  return text;
}

}  // namespace batchscope
