// The whole protocol against the fake NVML: whatever its counters are made to be is found, unaided.
#include "telemetry/calibration/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>

#include "base/error.h"
#include "store/test_folder.h"
#include "telemetry/calibration/fake_loads.h"

namespace batchscope::calibration {
namespace {

using testing::HasSubstr;

// The fake's time on a host that has other things to do: sleeps end late, now and then very late.
class BusyHostClock : public nvml::fake::SimulatedClock {
 public:
  using SimulatedClock::SimulatedClock;
  void sleep_until(Nanoseconds deadline) override {
    const double late = 60e-6 * late_(random_) + (seldom_(random_) ? 8e-3 : 0);
    SimulatedClock::sleep_until(deadline + from_seconds(late));
  }

 private:
  std::mt19937 random_{1};
  std::exponential_distribution<double> late_{1};
  std::bernoulli_distribution seldom_{0.002};
};

class Protocol : public testing::Test {
 protected:
  ~Protocol() override {
    if (nvml_) (*nvml_)->nvmlShutdown();  // the fake lives as long as the test program
  }

  // Calibrates GPU 0 of that scenario; all counters, or some.
  Calibration calibrated(const std::string& scenario, std::set<std::string> ids = {}) {
    control_.set_scenario(scenario);
    nvml_ = std::make_unique<nvml::Library>(BATCHSCOPE_FAKE_NVML);
    gpus_ = nvml_->gpus();
    if (ids.empty())
      for (const std::string& id : counter_ids()) ids.insert(id);
    const Nanoseconds begin = clock_.now();
    const Bench bench{
        .nvml = *nvml_, .gpu = gpus_.at(0), .loads = loads_, .clock = clock_, .wall = [this] { return clock_.now(); }};
    Calibration calibration = calibrate(bench, ids);
    seconds_ = to_seconds(clock_.now() - begin);
    return calibration;
  }

  static const Estimate& of(const Calibration& calibration, const char* id, const char* property) {
    static const Estimate nothing = Estimate::absent("never looked for");
    const auto counter = calibration.counters.find(id);
    if (counter == calibration.counters.end()) return nothing;
    const auto found = counter->second.properties.find(property);
    return found == counter->second.properties.end() ? nothing : found->second;
  }

  static void expect(const Calibration& calibration, const char* id, const char* property, double truth,
                     double tolerance) {
    const Estimate& estimate = of(calibration, id, property);
    ASSERT_TRUE(estimate.value) << id << " " << property << ": " << estimate.how;
    EXPECT_NEAR(*estimate.value, truth, tolerance) << id << " " << property << ": " << estimate.how;
    EXPECT_LT(estimate.uncertainty, std::max(tolerance, 1e-9)) << id << " " << property << ": " << estimate.how;
    EXPECT_GT(estimate.n, 0) << id << " " << property;
  }

