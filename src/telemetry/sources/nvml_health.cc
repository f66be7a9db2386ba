// What should stay at zero (sources/nvml.h).
#include <algorithm>

#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

constexpr Nanoseconds period = std::chrono::seconds(1);

// Times in which something held the clocks down, by the driver's own counters of nanoseconds.
struct Slowdown {
  nvml::Field field;
  const char* name;
  const char* help;
};
constexpr Slowdown slowdowns[] = {
    {nvml::field_power_violation_ns, "gpu_power_capped_seconds_total",
     "time in which the power limit held clocks down"},
    {nvml::field_thermal_violation_ns, "gpu_thermal_capped_seconds_total",
     "time in which the temperature held clocks down"},
    {nvml::field_power_brake_slowdown_ns, "gpu_power_brake_seconds_total",
     "time in which the board's power brake held clocks down"},
};
constexpr std::size_t slowdown_count = std::size(slowdowns);

std::vector<nvml::WantedField> wanted_fields() {
  std::vector<nvml::WantedField> fields;
  for (const Slowdown& slowdown : slowdowns) fields.push_back({slowdown.field});
  fields.push_back({nvml::field_pcie_replay});
  return fields;
}

class HealthSource : public NvmlSource {
 public:
  explicit HealthSource(const NvmlGpu& gpu) : NvmlSource(gpu, "health"), fields_(gpu, wanted_fields()) {
    std::vector<Counter> counters;
    for (const Slowdown& slowdown : slowdowns)
      counters.push_back(gpu_.real_counter(slowdown.name, "seconds", CounterKind::cumulative, slowdown.help));
    counters.push_back(count("gpu_pcie_replays_total", "replays", "PCIe packets that were resent"));
    add_group(std::move(counters), true);
    add_group({count("gpu_ecc_corrected_errors_total", "errors", "memory errors that ECC corrected"),
               count("gpu_ecc_uncorrected_errors_total", "errors", "memory errors that ECC could not correct")},
              true);
    add_group({count("gpu_xid_errors_total", "errors", "errors that the driver reported (Xid)"),
               gpu_.counter("gpu_last_xid", "xid", CounterKind::gauge, "number of the last Xid")},
              true);
    listen();
  }
  ~HealthSource() override {
    if (events_ != nullptr) gpu_->nvmlEventSetFree(events_);
  }

  Pace pace(Nanoseconds asked) const override { return Pace::relaxed(std::max(asked, period)); }

  void read(std::size_t group, Rows& rows) override {
    if (group == 0)
      add_fields(fields_, rows, [&](std::span<Reading> out) {
        for (std::size_t i = 0; i < slowdown_count; ++i) out[i] = fields_.real_reading(i, 1e-9);
        out[slowdown_count] = fields_.reading(slowdown_count);
      });
    else if (group == 1)
      rows.add_now([&](std::span<Reading> out) {
        out[0] = ecc_errors(nvml::ecc_corrected);
        out[1] = ecc_errors(nvml::ecc_uncorrected);
      });
    else
      rows.add_now([&](std::span<Reading> out) { read_events(out); });
  }

 private:
  Counter count(const char* name, const char* unit, const char* help) const {
    return gpu_.counter(name, unit, CounterKind::cumulative, help);
  }

  Reading ecc_errors(nvml::EccError error) const {
    std::uint64_t errors = 0;
    const nvml::Return result = gpu_->nvmlDeviceGetTotalEccErrors(gpu_.device(), error, nvml::ecc_volatile, &errors);
    return reading_of(result, static_cast<std::int64_t>(errors));
  }

  void listen() {
    listening_ = gpu_->nvmlEventSetCreate(&events_);
    if (listening_ == nvml::success)
      listening_ = gpu_->nvmlDeviceRegisterEvents(gpu_.device(), nvml::event_xid, events_);
  }

  // The driver queues events: none is lost between two looks. What was in the queue counts even where the GPU has been
  // lost since: the last Xid says why.
  void read_events(std::span<Reading> out) {
    const std::int64_t before = xids_;
    nvml::Return result = listening_;
    nvml::EventData event;
    while (result == nvml::success && (result = gpu_->nvmlEventSetWait_v2(events_, &event, 0)) == nvml::success) {
      ++xids_;
      last_xid_ = static_cast<std::int64_t>(event.data);
    }
    if (result == nvml::timeout || xids_ > before) result = nvml::success;
    out[0] = reading_of(result, xids_);
    out[1] = xids_ == 0 ? Reading::none("no Xid was reported") : reading_of(result, last_xid_);
  }

  NvmlFields fields_;
  nvml::EventSet events_ = nullptr;
  nvml::Return listening_ = nvml::uninitialized;
  std::int64_t xids_ = 0, last_xid_ = 0;
};

}  // namespace

std::unique_ptr<Source> health_source(const NvmlGpu& gpu) { return std::make_unique<HealthSource>(gpu); }

}  // namespace batchscope
