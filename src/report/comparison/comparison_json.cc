// A comparison as JSON: the numbers of its tables, unrounded (report/comparison/comparison.h).
#include "report/comparison/comparison.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

nlohmann::json number_json(const Compared& number) {
  return {{"a", json_or_null(number.a)},
          {"b", json_or_null(number.b)},
          {"ratio", json_or_null(number.ratio)},
          {"judgement", to_string(number.judgement)},
          {"why", number.why}};
}

nlohmann::json noisy_json(const Compared& number) {
  nlohmann::json json = number_json(number);
  json["low"] = json_or_null(number.low);
  json["high"] = json_or_null(number.high);
  json["p_adjusted"] = json_or_null(number.p);
  return json;
}

nlohmann::json accuracy_json(const CellComparison& cell) {
  nlohmann::json json = number_json(cell.accuracy);
  json["p_adjusted"] = json_or_null(cell.accuracy.p);
  const auto count = [&](std::int64_t Paired::*member) {
    return cell.answers ? nlohmann::json(*cell.answers.*member) : nlohmann::json(nullptr);
  };
  json["items"] = count(&Paired::items);
  json["changed"] = count(&Paired::changed);
  json["lost"] = count(&Paired::lost);
  json["gained"] = count(&Paired::gained);
  return json;
}

nlohmann::json cell_json(const CellComparison& cell) {
  return {{"key", cell.key},
          {"label", cell.label},
          {"status", {{"judgement", to_string(cell.status.judgement)}, {"why", cell.status.why}}},
          {"seconds", noisy_json(cell.time)},
          {"acc_norm", accuracy_json(cell)},
          {"peak_bytes", number_json(cell.memory)},
          {"sent_bytes", number_json(cell.traffic)},
          {"tokens_computed", number_json(cell.computed)},
          {"tokens_padding", number_json(cell.padding)},
          {"batch_p50_ms", number_json(cell.p50_ms)},
          {"batch_p99_ms", number_json(cell.p99_ms)},
          {"ttft_ms", number_json(cell.ttft_ms)},
          {"tpot_ms", number_json(cell.tpot_ms)}};
}

nlohmann::json differences_json(const std::vector<Difference>& differences) {
  nlohmann::json list = nlohmann::json::array();
  for (const Difference& one : differences) list.push_back({{"what", one.what}, {"a", one.a}, {"b", one.b}});
  return list;
}

}  // namespace

nlohmann::json to_json(const Comparison& comparison) {
  nlohmann::json cells = nlohmann::json::array(), frontiers = nlohmann::json::array();
  for (const CellComparison& cell : comparison.cells) cells.push_back(cell_json(cell));
  for (const FrontierComparison& frontier : comparison.frontiers) {
    frontiers.push_back(number_json(frontier.largest));
    frontiers.back()["label"] = frontier.label;
  }
  const std::vector<std::string> regressions = comparison.regressions();
  return {{"a", {{"file", comparison.file_a}, {"study", comparison.study_a}}},
          {"b", {{"file", comparison.file_b}, {"study", comparison.study_b}}},
          {"regression", !regressions.empty()},
          {"regressions", regressions},
          {"not_judged", comparison.not_judged()},
          {"thresholds",
           {{"time", comparison.thresholds.time},
            {"accuracy", comparison.thresholds.accuracy},
            {"memory", comparison.thresholds.memory},
            {"traffic", comparison.thresholds.traffic},
            {"disturbed", comparison.thresholds.judge_disturbed}}},
          {"run_noise", comparison.run_noise},
          {"overall_time", noisy_json(comparison.overall)},
          {"cells", std::move(cells)},
          {"largest_batches", std::move(frontiers)},
          {"only_in_a", comparison.only_in_a},
          {"only_in_b", comparison.only_in_b},
          {"settings", differences_json(comparison.settings)},
          {"environment", differences_json(comparison.environment)}};
}

}  // namespace batchscope