  nvml::fake::Control control_{BATCHSCOPE_FAKE_NVML};
  BusyHostClock clock_{control_, std::chrono::seconds(1000)};
  FakeLoads loads_{control_, clock_, 0};
  std::unique_ptr<nvml::Library> nvml_;
  std::vector<nvml::Gpu> gpus_;
  double seconds_ = 0;
};

TEST_F(Protocol, FindsWhatTheCountersOfAnH200Are) {
  const Calibration found = calibrated(R"({"gpus": 2})");
  EXPECT_EQ(found.board, "NVIDIA H200");
  expect(found, "utilization", property::refresh, 0.2, 0.01);
  expect(found, "utilization", property::window, 0.2, 0.01);
  expect(found, "utilization", property::gain, 1, 0.02);
  expect(found, "utilization_samples", property::refresh, 0.2, 0.001);
  expect(found, "power", property::refresh, 0.02, 0.002);
  expect(found, "power_samples", property::refresh, 0.02, 0.0002);
  expect(found, "power_samples", property::window, 0.02, 0.002);
  expect(found, "power", property::idle, 90, 2);
  expect(found, "energy", property::refresh, 0.1, 0.01);
  expect(found, "energy", property::gain, 1, 0.02);
  expect(found, "memory", property::gain, 1, 1e-6);
  expect(found, "pcie_rx", property::modulus, 0x1p32, 1e-9);
  expect(found, "pcie_tx", property::modulus, 0x1p32, 1e-9);
  expect(found, "pcie_rx", property::lag, 0, 0.002);
  expect(found, "pcie_rx", property::per_byte, 1.06, 0.001);
  expect(found, "pcie_rx", property::per_transfer, 800, 40);
  expect(found, "pcie_rx", property::per_second, 3e5, 3e4);
  EXPECT_LT(of(found, "pcie_rx", property::prediction_error).value, 0.005);
  EXPECT_LT(of(found, "pcie_tx", property::prediction_error).value, 0.005);
  expect(found, "pcie_rx_window", property::window, 0.02, 0.002);
  expect(found, "pcie_tx_window", property::window, 0.02, 0.002);
  expect(found, "pcie_rx_window", property::gain, 1.06, 0.03);
  for (const char* id : {"nvlink_tx", "nvlink_rx"}) {
    expect(found, id, property::gain, 1, 0.001);
    expect(found, id, property::all_reduce, 1, 0.001);
  }
  expect(found, "nvlink_raw_tx", property::gain, 1.2, 0.001);
  EXPECT_THAT(of(found, "nvlink_tx", property::modulus).how, HasSubstr("did not wrap"));
  EXPECT_THAT(of(found, "pcie_rx", property::refresh).how, HasSubstr("nearly every reading"));
  expect(found, "gpm", property::refresh, 0.1, 0.005);
  expect(found, "gpm", property::gain, 1, 0.01);
  expect(found, "energy", property::read_cost, 2.9e-3, 1e-4);
  expect(found, "pcie_rx_window", property::read_cost, 21e-3, 1e-3);
  EXPECT_LT(seconds_, 180);
}

TEST_F(Protocol, FindsOtherNumbersToo) {
  loads_.pcie.bytes_per_s = 400e9;  // so that 2^40 is reached
  loads_.pcie.per_byte = 1.12;
  const Calibration found = calibrated(R"({"driver": "555.1", "every_gpu": {
    "name": "NVIDIA X", "pcie_modulus_bits": 40, "pcie_window_ms": 35, "nvlink_raw_ratio": 1.5,
    "utilization": {"refresh_ms": 150, "window_ms": 450},
    "power": {"refresh_ms": 100, "window_ms": 25, "lag_ms": 13},
    "energy": {"refresh_ms": 60},
    "gpm_samples": {"refresh_ms": 130}}, "costs_us": {"nvmlDeviceGetPcieThroughput": 36000}})");
  EXPECT_EQ(found.board, "NVIDIA X");
  EXPECT_EQ(found.driver, "555.1");
  expect(found, "utilization", property::refresh, 0.15, 0.005);
  expect(found, "utilization", property::window, 0.45, 0.02);
  expect(found, "power", property::refresh, 0.1, 0.003);
  expect(found, "power", property::window, 0.025, 0.003);
  expect(found, "power", property::lag, 0.013, 0.003);
  expect(found, "power_samples", property::window, 0.025, 0.003);
  expect(found, "energy", property::refresh, 0.06, 0.003);
  expect(found, "pcie_rx", property::modulus, 0x1p40, 1e-9);
  expect(found, "pcie_rx", property::per_byte, 1.12, 0.002);
  expect(found, "pcie_rx_window", property::window, 0.035, 0.003);
  expect(found, "nvlink_raw_rx", property::gain, 1.5, 0.001);
  expect(found, "gpm", property::refresh, 0.13, 0.005);
}

TEST_F(Protocol, GpmThatIsAlwaysNewHasNoRefresh) {
  const Calibration found = calibrated(R"({"gpus": 1, "every_gpu": {"gpm_samples": {"refresh_ms": 0.1}}})", {"gpm"});
  EXPECT_EQ(of(found, "gpm", property::refresh).value, std::nullopt);
  EXPECT_THAT(of(found, "gpm", property::refresh).how, HasSubstr("5 ms apart already agree"));
  expect(found, "gpm", property::gain, 1, 0.01);
}

