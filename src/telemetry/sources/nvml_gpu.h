// What the sources of one NVIDIA GPU share. Each source of a GPU is read in a thread of its own: a call that blocks or
// hangs delays no other.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "telemetry/nvml/field_values.h"
#include "telemetry/source.h"

namespace batchscope {

struct NvmlGpu {
  std::shared_ptr<const nvml::Library> library;
  nvml::Gpu gpu;

  const nvml::Functions* operator->() const { return &library->functions(); }
  nvml::Device device() const { return gpu.device; }
  std::string label() const;  // "gpu:0", by NVML's order; "gpu:0:1": its MIG device 1
  std::string series()
      const;  // "gpu:0 (GPU-1a2b3c4d)": names the GPU in recordings; the UUID's begin tells boards apart
  // Of one of its counters.
  Counter counter(std::string name, std::string unit, CounterKind kind, std::string help) const;
  Counter real_counter(std::string name, std::string unit, CounterKind kind, std::string help) const;
};

// A value, or why there is none.
Reading reading_of(nvml::Return result, std::int64_t value);
Reading reading_of(nvml::Return result, double value);

// Counters that are known when the source is made, in groups that do not change.
class NvmlSource : public Source {
 public:
  NvmlSource(NvmlGpu gpu, std::string kind) : gpu_(std::move(gpu)), name_(kind + " " + gpu_.label()) {}
  std::string name() const override { return name_; }
  Nanoseconds discovery_period() const override { return std::chrono::hours(1); }
  bool discover(const Clock&) override { return !std::exchange(discovered_, true); }
  const std::vector<CounterGroup>& groups() const override { return groups_; }

 protected:
  void add_group(std::vector<Counter> counters, bool refreshes_slowly = false);

  NvmlGpu gpu_;
  std::vector<CounterGroup> groups_;

 private:
  std::string name_;
  bool discovered_ = false;
};

// Some fields of a GPU, read by one call.
class NvmlFields {
 public:
  NvmlFields(const NvmlGpu& gpu, std::span<const nvml::WantedField> wanted) : gpu_(gpu), fields_(wanted) {}
  NvmlFields(const NvmlGpu& gpu, std::initializer_list<nvml::WantedField> wanted)
      : NvmlFields(gpu, std::span(wanted.begin(), wanted.size())) {}

  std::size_t size() const { return fields_.values().size(); }
  void read();
  // Reads now. The instants between which the driver took the values, by its own time stamps; the call's own where
  // those make no sense.
  void read(const Clock& clock, Nanoseconds& before, Nanoseconds& after);
  // Of the last read; field i in the order of `wanted`.
  Reading reading(std::size_t i, std::int64_t scale = 1) const;  // an integer, times scale
  Reading real_reading(std::size_t i, double scale) const;

 private:
  void narrow(const Clock& clock, Nanoseconds& before, Nanoseconds& after) const;

  NvmlGpu gpu_;
  nvml::FieldValues fields_;
  nvml::Return result_ = nvml::uninitialized;
};

// Adds a row of fields, read now; `fill` makes readings of them.
template <class Fill>
void add_fields(NvmlFields& fields, Rows& rows, const Fill& fill) {
  const std::span<Reading> out = rows.row();
  Nanoseconds before{0}, after{0};
  fields.read(rows.clock(), before, after);
  fill(out);
  rows.add(before, after);
}

}  // namespace batchscope
