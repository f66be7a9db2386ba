// Loads that a fake GPU plays, for tests: each becomes a scenario of the fake NVML, in simulated time.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "telemetry/load/load.h"
#include "telemetry/nvml/fake/control.h"

namespace batchscope::calibration {

// How fast the fake's links are, and what they add to a payload.
struct FakeLink {
  double bytes_per_s = 55e9;
  double per_byte = 1, per_transfer = 0, per_second = 0;  // counted bytes
  double seconds_per_transfer = 5e-6;
};

class FakeLoads : public LoadRunner {
 public:
  FakeLink pcie{.per_byte = 1.06, .per_transfer = 800, .per_second = 3e5}, nvlink{.bytes_per_s = 390e9};
  double idle_watts = 90, burn_watts = 500;
  std::int64_t memory_used = 1 << 30;
  std::set<LoadKind> refused{}, failing{};
  int gpu_count = 2;

  FakeLoads(const nvml::fake::Control& control, Clock& clock, int gpu) : control_(control), clock_(clock), gpu_(gpu) {}

  std::optional<std::string> cannot(LoadKind kind) override {
    return refused.contains(kind) ? std::optional<std::string>("the test has none") : std::nullopt;
  }
  int gpus() const override { return gpu_count; }

  void prepare(const Load& load) override {
    if (failing.contains(load.kind)) throw Failure("{} failed", name_of(load.kind));
    load_ = load;
    control_.set_load(gpu_, nlohmann::json{{"idle", idle()}}.dump());  // background runs from here on
  }

  void start() override {
    run_ = planned_run(load_, gpu_count);
    auto intervals = nlohmann::json::array();
    end_ = clock_.now();
    for (int cycle = 0; cycle < load_.cycles; ++cycle) {
      const Nanoseconds length = burst_length(cycle);
      run_.bursts.push_back({.begin = end_, .end = end_ + length});
      intervals.push_back(burst(length));
      end_ += length;
      if (load_.idle <= Nanoseconds(0)) continue;
      intervals.push_back(idle());
      intervals.back()["seconds"] = to_seconds(load_.idle_of(cycle));
      end_ += load_.idle_of(cycle);
    }
    control_.set_load(gpu_, nlohmann::json{{"load", intervals}, {"idle", idle()}}.dump());
  }

  bool running() override { return clock_.now() < end_; }
  LoadRun finish() override {
    clock_.sleep_until(end_);
    return std::exchange(run_, {});
  }

 private:
  bool is_copy() const { return run_.transfers > 0; }
  const FakeLink& link() const {
    return load_.kind == LoadKind::copy_to_device || load_.kind == LoadKind::copy_to_host ? pcie : nvlink;
  }

  Nanoseconds burst_length(int cycle) const {
    if (!is_copy()) return load_.busy_of(cycle);
    const auto transfers = static_cast<double>(load_.transfers);
    return from_seconds(transfers *
                        (static_cast<double>(load_.bytes) / link().bytes_per_s + link().seconds_per_transfer));
  }

  nlohmann::json idle() const {
    const auto background = static_cast<std::int64_t>(pcie.per_second);
    return {{"power_w", idle_watts},
            {"memory_used_bytes", memory_used},
            {"pcie_tx_bytes_per_s", background},
            {"pcie_rx_bytes_per_s", background}};
  }

  nlohmann::json burst(Nanoseconds length) const {
    auto activity = idle();
    activity["seconds"] = to_seconds(length);
    if (load_.kind == LoadKind::allocation) activity["memory_used_bytes"] = memory_used + load_.bytes;
    if (load_.kind == LoadKind::burn) activity["power_w"] = burn_watts, activity["sm_activity"] = 1;
    if (load_.kind == LoadKind::burn || load_.kind == LoadKind::spin) activity["gpu_utilization"] = 1;
    const auto add = [&](std::int64_t bytes, const char* direction) {
      if (bytes == 0) return;
      const double cycles = load_.cycles;
      const double counted = link().per_byte * static_cast<double>(bytes) / cycles +
                             link().per_transfer * static_cast<double>(load_.transfers);
      const std::string key = std::string(&link() == &pcie ? "pcie_" : "nvlink_") + direction + "_bytes_per_s";
      activity[key] = activity.value(key, std::int64_t{0}) + std::llround(counted / to_seconds(length));
    };
    add(run_.tx_bytes, "tx");
    add(run_.rx_bytes, "rx");
    return activity;
  }

  const nvml::fake::Control& control_;
  Clock& clock_;
  int gpu_;
  Load load_;
  LoadRun run_;
  Nanoseconds end_{0};
};

}  // namespace batchscope::calibration