TEST_F(Protocol, SaysWhyWhatItCannotFindIsAbsent) {
  loads_.refused = {LoadKind::copy_to_peer, LoadKind::copy_from_peer, LoadKind::all_reduce};
  loads_.failing = {LoadKind::allocation};
  const Calibration found = calibrated(R"({"gpus": 1, "every_gpu": {"gpm": false}, "faults": [
    {"kind": "answer", "calls": ["nvmlDeviceGetTotalEnergyConsumption"], "result": "no_permission"},
    {"kind": "answer", "calls": ["nvmlDeviceGetSamples"], "result": "not_supported"},
    {"kind": "answer", "calls": ["197"], "result": "not_supported"}]})");
  EXPECT_THAT(of(found, "energy", property::refresh).how, HasSubstr("permission refused"));
  EXPECT_THAT(of(found, "power_samples", property::refresh).how, HasSubstr("not supported"));
  EXPECT_THAT(of(found, "pcie_tx", property::read_cost).how, HasSubstr("not supported by this GPU or driver"));
  EXPECT_THAT(of(found, "nvlink_tx", property::gain).how,
              HasSubstr("no copy to peer to compare it with: the test has none"));
  EXPECT_THAT(of(found, "nvlink_rx", property::all_reduce).how, HasSubstr("no all-reduce to compare it with"));
  EXPECT_THAT(of(found, "gpm", property::refresh).how, HasSubstr("not supported"));
  EXPECT_EQ(of(found, "gpm", property::refresh).value, std::nullopt);
  EXPECT_THAT(found.remarks, testing::ElementsAre("memory could not be measured completely: allocation failed"));
  expect(found, "pcie_rx", property::modulus, 0x1p32, 1e-9);  // the others are found all the same
}

TEST_F(Protocol, WithoutLoadsFindsWhatNeedsNone) {
  for (int kind = 0; kind <= static_cast<int>(LoadKind::allocation); ++kind)
    loads_.refused.insert(static_cast<LoadKind>(kind));
  const Calibration found =
      calibrated(R"({"gpus": 1, "every_gpu": {"idle": {"power_w": 100}, "energy": {"refresh_ms": 70}}})");
  expect(found, "energy", property::refresh, 0.07, 0.002);
  expect(found, "power_samples", property::refresh, 0.02, 0.0002);
  expect(found, "nvlink_tx", property::read_cost, 775e-6, 1e-6);
  for (const char* id : {"utilization", "power", "memory", "pcie_rx", "pcie_rx_window", "nvlink_tx", "gpm"}) {
    EXPECT_EQ(of(found, id, property::refresh).value, std::nullopt) << id;
    EXPECT_THAT(of(found, id, property::refresh).how, HasSubstr("the test has none")) << id;
  }
}

TEST_F(Protocol, OnlyWhatIsAskedForIsCalibrated) {
  const Calibration found = calibrated(R"({"gpus": 1})", {"memory", "power_samples"});
  EXPECT_THAT(found.counters, testing::UnorderedElementsAre(testing::Key("memory"), testing::Key("power_samples")));
  expect(found, "memory", property::gain, 1, 1e-6);
  EXPECT_THAT(of(found, "memory", property::refresh).how, HasSubstr("at the next reading"));
}

TEST_F(Protocol, OthersOnTheGpuAreSeen) {
  const auto seen_beside = [&](const std::string& load) {
    control_.set_scenario(R"({"gpus": 1, "every_gpu": {"load": [)" + load + "]}}");
    clock_.sleep_until(clock_.now() + std::chrono::seconds(1));
    const nvml::Library nvml(BATCHSCOPE_FAKE_NVML);
    const auto others = others_on(nvml, nvml.gpus().at(0));
    nvml->nvmlShutdown();
    return others;
  };
  EXPECT_THAT(seen_beside("{}"), testing::ElementsAre());
  EXPECT_THAT(seen_beside(R"({"gpu_utilization": 0.5, "processes": [{"pid": 7, "bytes": 1000}]})"),
              testing::ElementsAre("1 other process had memory on this GPU", HasSubstr("50 % busy")));
}

}  // namespace
}  // namespace batchscope::calibration
