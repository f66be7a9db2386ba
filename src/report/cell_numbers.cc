// Single numbers of a cell (report/cell_numbers.h).
#include "report/cell_numbers.h"

#include <algorithm>

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

std::optional<double> sent_bytes_per_s(const CellSummary& cell) {
  return bytes_per_s(cell, &DeviceTraffic::counted_tx);
}
std::optional<double> received_bytes_per_s(const CellSummary& cell) {
  return bytes_per_s(cell, &DeviceTraffic::counted_rx);
}

std::optional<double> peak_bytes(const CellSummary& cell) { return most(cell, &DeviceRecord::peak_bytes); }
std::optional<double> planned_bytes(const CellSummary& cell) { return most(cell, &DeviceRecord::planned_bytes); }

}  // namespace batchscope
