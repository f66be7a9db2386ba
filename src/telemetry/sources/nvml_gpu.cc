// What NVML's sources share (sources/nvml_gpu.h).
#include "telemetry/sources/nvml_gpu.h"

#include <fmt/format.h>

#include <algorithm>

namespace batchscope {

std::string NvmlGpu::label() const {
  return gpu.instance ? fmt::format("gpu:{}:{}", gpu.index, gpu.instance->index) : fmt::format("gpu:{}", gpu.index);
}
std::string NvmlGpu::series() const { return fmt::format("{} ({})", label(), gpu.uuid.substr(0, 12)); }

Counter NvmlGpu::counter(std::string name, std::string unit, CounterKind kind, std::string help) const {
  Counter out;
  out.name = std::move(name);
  out.unit = std::move(unit);
  out.device = series();
  out.labels = {{"gpu", std::to_string(gpu.index)}, {"uuid", gpu.uuid}};
  if (gpu.instance) {
    out.labels.push_back({"mig", std::to_string(gpu.instance->index)});
    out.labels.push_back({"mig_profile", gpu.mig_profile()});
  }
  out.kind = kind;
  out.help = std::move(help);
  return out;
}

Counter NvmlGpu::real_counter(std::string name, std::string unit, CounterKind kind, std::string help) const {
  Counter out = counter(std::move(name), std::move(unit), kind, std::move(help));
  out.is_integer = false;
  return out;
}

Reading reading_of(nvml::Return result, std::int64_t value) {
  return result == nvml::success ? Reading::of(value) : Reading::none(nvml::reason_of(result));
}

Reading reading_of(nvml::Return result, double value) {
  return result == nvml::success ? Reading::of(value) : Reading::none(nvml::reason_of(result));
}

void NvmlSource::add_group(std::vector<Counter> counters, bool refreshes_slowly) {
  groups_.push_back({.id = static_cast<std::int64_t>(groups_.size()) + 1,
                     .counters = std::move(counters),
                     .refreshes_slowly = refreshes_slowly});
}

void NvmlFields::read() { result_ = fields_.read(gpu_.library->functions(), gpu_.device()); }

void NvmlFields::read(const Clock& clock, Nanoseconds& before, Nanoseconds& after) {
  before = clock.now();
  read();
  after = clock.now();
  narrow(clock, before, after);
}

Reading NvmlFields::reading(std::size_t i, std::int64_t scale) const {
  const nvml::FieldValue& field = fields_.values()[i];
  const nvml::Return result = result_ != nvml::success ? result_ : field.result;
  return reading_of(result,
                    result == nvml::success ? nvml::integer_of(field.value, field.type) * scale : std::int64_t{0});
}

Reading NvmlFields::real_reading(std::size_t i, double scale) const {
  const nvml::FieldValue& field = fields_.values()[i];
  const nvml::Return result = result_ != nvml::success ? result_ : field.result;
  return reading_of(
      result, result == nvml::success ? static_cast<double>(nvml::integer_of(field.value, field.type)) * scale : 0.0);
}

void NvmlFields::narrow(const Clock& clock, Nanoseconds& before, Nanoseconds& after) const {
  const Nanoseconds wall_to_monotonic = clock.now() - clock.unix_now();
  Nanoseconds first = Nanoseconds::max(), last = Nanoseconds::min();
  for (const nvml::FieldValue& value : fields_.values()) {
    if (result_ != nvml::success || value.result != nvml::success) continue;
    const Nanoseconds stamp = std::chrono::microseconds(value.timestamp_us) + wall_to_monotonic;
    first = std::min(first, stamp);
    last = std::max(last, stamp);
  }
  // Stamps are whole microseconds: one may lie as much before the call.
  constexpr Nanoseconds stamp_step = std::chrono::microseconds(1);
  if (first > last || first < before - stamp_step || last > after) return;
  before = std::max(before, first);
  after = std::min(after, last + stamp_step);
}

}  // namespace batchscope
