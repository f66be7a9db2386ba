// Reads a study's numbers from its file (report/study_report.h).
#include "report/study_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/json.h"
#include "report/effects.h"
#include "report/goodput.h"
#include "study/grid.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

// The worst first: a cell is as good as its worst repeat.
int gravity(const std::string& status) {
  constexpr const char* order[] = {"failed", "timed_out", "out_of_memory", "degraded", "truncated", "ok"};
  for (int i = 0; i < 6; ++i)
    if (status == order[i]) return i;
  return 6;
}

// Guessing is right at one item in as many as it has choices.
std::optional<double> chance_of(const std::vector<ItemRecord>& items) {
  double sum = 0;
  for (const ItemRecord& item : items) {
    if (item.log_likelihoods.empty()) return std::nullopt;
    sum += 1 / static_cast<double>(item.log_likelihoods.size());
  }
  return items.empty() ? std::nullopt : std::optional(sum / static_cast<double>(items.size()));
}

// What is asked of the model, however it runs.
std::string task_of(const CellSpec& spec) {
  std::string task;
  for (const char* word : {"task", "limit", "sample", "sample-seed"}) task += find_axis(word)->text(spec) + "|";
  for (const Axis& axis : axes())
    if (axis.is_of_workload()) task += axis.text(spec) + "|";
  return task;
}

// What the time of a cell is divided by to compare it: cells of one batch of requests have different numbers of them.
double requests_of(const CellSummary& cell) {
  const bool is_one_batch = cell.spec.workload && cell.spec.workload->requests == Workload::one_batch;
  return is_one_batch ? static_cast<double>(cell.spec.run.batch * cell.spec.placement.layout.replicas()) : 1;
}

class Reader {
 public:
  Reader(const StoreReader& store, const AxisValues& where, std::span<const load::SloTerm> slo)
      : store_(store), where_(where), slo_(slo) {
    report_.slo = load::slo_text(slo);
  }
  StudyReport read(const std::optional<std::string>& name);

 private:
  StudyRecord chosen(const std::optional<std::string>& name) const;
  void read_cells(std::int64_t study);
  std::size_t strategy(const CellSpec& spec, const std::string& name);
  void add_attempt(CellSummary& cell, std::int64_t repeat, const AttemptRecord& attempt);
  void add_details(CellSummary& cell, const AttemptRecord& attempt);
  void finish_strategies(std::int64_t study);
  void lay_out_tables();
  void compare_with_reference(const std::string& study_json);

  const StoreReader& store_;
  const AxisValues& where_;
  const std::span<const load::SloTerm> slo_;
  StudyReport report_;
  std::map<std::string, std::size_t> cell_of_;  // key of repeat 1 to cell
};

std::size_t Reader::strategy(const CellSpec& spec, const std::string& name) {
  for (std::size_t i = 0; i < report_.strategies.size(); ++i)
    if (report_.strategies[i].name == name) return i;
  report_.strategies.push_back({.name = name, .spec = spec, .capacity_bytes = spec.run.device_memory_bytes});
  return report_.strategies.size() - 1;
}

void Reader::read_cells(std::int64_t study) {
  std::map<std::int64_t, std::pair<std::size_t, std::int64_t>> place_of;  // cell's id in the store to cell and repeat
  for (const CellRecord& record : store_.cells(study)) {
    const nlohmann::json json = parse_json(record.spec_json, "cell of the file");
    const JsonObject fields(json, "cell of the file");
    const CellSpec spec = cell_spec_from_json(fields.object("spec").value());
    if (!has_values(spec, where_)) continue;
    const std::string key = cell_key(spec, 1);
    const auto [found, is_new] = cell_of_.emplace(key, report_.cells.size());
    if (is_new) report_.cells.push_back({.spec = spec, .strategy = strategy(spec, strategy_name(spec))});
    const std::int64_t repeat = fields.integer("repeat", 1, any_integer);
    place_of[record.id] = {found->second, repeat};
    report_.repeats = std::max(report_.repeats, repeat);
  }
  for (const AttemptRecord& attempt : store_.attempts())
    if (const auto found = place_of.find(attempt.cell); found != place_of.end())
      add_attempt(report_.cells[found->second.first], found->second.second, attempt);
}

CellRun run_of(std::int64_t repeat, const AttemptRecord& attempt) {
  CellRun run{.repeat = repeat,
              .attempt = attempt.id,
              .status = attempt.status,
              .valid = attempt.valid,
              .reason = attempt.reason,
              .seconds = attempt.seconds};
  if (run.seconds && !(std::isfinite(*run.seconds) && *run.seconds > 0)) run.seconds.reset();
  const nlohmann::json result = parse_json(attempt.result_json, "result of the file");
  const JsonObject fields(result, "result of the file");
  run.ttft_ms = maybe_number(fields, "time_to_first_token_ms");
  run.tpot_ms = maybe_number(fields, "time_per_output_token_ms");
  if (!fields.has("batch_ms")) return run;
  const JsonObject batch = fields.object("batch_ms");
  run.p50_ms = maybe_number(batch, "p50");
  run.p99_ms = maybe_number(batch, "p99");
  return run;
}

