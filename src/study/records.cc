// Rows of the store from a cell's result, by way of its JSON (study/records.h).
#include "study/records.h"

#include <cmath>
#include <limits>
#include <utility>

#include "study/json_optional.h"

namespace batchscope {

std::string id_text(const nlohmann::json& id) {
  return id.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

namespace {

ItemRecord item_record(const ItemScore& item) {
  return {.id_json = id_text(item.id),
          .gold = item.gold,
          .log_likelihoods = item.log_likelihoods,
          .tokens = item.tokens,
          .truncated = item.truncated,
          .prediction = item.prediction,
          .prediction_norm = item.prediction_norm,
          .prediction_bytes = item.prediction_bytes,
          .prediction_tokens = item.prediction_tokens};
}

RequestRecord request_record(const RequestResult& request) {
  return {.id_json = id_text(request.id),
          .arrival_s = to_seconds(request.arrival),
          .admitted_s = to_seconds(request.admitted),
          .first_token_s = to_seconds(request.first_token),
          .end_s = to_seconds(request.end),
          .prompt_tokens = request.prompt_tokens,
          .output_tokens = request.output_tokens,
          .truncated = request.truncated};
}

LedgerRecord ledger_record(const LedgerEntry& entry) {
  return {.rank = entry.rank,
          .collective = entry.collective,
          .algorithm = entry.algorithm,
          .phase = entry.phase,
          .calls = entry.calls,
          .payload_bytes = entry.payload_bytes,
          .predicted_tx_bytes = entry.predicted_tx_bytes,
          .predicted_rx_bytes = entry.predicted_rx_bytes,
          .counted_tx_bytes = entry.counted_tx_bytes,
          .counted_rx_bytes = entry.counted_rx_bytes};
}

nlohmann::json item_json(const ItemRecord& item) {
  return {{"id", item.id_json},
          {"gold", item.gold},
          {"ll", item.log_likelihoods},
          {"tokens", item.tokens},
          {"truncated", item.truncated},
          {"pred", item.prediction},
          {"pred_norm", item.prediction_norm},
          {"pred_bytes", json_or_null(item.prediction_bytes)},
          {"pred_tokens", json_or_null(item.prediction_tokens)}};
}

const nlohmann::json& array_of(const JsonObject& object, const char* key) {
  const nlohmann::json* found = object.find(key);
  if (found == nullptr || !found->is_array()) object.refuse(key, "an array");
  return *found;
}

ItemRecord item_from_json(const nlohmann::json& json) {
  const JsonObject fields(json, "worker's item");
  ItemRecord item;
  item.id_json = fields.text("id");
  item.gold = fields.integer("gold", 0, any_integer);
  for (const auto& value : array_of(fields, "ll"))  // JSON has no NaN: it comes as null
    item.log_likelihoods.push_back(value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN());
  for (const auto& value : array_of(fields, "tokens")) {
    if (!value.is_number_integer()) fields.refuse("tokens", "whole numbers");
    item.tokens.push_back(value.get<std::int64_t>());
  }
  item.truncated = fields.boolean("truncated");
  item.prediction = fields.integer("pred", 0, any_integer);
  item.prediction_norm = fields.integer("pred_norm", 0, any_integer);
  item.prediction_bytes = maybe_integer(fields, "pred_bytes");
  item.prediction_tokens = maybe_integer(fields, "pred_tokens");
  return item;
}

nlohmann::json request_json(const RequestRecord& request) {
  return {{"id", request.id_json},
          {"arrival_s", request.arrival_s},
          {"admitted_s", request.admitted_s},
          {"first_token_s", request.first_token_s},
          {"end_s", request.end_s},
          {"prompt_tokens", request.prompt_tokens},
          {"output_tokens", request.output_tokens},
          {"truncated", request.truncated}};
}

RequestRecord request_from_json(const nlohmann::json& json) {
  const JsonObject fields(json, "worker's request");
  constexpr double largest = std::numeric_limits<double>::max();
  const auto seconds = [&](const char* key) { return fields.number(key, -largest, largest); };
  return {.id_json = fields.text("id"),
          .arrival_s = seconds("arrival_s"),
          .admitted_s = seconds("admitted_s"),
          .first_token_s = seconds("first_token_s"),
          .end_s = seconds("end_s"),
          .prompt_tokens = fields.integer("prompt_tokens", 0, any_integer),
          .output_tokens = fields.integer("output_tokens", 0, any_integer),
          .truncated = fields.boolean("truncated")};
}

nlohmann::json phase_json(const Phase& phase) {
  return {{"name", phase.name},
          {"track", phase.track},
          {"begin", phase.begin.count()},
          {"end", phase.end.count()},
          {"clock", phase.clock},
          {"offset", phase.clock_offset.count()},
          {"error", phase.clock_error.count()},
          {"detail", phase.detail}};
}

Phase phase_from_json(const nlohmann::json& json) {
  const JsonObject fields(json, "worker's phase");
  const auto time = [&](const char* key) { return Nanoseconds(fields.integer(key, -any_integer, any_integer)); };
  return {.name = fields.text("name"),
          .track = fields.text("track"),
          .begin = time("begin"),
          .end = time("end"),
          .clock = fields.text("clock"),
          .clock_offset = time("offset"),
          .clock_error = time("error"),
          .detail = fields.text("detail")};
}

nlohmann::json ledger_json(const LedgerRecord& entry) {
  return {{"rank", entry.rank},
          {"collective", entry.collective},
          {"algorithm", entry.algorithm},
          {"phase", entry.phase},
          {"calls", entry.calls},
          {"payload_bytes", entry.payload_bytes},
          {"predicted_tx_bytes", json_or_null(entry.predicted_tx_bytes)},
          {"predicted_rx_bytes", json_or_null(entry.predicted_rx_bytes)},
          {"counted_tx_bytes", json_or_null(entry.counted_tx_bytes)},
          {"counted_rx_bytes", json_or_null(entry.counted_rx_bytes)}};
}

LedgerRecord ledger_from_json(const nlohmann::json& json) {
  const JsonObject fields(json, "worker's ledger");
  return {.rank = fields.integer("rank", 0, any_integer),
          .collective = fields.text("collective"),
          .algorithm = fields.text("algorithm"),
          .phase = fields.text("phase"),
          .calls = fields.integer("calls", 0, any_integer),
          .payload_bytes = fields.integer("payload_bytes", 0, any_integer),
          .predicted_tx_bytes = maybe_integer(fields, "predicted_tx_bytes"),
          .predicted_rx_bytes = maybe_integer(fields, "predicted_rx_bytes"),
          .counted_tx_bytes = maybe_integer(fields, "counted_tx_bytes"),
          .counted_rx_bytes = maybe_integer(fields, "counted_rx_bytes")};
}

LinkRecord link_record(const nlohmann::json& json) {
  const JsonObject fields(json, "result's link");
  return {.kind = fields.text("kind"),
          .predicted_tx_bytes = maybe_integer(fields, "predicted_tx_bytes"),
          .predicted_rx_bytes = maybe_integer(fields, "predicted_rx_bytes"),
          .counted_tx_bytes = maybe_integer(fields, "counted_tx_bytes"),
          .counted_rx_bytes = maybe_integer(fields, "counted_rx_bytes"),
          .link_tx_bytes = maybe_integer(fields, "link_tx_bytes"),
          .link_rx_bytes = maybe_integer(fields, "link_rx_bytes")};
}

AttemptResult attempt_result(const nlohmann::json& json) {
  const JsonObject fields(json, "worker's result");
  return {.status = to_string(parse_cell_status(fields.text("status"))),
          .valid = maybe_boolean(fields, "valid"),
          .reason = fields.text("reason"),
          .seconds = maybe_number(fields, "seconds"),
          .load_seconds = maybe_number(fields, "load_seconds"),
          .result_json = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

}  // namespace

std::vector<DeviceRecord> device_records(const nlohmann::json& result) {
  std::vector<DeviceRecord> devices;
  for (const auto& json : array_of(JsonObject(result, "result"), "devices")) {
    const JsonObject fields(json, "result's device");
    const JsonObject memory = fields.object("memory"), busy = fields.object("busy");
    DeviceRecord device;
    device.name = fields.text("name");
    device.is_virtual = fields.boolean("virtual");
    device.capacity_bytes = maybe_integer(memory, "capacity_bytes");
    device.planned_bytes = maybe_integer(memory, "planned_bytes");
    device.peak_bytes = maybe_integer(memory, "peak_bytes");
    device.busy_compute = maybe_number(busy, "compute");
    device.busy_communicate = maybe_number(busy, "communicate");
    device.busy_idle = maybe_number(busy, "idle");
    device.energy_j = maybe_number(fields, "energy_j");
    for (const auto& link : array_of(fields, "links")) device.links.push_back(link_record(link));
    devices.push_back(std::move(device));
  }
  return devices;
}

CellRecords to_records(const CellResult& result, std::vector<Phase> phases) {
  const nlohmann::json json = to_json(result);
  CellRecords records;
  records.result = attempt_result(json);
  records.devices = device_records(json);
  for (const ItemScore& item : result.items) records.items.push_back(item_record(item));
  for (const RequestResult& request : result.requests) records.requests.push_back(request_record(request));
  if (result.run)
    for (const LedgerEntry& entry : result.run->ledger) records.ledger.push_back(ledger_record(entry));
  records.phases = std::move(phases);
  return records;
}

void set_estimate(AttemptResult& result, double seconds) {
  nlohmann::json json = parse_json(result.result_json, "result");
  json["estimated_seconds"] = seconds;
  result.result_json = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json to_json(const CellRecords& records) {
  nlohmann::json items = nlohmann::json::array(), requests = items, phases = items, ledger = items;
  for (const ItemRecord& item : records.items) items.push_back(item_json(item));
  for (const RequestRecord& request : records.requests) requests.push_back(request_json(request));
  for (const Phase& phase : records.phases) phases.push_back(phase_json(phase));
  for (const LedgerRecord& entry : records.ledger) ledger.push_back(ledger_json(entry));
  return {{"result", parse_json(records.result.result_json, "result")},
          {"items", std::move(items)},
          {"requests", std::move(requests)},
          {"phases", std::move(phases)},
          {"ledger", std::move(ledger)}};
}

CellRecords cell_records_from_json(const nlohmann::json& json) {
  const JsonObject fields(json, "worker's answer");
  const nlohmann::json* result = fields.find("result");
  if (result == nullptr) fields.refuse("result", "an object");
  CellRecords records;
  records.result = attempt_result(*result);
  records.devices = device_records(*result);
  for (const auto& item : array_of(fields, "items")) records.items.push_back(item_from_json(item));
  for (const auto& request : array_of(fields, "requests")) records.requests.push_back(request_from_json(request));
  for (const auto& phase : array_of(fields, "phases")) records.phases.push_back(phase_from_json(phase));
  for (const auto& entry : array_of(fields, "ledger")) records.ledger.push_back(ledger_from_json(entry));
  return records;
}

}  // namespace batchscope
