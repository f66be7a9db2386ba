// Single numbers of a cell (report/cell_numbers.h).
#include "report/cell_numbers.h"

#include <algorithm>
#include <cmath>

#include "study/json_optional.h"

namespace batchscope {
namespace {

std::optional<double> bytes_per_s(const CellSummary& cell, std::optional<double> DeviceTraffic::*direction) {
  const auto seconds = number(cell, "seconds");
  const auto bytes = mean_over_devices(cell, [&](const DeviceRecord& device) -> std::optional<double> {
    if (device.links.empty()) return 0;
    return traffic_of(device).*direction;
  });
  if (!bytes || !seconds || *seconds <= 0) return std::nullopt;
  return *bytes / *seconds;
}

std::optional<double> most(const CellSummary& cell, std::optional<std::int64_t> DeviceRecord::*bytes) {
  std::optional<double> most;
  for (const DeviceRecord& device : cell.devices) {
    if (!(device.*bytes)) return std::nullopt;
    most = std::max(most.value_or(0), static_cast<double>(*(device.*bytes)));
  }
  return most;
}

}  // namespace

std::optional<double> number(const CellSummary& cell, const char* key) {
  return cell.result.is_object() ? maybe_number(JsonObject(cell.result, "result"), key) : std::nullopt;
}

std::optional<MeanInterval> whole_seconds(const CellSummary& cell) {
  if (!has_numbers(cell) || !cell.result.is_object()) return std::nullopt;
  const JsonObject result(cell.result, "result");
  if (!result.has("whole_task")) return std::nullopt;
  const JsonObject whole = result.object("whole_task");
  const auto seconds = maybe_number(whole, "seconds"), high = maybe_number(whole, "high"),
             ran = number(cell, "seconds");
  if (!seconds || !ran || *seconds <= 0 || *ran <= 0) return std::nullopt;
  MeanInterval mean{.mean = cell.time->mean * *seconds / *ran, .low = std::nullopt, .high = std::nullopt};
  if (!high) return mean;
  const double repeats = cell.time->high ? *cell.time->high / cell.time->mean - 1 : 0;
  const double error = mean.mean * std::hypot(*high / *seconds - 1, repeats);
  mean.low = std::max(mean.mean - error, 0.0);
  mean.high = mean.mean + error;
  return mean;
}

std::optional<double> measured_to_estimated(const CellSummary& cell) {
  const auto estimated = number(cell, "estimated_seconds");
  if (!cell.time || !estimated || *estimated <= 0) return std::nullopt;
  return cell.time->mean / *estimated;
}

std::optional<double> percentile(const CellSummary& cell, const char* times, const char* share) {
  if (!cell.result.is_object()) return std::nullopt;
  const JsonObject result(cell.result, "result");
  return result.has(times) ? maybe_number(result.object(times), share) : std::nullopt;
}

bool has_requests(const CellSummary& cell) { return has_numbers(cell) && number(cell, "requests").has_value(); }

std::optional<double> mean_over_devices(const CellSummary& cell,
                                        const std::function<std::optional<double>(const DeviceRecord&)>& get) {
  double sum = 0;
  for (const DeviceRecord& device : cell.devices) {
    const auto value = get(device);
    if (!value) return std::nullopt;
    sum += *value;
  }
  return cell.devices.empty() ? std::nullopt : std::optional(sum / static_cast<double>(cell.devices.size()));
}

namespace {

std::optional<double> mean_over_results(const CellSummary& cell,
                                        const std::function<std::optional<double>(const JsonObject&)>& get) {
  if (!cell.result.is_object() || !cell.result.contains("devices")) return std::nullopt;
  double sum = 0;
  const nlohmann::json& devices = cell.result.at("devices");
  for (const nlohmann::json& device : devices) {
    const auto value = get(JsonObject(device, "result's device"));
    if (!value) return std::nullopt;
    sum += *value;
  }
  return devices.empty() ? std::nullopt : std::optional(sum / static_cast<double>(devices.size()));
}

}  // namespace

std::optional<double> mean_over_devices(const CellSummary& cell, const char* key) {
  return mean_over_results(cell, [&](const JsonObject& device) { return maybe_number(device, key); });
}

std::optional<double> paper_number(const CellSummary& cell, const std::string& key) {
  return mean_over_results(cell, [&](const JsonObject& device) -> std::optional<double> {
    return device.has("paper") ? maybe_number(device.object("paper"), key.c_str()) : std::nullopt;
  });
}

std::optional<double> joules_per_item(const CellSummary& cell) {
  const auto each = mean_over_devices(cell, [](const DeviceRecord& device) { return device.energy_j; });
  auto items = number(cell, "items");
  if (!items) items = number(cell, "requests");
  if (!each || items.value_or(0) <= 0) return std::nullopt;
  return *each * static_cast<double>(cell.devices.size()) / *items;
}

std::optional<double> kept_share(const CellSummary& cell) {
  if (!cell.result.is_object() || !cell.result.contains("tokens")) return std::nullopt;
  const JsonObject result(cell.result, "result"), tokens = result.object("tokens");
  const auto requested = maybe_number(tokens, "requested"), truncated = maybe_number(tokens, "truncated");
  if (!requested || !truncated || *requested <= 0) return std::nullopt;
  return 1 - *truncated / *requested;
}

std::optional<double> sent_bytes_per_s(const CellSummary& cell) {
  return bytes_per_s(cell, &DeviceTraffic::counted_tx);
}
std::optional<double> received_bytes_per_s(const CellSummary& cell) {
  return bytes_per_s(cell, &DeviceTraffic::counted_rx);
}

std::optional<double> peak_bytes(const CellSummary& cell) { return most(cell, &DeviceRecord::peak_bytes); }
std::optional<double> planned_bytes(const CellSummary& cell) { return most(cell, &DeviceRecord::planned_bytes); }

}  // namespace batchscope