void Reader::add_attempt(CellSummary& cell, std::int64_t repeat, const AttemptRecord& attempt) {
  if (attempt.status == "interrupted") ++cell.interrupted;
  if (attempt.status == "interrupted" || attempt.status == "running") return;
  ++cell.repeats;
  cell.runs.push_back(run_of(repeat, attempt));
  if (cell.status == "not run" || gravity(attempt.status) < gravity(cell.status)) {
    cell.status = attempt.status;
    cell.reason = attempt.reason;
  }
  if (attempt.valid && (!cell.valid || *cell.valid)) {
    cell.valid = attempt.valid;
    if (!*attempt.valid && cell.reason.empty()) cell.reason = attempt.reason;
  }
  if (has_scores(attempt.status) && cell.runs.back().seconds) cell.seconds.push_back(*cell.runs.back().seconds);
  const bool better = cell.attempt && has_scores(attempt.status) && !has_scores(cell.result.value("status", ""));
  if (!cell.attempt || better) add_details(cell, attempt);
}

void Reader::add_details(CellSummary& cell, const AttemptRecord& attempt) {
  cell.attempt = attempt.id;
  cell.result = parse_json(attempt.result_json, "result of the file");
  cell.devices = store_.devices(attempt.id);
  cell.ledger = store_.ledger(attempt.id);
  if (!slo_.empty()) cell.goodput = goodput_of(store_.requests(attempt.id), slo_);
  cell.answers.clear();
  const std::vector<ItemRecord> items = store_.items(attempt.id);
  if (!report_.chance) report_.chance = chance_of(items);
  for (const ItemRecord& item : items)
    cell.answers.push_back({item.prediction_norm, item.prediction_norm == item.gold});
}

void Reader::finish_strategies(std::int64_t study) {
  const bool one_task = std::all_of(report_.cells.begin(), report_.cells.end(), [&](const CellSummary& cell) {
    return task_of(cell.spec) == task_of(report_.cells.front().spec);
  });
  for (std::size_t i = 0; i < report_.cells.size(); ++i) {
    CellSummary& cell = report_.cells[i];
    if (!cell.seconds.empty()) cell.time = mean_interval(cell.seconds);
    const auto faster = [&](std::optional<std::size_t> best) {
      return !best ||
             cell.time->mean / requests_of(cell) < report_.cells[*best].time->mean / requests_of(report_.cells[*best]);
    };
    for (const DeviceRecord& device : cell.devices)
      report_.has_virtual_devices = report_.has_virtual_devices || device.is_virtual;
    if (cell.status != "ok" || !cell.time) continue;
    StrategySummary& strategy = report_.strategies[cell.strategy];
    if (faster(strategy.fastest)) strategy.fastest = i;
    if (cell.valid != true) continue;  // nobody knows what its time is worth
    if (faster(strategy.best)) strategy.best = i;
    if (one_task && faster(report_.best)) report_.best = i;
  }
  const std::vector<FrontierRecord> frontiers = store_.frontiers(study);
  for (StrategySummary& strategy : report_.strategies)
    for (const FrontierRecord& frontier : frontiers)
      if (frontier.strategy == strategy.name) strategy.frontier = frontier;
}

// Rows and columns of the tables, and the names of the strategies in them.
void Reader::lay_out_tables() {
  std::vector<CellSpec> specs;
  for (const StrategySummary& strategy : report_.strategies) specs.push_back(strategy.spec);
  const std::vector<std::string> names = short_names(specs);
  std::map<std::string, std::size_t> column_of;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    StrategySummary& strategy = report_.strategies[i];
    const auto [found, is_new] =
        column_of.emplace(strategy_name(without_token_limit(specs[i])), report_.columns.size());
    if (is_new) report_.columns.push_back(names[i]);
    strategy.column = found->second;
    const std::string limit = token_limit_name(specs[i]);
    strategy.label = limit.empty() ? names[i] : names[i] + " " + limit;
  }
  std::map<std::pair<std::int64_t, std::optional<std::int64_t>>, StudyReport::Row> rows;  // by batch and token limit
  for (const CellSummary& cell : report_.cells)
    rows.insert(
        {{cell.spec.run.batch, cell.spec.max_tokens_per_sequence}, {cell.spec.run.batch, token_limit_name(cell.spec)}});
  for (const auto& [place, row] : rows) report_.rows.push_back(row);
}

