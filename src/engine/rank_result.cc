// A rank's result as CBOR, which keeps every bit of a number (engine/rank_result.h).
#include "engine/rank_result.h"

#include <nlohmann/json.hpp>

namespace batchscope {
namespace {

using nlohmann::json;

template <class T>
json maybe(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}
template <class T>
std::optional<T> maybe(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<T>());
}

json ticks(const std::vector<Nanoseconds>& times) {
  json all = json::array();
  for (const Nanoseconds time : times) all.push_back(time.count());
  return all;
}
std::vector<Nanoseconds> times(const json& ticks) {
  std::vector<Nanoseconds> all;
  for (const json& count : ticks) all.emplace_back(count.get<std::int64_t>());
  return all;
}
Nanoseconds time(const json& count) { return Nanoseconds(count.get<std::int64_t>()); }

json to_json(const LinkReport& link) {
  return {static_cast<int>(link.kind),     maybe(link.predicted_tx_bytes), maybe(link.predicted_rx_bytes),
          maybe(link.counted_tx_bytes),    maybe(link.counted_rx_bytes),   maybe(link.link_tx_bytes),
          maybe(link.link_rx_bytes)};
}
LinkReport link_of(const json& values) {
  const auto bytes = [&](std::size_t i) { return maybe<std::int64_t>(values[i]); };
  return {static_cast<LinkKind>(values[0].get<int>()), bytes(1), bytes(2), bytes(3), bytes(4), bytes(5), bytes(6)};
}

json to_json(const DeviceReport& device) {
  json links = json::array();
  for (const LinkReport& link : device.links) links.push_back(to_json(link));
  return {{"name", device.name},
          {"virtual", device.is_virtual},
          {"threads", maybe(device.threads)},
          {"capacity", maybe(device.memory.capacity_bytes)},
          {"planned", maybe(device.memory.planned_bytes)},
          {"peak", maybe(device.memory.peak_bytes)},
          {"links", links},
          {"busy", device.busy ? json{device.busy->compute, device.busy->communicate, device.busy->idle} : json()},
          {"energy", maybe(device.energy_joule)}};
}
DeviceReport device_of(const json& values) {
  DeviceReport device{.name = values["name"], .is_virtual = values["virtual"], .threads = maybe<int>(values["threads"])};
  device.memory.capacity_bytes = maybe<std::int64_t>(values["capacity"]);
  device.memory.planned_bytes = maybe<std::int64_t>(values["planned"]);
  device.memory.peak_bytes = maybe<std::int64_t>(values["peak"]);
  for (const json& link : values["links"]) device.links.push_back(link_of(link));
  if (const json& busy = values["busy"]; !busy.is_null()) device.busy = {busy[0], busy[1], busy[2]};
  device.energy_joule = maybe<double>(values["energy"]);
  return device;
}

json to_json(const LedgerEntry& entry) {
  return {entry.rank,
          entry.collective,
          entry.algorithm,
          entry.phase,
          entry.ranks,
          entry.calls,
          entry.payload_bytes,
          entry.predicted_tx_bytes,
          entry.predicted_rx_bytes,
          maybe(entry.counted_tx_bytes),
          maybe(entry.counted_rx_bytes)};
}
LedgerEntry entry_of(const json& values) {
  return {values[0], values[1], values[2], values[3], values[4],
          values[5], values[6], values[7], values[8], maybe<std::int64_t>(values[9]),
          maybe<std::int64_t>(values[10])};
}

json to_json(const Phase& phase) {
  return {phase.name,  phase.track,
          phase.begin.count(),        phase.end.count(),
          phase.clock, phase.clock_offset.count(),
          phase.clock_error.count(),  phase.detail};
}
Phase phase_of(const json& values) {
  return {values[0], values[1], time(values[2]), time(values[3]), values[4], time(values[5]), time(values[6]), values[7]};
}

json to_json(const GeneratedSequence& sequence) {
  return {sequence.tokens, sequence.admitted.count(), sequence.first_token.count(), sequence.end.count()};
}
GeneratedSequence sequence_of(const json& values) {
  return {.tokens = values[0], .admitted = time(values[1]), .first_token = time(values[2]), .end = time(values[3])};
}

template <class Values>
json all_json(const Values& values) {
  json all = json::array();
  for (const auto& value : values) all.push_back(to_json(value));
  return all;
}

template <class Read>
auto all_of(const json& values, const Read& read) {
  std::vector<decltype(read(values))> all;
  for (const json& value : values) all.push_back(read(value));
  return all;
}

}  // namespace

std::string to_bytes(const RankResult& result) {
  std::string bytes;
  json::to_cbor({{"device", to_json(result.device)},
                 {"ledger", all_json(result.ledger)},
                 {"phases", all_json(result.phases)},
                 {"clock", {result.clock.offset.count(), result.clock.error.count()}},
                 {"log_likelihoods", result.log_likelihoods},
                 {"started", ticks(result.started)},
                 {"ended", ticks(result.ended)},
                 {"sequences", all_json(result.sequences)},
                 {"step_times", ticks(result.step_times)},
                 {"computed", result.computed}},
                bytes);
  return bytes;
}

RankResult rank_result_from_bytes(std::string_view bytes) {
  const json values = json::from_cbor(bytes);
  return {.device = device_of(values["device"]),
          .ledger = all_of(values["ledger"], entry_of),
          .phases = all_of(values["phases"], phase_of),
          .clock = {time(values["clock"][0]), time(values["clock"][1])},
          .log_likelihoods = values["log_likelihoods"],
          .started = times(values["started"]),
          .ended = times(values["ended"]),
          .sequences = all_of(values["sequences"], sequence_of),
          .step_times = times(values["step_times"]),
          .computed = values["computed"]};
}

}  // namespace batchscope
