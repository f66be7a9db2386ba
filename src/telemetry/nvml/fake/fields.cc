// Fields of a fake GPU (fields.h).
#include "telemetry/nvml/fake/fields.h"

namespace batchscope::nvml::fake {
namespace {

// A link's counter, or that of all links.
Return give_nvlink(const Gpu& gpu, FieldValue& field, NvlinkCounters counters, Direction direction,
                   std::uint64_t millionths_of_data, Nanoseconds now) {
  if (gpu.spec().nvlink_counters != counters || gpu.spec().nvlinks == 0) return not_supported;
  const bool all = field.scope == all_links && counters == NvlinkCounters::total;
  if (!all && field.scope >= gpu.spec().nvlinks) return invalid_argument;
  const std::uint64_t data = all ? gpu.nvlink_bytes(direction, now) : gpu.nvlink_bytes(direction, field.scope, now);
  const auto bytes = static_cast<std::uint64_t>(static_cast<Int128>(data) * millionths_of_data / millionths);
  field.type = value_unsigned_long_long;
  field.value.unsigned_long = counters == NvlinkCounters::total ? bytes / 1024 : bytes;
  return success;
}

}  // namespace

Return give_field(const Gpu& gpu, FieldValue& field, Nanoseconds now) {
  const auto number = [&](std::uint32_t value) {
    field.type = value_unsigned_int;
    field.value.unsigned_int = value;
    return success;
  };
  const auto long_number = [&](std::uint64_t value) {
    field.type = value_unsigned_long_long;
    field.value.unsigned_long = value;
    return success;
  };
  constexpr auto data = static_cast<std::uint64_t>(millionths);
  const auto raw = static_cast<std::uint64_t>(gpu.spec().nvlink_raw_millionths);
  using enum NvlinkCounters;
  switch (field.field) {
    case field_power_violation_ns:
      return long_number(gpu.capped_ns(Rate::power_capped, now));
    case field_thermal_violation_ns:
      return long_number(gpu.capped_ns(Rate::thermally_capped, now));
    case field_memory_temperature:
      return number(gpu.at(now).memory_temperature_c);
    case field_energy_mj:
      return long_number(gpu.energy_mj(now));
    case field_nvlink_link_count:
      return number(gpu.spec().nvlinks);
    case field_pcie_replay:
      return number(0);
    case field_nvlink_data_tx_kib:
      return give_nvlink(gpu, field, total, Direction::tx, data, now);
    case field_nvlink_data_rx_kib:
      return give_nvlink(gpu, field, total, Direction::rx, data, now);
    case field_nvlink_raw_tx_kib:
      return give_nvlink(gpu, field, total, Direction::tx, raw, now);
    case field_nvlink_raw_rx_kib:
      return give_nvlink(gpu, field, total, Direction::rx, raw, now);
    case field_nvlink_xmit_bytes:
      return give_nvlink(gpu, field, per_link, Direction::tx, data, now);
    case field_nvlink_rcv_bytes:
      return give_nvlink(gpu, field, per_link, Direction::rx, data, now);
    case field_nvlink_speed_mbps:
      return gpu.spec().nvlinks == 0 ? not_supported : number(gpu.spec().nvlink_speed_mbps);
    case field_power_average_mw:
      return number(gpu.mean_power_mw(now, std::chrono::seconds(1)));
    case field_power_instant_mw:
      return number(gpu.power_mw(now));
    case field_pcie_tx_bytes:
      return long_number(gpu.pcie_bytes(Direction::tx, now));
    case field_pcie_rx_bytes:
      return long_number(gpu.pcie_bytes(Direction::rx, now));
    default:
      return not_supported;
  }
}

}  // namespace batchscope::nvml::fake