void Reader::compare_with_reference(const std::string& study_json) {
  const nlohmann::json study = parse_json(study_json, "study of the file");
  const auto reference = maybe_text(JsonObject(study, "study of the file"), "reference");
  const auto found = cell_of_.find(reference.value_or(""));
  if (found == cell_of_.end() || report_.cells[found->second].answers.empty()) return;
  report_.reference = found->second;
  const CellSummary& reference_cell = report_.cells[*report_.reference];
  const std::vector<ItemRecord> items = store_.items(reference_cell.attempt.value());
  for (CellSummary& cell : report_.cells) {
    if (&cell == &reference_cell) continue;
    cell.paired = compare_answers(reference_cell.answers, cell.answers);
    for (std::size_t item = 0; cell.paired && item < items.size(); ++item)
      if (cell.answers[item].prediction != items[item].prediction_norm)
        cell.changed.push_back({.id_json = items[item].id_json,
                                .gold = items[item].gold,
                                .reference = items[item].prediction_norm,
                                .here = cell.answers[item].prediction});
  }
}

StudyRecord Reader::chosen(const std::optional<std::string>& name) const {
  const std::vector<StudyRecord> studies = store_.studies();
  if (studies.empty()) throw InputError("{} holds no study", store_.path().string());
  if (!name && studies.size() == 1) return studies.front();
  std::string names;
  for (const StudyRecord& study : studies) {
    if (study.name == name) return study;
    names += (names.empty() ? "" : ", ") + quote(study.name);
  }
  if (name) throw InputError("{} holds no study {}; it holds {}", store_.path().string(), quote(*name), names);
  throw InputError("{} holds {} studies; choose one with --study: {}", store_.path().string(), studies.size(), names);
}

StudyReport Reader::read(const std::optional<std::string>& name) {
  const StudyRecord study = chosen(name);
  report_.name = study.name;
  read_cells(study.id);
  if (report_.cells.empty() && !where_.empty())
    throw InputError("--where: no cell of {} has these values", report_.name);
  finish_strategies(study.id);
  compare_with_reference(study.spec_json);
  lay_out_tables();
  report_.effects = study_effects(report_.cells);
  report_.series = static_cast<std::int64_t>(store_.series().size());
  const std::vector<SessionRecord> sessions = store_.sessions();
  report_.sessions = static_cast<std::int64_t>(sessions.size());
  if (!sessions.empty()) report_.environment = sessions.back().environment;
  return std::move(report_);
}

template <class Member>
std::optional<double> sum_of_links(const DeviceRecord& device, Member member) {
  std::optional<double> sum;
  for (const LinkRecord& link : device.links) {
    if (!(link.*member)) return std::nullopt;
    sum = sum.value_or(0) + static_cast<double>(*(link.*member));
  }
  return sum;
}

}  // namespace

const CellSummary* StudyReport::cell(std::size_t column, const Row& row) const {
  for (const CellSummary& cell : cells)
    if (strategies[cell.strategy].column == column && Row{cell.spec.run.batch, token_limit_name(cell.spec)} == row)
      return &cell;
  return nullptr;
}

std::string StudyReport::place(const CellSummary& cell) const {
  return fmt::format("{}, batch {}", label(cell), cell.spec.run.batch);
}

std::string no_fastest_text(const StudyReport& report) {
  bool any_ok = false, any_unknown = false;
  for (const CellSummary& cell : report.cells) {
    if (cell.status != "ok") continue;
    any_ok = true;
    any_unknown = any_unknown || !cell.valid;
  }
  if (!any_ok) return "no cell is ok";
  return any_unknown ? "whether any is valid as a measurement is not known" : "none is valid as a measurement";
}

StudyReport read_study_report(const StoreReader& reader, const std::optional<std::string>& study,
                              const AxisValues& where, std::span<const load::SloTerm> slo) {
  return Reader(reader, where, slo).read(study);
}

DeviceTraffic traffic_of(const DeviceRecord& device) {
  return {.predicted_tx = sum_of_links(device, &LinkRecord::predicted_tx_bytes),
          .counted_tx = sum_of_links(device, &LinkRecord::counted_tx_bytes),
          .link_tx = sum_of_links(device, &LinkRecord::link_tx_bytes),
          .predicted_rx = sum_of_links(device, &LinkRecord::predicted_rx_bytes),
          .counted_rx = sum_of_links(device, &LinkRecord::counted_rx_bytes),
          .link_rx = sum_of_links(device, &LinkRecord::link_rx_bytes)};
}

std::optional<double> closure(std::optional<double> seen, std::optional<double> predicted) {
  if (!seen || !predicted || *predicted <= 0) return std::nullopt;
  return *seen / *predicted;
}

}  // namespace batchscope
