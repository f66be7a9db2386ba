// Reading loads (load.h).
#include "telemetry/nvml/fake/load.h"

#include <algorithm>
#include <string>

#include "telemetry/nvml/fake/scenario_json.h"

namespace batchscope::nvml::fake {
namespace {

using nlohmann::json;

constexpr std::array<Word<ProcessKind>, 3> process_kinds{
    {{"compute", ProcessKind::compute}, {"graphics", ProcessKind::graphics}, {"mps", ProcessKind::mps}}};
constexpr std::array<Word<std::uint64_t>, 9> throttle_reasons{{{"idle", reason_idle},
                                                               {"application_clocks", reason_application_clocks},
                                                               {"power_cap", reason_power_cap},
                                                               {"hw_slowdown", reason_hw_slowdown},
                                                               {"sync_boost", reason_sync_boost},
                                                               {"sw_thermal", reason_sw_thermal},
                                                               {"hw_thermal", reason_hw_thermal},
                                                               {"power_brake", reason_power_brake},
                                                               {"display_clocks", reason_display_clocks}}};

std::vector<GpuProcess> parse_processes(const JsonObject& activity, const std::vector<GpuProcess>& fallback) {
  if (!activity.has("processes")) return fallback;
  std::vector<GpuProcess> processes;
  each_object(activity, "processes", 1000, [&](const JsonObject& object) {
    know_keys(object, std::array<std::string_view, 4>{"pid", "bytes", "kind", "utilization"});
    GpuProcess process{.kind = word<ProcessKind>(object, "kind", process_kinds, ProcessKind::compute)};
    const json* pid = object.find("pid");
    if (pid != nullptr && pid->is_string()) {
      if (*pid != "self") object.refuse("pid", "a number, or \"self\"");
    } else {
      process.pid = static_cast<std::uint32_t>(object.integer("pid", 1, 0x7fffffff));
    }
    // Without it the driver cannot say.
    process.used_bytes =
        object.has("bytes") ? static_cast<std::uint64_t>(object.integer("bytes", 0, most_bytes)) : memory_unknown;
    process.utilization = quantity(object, "utilization", 0, 1, millionths, 0);
    processes.push_back(process);
  });
  return processes;
}

std::uint64_t parse_reasons(const JsonObject& activity) {
  std::uint64_t reasons = 0;
  for (const std::string& text : activity.texts("throttle")) {
    const auto found = std::find_if(throttle_reasons.begin(), throttle_reasons.end(),
                                    [&](const auto& each) { return each.word == text; });
    if (found == throttle_reasons.end()) activity.refuse("throttle", "a list of " + all_words(throttle_reasons));
    reasons |= found->value;
  }
  return reasons;
}

constexpr std::array<std::string_view, 21> activity_keys{"seconds",
                                                         "pcie_tx_bytes_per_s",
                                                         "pcie_rx_bytes_per_s",
                                                         "nvlink_tx_bytes_per_s",
                                                         "nvlink_rx_bytes_per_s",
                                                         "power_w",
                                                         "gpu_utilization",
                                                         "memory_utilization",
                                                         "sm_activity",
                                                         "tensor_activity",
                                                         "dram_activity",
                                                         "memory_used_bytes",
                                                         "processes",
                                                         "sm_clock_mhz",
                                                         "memory_clock_mhz",
                                                         "temperature_c",
                                                         "memory_temperature_c",
                                                         "throttle",
                                                         "encoder_utilization",
                                                         "decoder_utilization",
                                                         "fan_speed"};

// What it does not say is as in `idle`.
Activity parse_activity(const JsonObject& object, const Activity& idle) {
  know_keys(object, activity_keys);
  Activity activity = idle;
  const auto rate = [&](Rate which, std::string_view key, double high, double unit) {
    auto& value = activity.rates[static_cast<std::size_t>(which)];
    if (object.has(key)) value = quantity(object, key, 0, high, unit);
  };
  rate(Rate::pcie_tx, "pcie_tx_bytes_per_s", most_bytes, 1);
  rate(Rate::pcie_rx, "pcie_rx_bytes_per_s", most_bytes, 1);
  rate(Rate::nvlink_tx, "nvlink_tx_bytes_per_s", most_bytes, 1);
  rate(Rate::nvlink_rx, "nvlink_rx_bytes_per_s", most_bytes, 1);
  rate(Rate::power, "power_w", 100'000, 1000);
  rate(Rate::gpu_busy, "gpu_utilization", 1, millionths);
  rate(Rate::memory_busy, "memory_utilization", 1, millionths);
  rate(Rate::sm_busy, "sm_activity", 1, millionths);
  rate(Rate::tensor_busy, "tensor_activity", 1, millionths);
  rate(Rate::dram_busy, "dram_activity", 1, millionths);
  activity.memory_used_bytes = object.integer("memory_used_bytes", 0, most_bytes, idle.memory_used_bytes);
  activity.processes = parse_processes(object, idle.processes);
  activity.sm_clock_mhz = small(object, "sm_clock_mhz", 0, 100'000, idle.sm_clock_mhz);
  activity.memory_clock_mhz = small(object, "memory_clock_mhz", 0, 100'000, idle.memory_clock_mhz);
  activity.temperature_c = small(object, "temperature_c", 0, 1000, idle.temperature_c);
  activity.memory_temperature_c = small(object, "memory_temperature_c", 0, 1000, idle.memory_temperature_c);
  const auto percent = [&](std::optional<std::uint32_t>& value, std::string_view key) {
    if (object.has(key)) value = static_cast<std::uint32_t>(quantity(object, key, 0, 1, 100));
  };
  percent(activity.encoder_percent, "encoder_utilization");
  percent(activity.decoder_percent, "decoder_utilization");
  percent(activity.fan_percent, "fan_speed");
  activity.throttle_reasons = object.has("throttle")              ? parse_reasons(object)
                              : activity.rate(Rate::gpu_busy) > 0 ? 0
                                                                  : reason_idle;
  const auto capped = [&](std::uint64_t reasons) {
    return (activity.throttle_reasons & reasons) != 0 ? millionths : 0;
  };
  activity.rates[static_cast<std::size_t>(Rate::power_capped)] = capped(reason_power_cap);
  activity.rates[static_cast<std::size_t>(Rate::thermally_capped)] = capped(reason_sw_thermal | reason_hw_thermal);
  return activity;
}

}  // namespace

Load parse_load(const JsonObject& object) {
  Load load{.repeat = object.boolean("repeat", false)};
  load.idle.rates[static_cast<std::size_t>(Rate::power)] = 75'000;
  if (object.has("idle")) load.idle = parse_activity(object.object("idle"), load.idle);
  Nanoseconds total{};
  each_object(object, "load", 10'000, [&](const JsonObject& interval) {
    if (!load.intervals.empty() && load.intervals.back().length == for_ever)
      interval.refuse("seconds", "none to follow an interval without \"seconds\", which lasts for ever");
    const Nanoseconds length = interval.has("seconds") ? seconds(interval, "seconds", 1e-6) : for_ever;
    if (length != for_ever) total += length;
    if (total > Nanoseconds(1'000'000'000'000'000'000)) interval.refuse("seconds", "at most 1e9 seconds in all");
    load.intervals.push_back({length, parse_activity(interval, load.idle)});
  });
  if (load.repeat && (load.intervals.empty() || load.intervals.back().length == for_ever))
    object.refuse("repeat", "a load whose intervals all have \"seconds\"");
  return load;
}

Load parse_load(std::string_view text, std::string_view origin) {
  const json value = parse_json(text, origin);
  const JsonObject object(value, std::string(origin));
  know_keys(object, std::array<std::string_view, 3>{"load", "repeat", "idle"});
  return parse_load(object);
}

}  // namespace batchscope::nvml::fake
