// A study's report as JSON: the numbers of its tables, unrounded (report/study_report.h).
#include "report/cell_numbers.h"
#include "report/study_report.h"
#include "study/grid.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

nlohmann::json paired_json(const std::optional<Paired>& paired) {
  if (!paired) return nullptr;
  return {{"items", paired->items},
          {"changed", paired->changed},
          {"lost", paired->lost},
          {"gained", paired->gained},
          {"mcnemar_mid_p", paired->p}};
}

nlohmann::json time_json(const std::optional<MeanInterval>& time) {
  if (!time) return nullptr;
  return {{"mean", time->mean}, {"low", json_or_null(time->low)}, {"high", json_or_null(time->high)}};
}

nlohmann::json traffic_json(const CellSummary& cell) {
  nlohmann::json devices = nlohmann::json::array();
  for (const DeviceRecord& device : cell.devices) {
    const DeviceTraffic traffic = traffic_of(device);
    devices.push_back({{"name", device.name},
                       {"tx_closure_counted", json_or_null(closure(traffic.counted_tx, traffic.predicted_tx))},
                       {"rx_closure_counted", json_or_null(closure(traffic.counted_rx, traffic.predicted_rx))},
                       {"tx_closure_link", json_or_null(closure(traffic.link_tx, traffic.predicted_tx))},
                       {"rx_closure_link", json_or_null(closure(traffic.link_rx, traffic.predicted_rx))}});
  }
  return devices;
}

nlohmann::json ledger_json(const std::vector<LedgerRecord>& ledger) {
  nlohmann::json entries = nlohmann::json::array();
  for (const LedgerRecord& entry : ledger)
    entries.push_back({{"rank", entry.rank},
                       {"collective", entry.collective},
                       {"algorithm", entry.algorithm},
                       {"phase", entry.phase},
                       {"calls", entry.calls},
                       {"payload_bytes", entry.payload_bytes},
                       {"predicted_tx_bytes", json_or_null(entry.predicted_tx_bytes)},
                       {"predicted_rx_bytes", json_or_null(entry.predicted_rx_bytes)},
                       {"counted_tx_bytes", json_or_null(entry.counted_tx_bytes)},
                       {"counted_rx_bytes", json_or_null(entry.counted_rx_bytes)}});
  return entries;
}

nlohmann::json changed_json(const std::vector<ChangedItem>& changed) {
  nlohmann::json items = nlohmann::json::array();
  for (const ChangedItem& item : changed)
    items.push_back({{"id", parse_json(item.id_json, "id of an item")},
                     {"gold", item.gold},
                     {"reference", item.reference},
                     {"here", item.here}});
  return items;
}

nlohmann::json goodput_json(const std::optional<load::Goodput>& goodput) {
  if (!goodput) return nullptr;
  return {{"met", goodput->met},
          {"share", goodput->share},
          {"requests_per_s", goodput->requests_per_s},
          {"output_tokens_per_s", json_or_null(goodput->output_tokens_per_s)}};
}

nlohmann::json cell_json(const CellSummary& cell, const StudyReport& report) {
  return {{"key", cell_key(cell.spec, 1)},
          {"strategy", report.strategies[cell.strategy].name},
          {"batch", cell.spec.run.batch},
          {"spec", to_json(cell.spec)},
          {"status", cell.status},
          {"valid", json_or_null(cell.valid)},
          {"reason", cell.reason},
          {"repeats", cell.repeats},
          {"interrupted_attempts", cell.interrupted},
          {"seconds", cell.seconds},
          {"time", time_json(cell.time)},
          {"estimated_seconds", json_or_null(number(cell, "estimated_seconds"))},
          {"measured_to_estimated", json_or_null(measured_to_estimated(cell))},
          {"result", cell.result},
          {"goodput", goodput_json(cell.goodput)},
          {"closure", traffic_json(cell)},
          {"ledger", ledger_json(cell.ledger)},
          {"against_reference", paired_json(cell.paired)},
          {"changed_items", changed_json(cell.changed)}};
}

nlohmann::json effect_json(const Effect& effect, const StudyReport& report) {
  nlohmann::json time = nullptr;
  if (effect.time)
    time = {{"ratio", effect.time->ratio},
            {"low", json_or_null(effect.time->low)},
            {"high", json_or_null(effect.time->high)},
            {"pairs", effect.time->pairs}};
  return {{"axis", effect.axis},
          {"from", effect.from},
          {"to", effect.to},
          {"baseline", cell_key(report.cells[effect.baseline].spec, 1)},
          {"cell", cell_key(report.cells[effect.cell].spec, 1)},
          {"batch", report.cells[effect.cell].spec.run.batch},
          {"time_ratio", time}};
}

nlohmann::json strategy_json(const StrategySummary& strategy, const StudyReport& report) {
  nlohmann::json json = {{"name", strategy.name},
                         {"label", strategy.label},
                         {"device_memory_bytes", json_or_null(strategy.capacity_bytes)},
                         {"best_batch", nullptr},
                         {"largest_batch_ran", nullptr},
                         {"largest_batch_planned", nullptr},
                         {"frontier_tries", nlohmann::json::array()},
                         {"frontier_reason", nullptr}};
  if (strategy.best) json["best_batch"] = report.cells[*strategy.best].spec.run.batch;
  if (!strategy.frontier) return json;
  json["largest_batch_ran"] = json_or_null(strategy.frontier->largest_ran);
  json["largest_batch_planned"] = json_or_null(strategy.frontier->largest_plan);
  json["frontier_reason"] = strategy.frontier->reason;
  for (const FrontierRecord::Try& attempt : strategy.frontier->tries)
    json["frontier_tries"].push_back(
        {{"batch", attempt.batch}, {"status", attempt.status}, {"reason", attempt.reason}});
  return json;
}

nlohmann::json key_or_null(const StudyReport& report, std::optional<std::size_t> cell) {
  return cell ? nlohmann::json(cell_key(report.cells[*cell].spec, 1)) : nlohmann::json(nullptr);
}

}  // namespace

nlohmann::json to_json(const StudyReport& report) {
  nlohmann::json strategies = nlohmann::json::array(), cells = nlohmann::json::array(), effects = strategies;
  for (const StrategySummary& strategy : report.strategies) strategies.push_back(strategy_json(strategy, report));
  for (const CellSummary& cell : report.cells) cells.push_back(cell_json(cell, report));
  for (const Effect& effect : report.effects) effects.push_back(effect_json(effect, report));
  return {{"study", report.name},
          {"repeats", report.repeats},
          {"sessions", report.sessions},
          {"time_series", report.series},
          {"reference", key_or_null(report, report.reference)},
          {"best", key_or_null(report, report.best)},
          {"chance", json_or_null(report.chance)},
          {"slo", report.slo.empty() ? nlohmann::json() : nlohmann::json(report.slo)},
          {"strategies", std::move(strategies)},
          {"cells", std::move(cells)},
          {"effects", std::move(effects)},
          {"environment", report.environment}};
}

}  // namespace batchscope
