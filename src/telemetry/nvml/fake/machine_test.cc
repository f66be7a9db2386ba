// A fake machine's counters as functions of time: exact totals, refreshes, windows, rings, faults.
#include "telemetry/nvml/fake/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchscope::nvml::fake {
namespace {

using ::testing::ElementsAre;
using namespace std::chrono_literals;

Machine machine(std::string_view text) { return Machine(parse_scenario(text, "test")); }

TEST(FakeMachine, TotalsAreExactIntegrals) {
  const Machine m = machine(R"({"gpus": [{"pcie_modulus_bits": 64, "load": [
    {"seconds": 1.5, "pcie_tx_bytes_per_s": 3, "nvlink_rx_bytes_per_s": 60000000001},
    {"seconds": 0.5, "pcie_tx_bytes_per_s": 55000000000},
    {"seconds": 2}]}]})");
  const Gpu& gpu = m.gpus()[0];
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 0s), 0);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, -5s), 0);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 1s), 3);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 1500ms), 4);  // 4.5, and whole bytes only
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 1600ms), 5'500'000'004);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 1000s), 27'500'000'004);  // idle after the load
  EXPECT_EQ(gpu.pcie_bytes(Direction::rx, 1000s), 0);
  EXPECT_EQ(gpu.nvlink_bytes(Direction::rx, 1s), 60'000'000'001);
}

TEST(FakeMachine, ARepeatedLoadKeepsItsTotalsOverYears) {
  const Machine m = machine(R"({"gpus": [{"pcie_modulus_bits": 64, "repeat": true, "load": [
    {"seconds": 0.25, "pcie_tx_bytes_per_s": 1000000000, "gpu_utilization": 1}, {"seconds": 0.75}]}]})");
  const Gpu& gpu = m.gpus()[0];
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 10s), 2'500'000'000);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 10s + 100ms), 2'600'000'000);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 10s + 900ms), 2'750'000'000);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 100'000'000s), 25'000'000'000'000'000);
  EXPECT_EQ(gpu.at(7s + 249ms).rate(Rate::gpu_busy), millionths);
  EXPECT_EQ(gpu.at(7s + 250ms).rate(Rate::gpu_busy), 0);
}

TEST(FakeMachine, PcieCountersWrap) {
  const Machine m = machine(R"({"gpus": [
    {"load": [{"pcie_rx_bytes_per_s": 5000000000}]},
    {"pcie_modulus_bits": 40, "load": [{"pcie_rx_bytes_per_s": 5000000000}]}]})");
  EXPECT_EQ(m.gpus()[0].pcie_bytes(Direction::rx, 1s), 5'000'000'000 - (1LL << 32));
  EXPECT_EQ(m.gpus()[1].pcie_bytes(Direction::rx, 1s), 5'000'000'000);
  EXPECT_EQ(m.gpus()[1].pcie_bytes(Direction::rx, 300s), 1'500'000'000'000 - (1LL << 40));
}

TEST(FakeMachine, ALoadSetLaterGoesOnFromTheTotals) {
  Machine m = machine(R"({"gpus": [{"pcie_modulus_bits": 64, "load": [{"pcie_tx_bytes_per_s": 100}]}]})");
  m.set_load(0, parse_load(R"({"load": [{"seconds": 1, "pcie_tx_bytes_per_s": 7}]})", "test"), 10s);
  const Gpu& gpu = m.gpus()[0];
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 9s), 900);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 10s), 1000);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 20s), 1007);
  m.set_load(0, parse_load(R"({"load": [{"pcie_tx_bytes_per_s": 1}]})", "test"), 20s);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 25s), 1012);
}

TEST(FakeMachine, UtilizationIsTheMeanOfAWindowRenewedNowAndThen) {
  const Machine m = machine(R"({"gpus": [{"load": [
    {"seconds": 0.3, "gpu_utilization": 1, "memory_utilization": 0.5}]},
    {"utilization": {"refresh_ms": 150, "window_ms": 100, "lag_ms": 30},
     "load": [{"seconds": 0.2, "gpu_utilization": 1}]}]})");
  const Gpu& usual = m.gpus()[0];
  EXPECT_EQ(usual.utilization(199ms).gpu, 0);
  EXPECT_EQ(usual.utilization(200ms).gpu, 100);
  EXPECT_EQ(usual.utilization(399ms).gpu, 100);
  EXPECT_EQ(usual.utilization(400ms).gpu, 50);
  EXPECT_EQ(usual.utilization(400ms).memory, 25);
  EXPECT_EQ(usual.utilization(600ms).gpu, 0);
  const Gpu& other = m.gpus()[1];
  EXPECT_EQ(other.utilization(179ms).gpu, 0);
  EXPECT_EQ(other.utilization(180ms).gpu, 100);  // of 50 to 150 ms
  EXPECT_EQ(other.utilization(330ms).gpu, 0);    // of 200 to 300 ms
}

TEST(FakeMachine, PowerHasAWindowAndEnergyIsItsIntegral) {
  const Machine m = machine(R"({"gpus": [{"power": {"refresh_ms": 100, "window_ms": 25}, "idle": {"power_w": 100},
    "load": [{"seconds": 0.08, "power_w": 500}]}]})");
  const Gpu& gpu = m.gpus()[0];
  EXPECT_EQ(gpu.power_mw(100ms), 180'000);  // 5 of 25 ms at 500 W
  EXPECT_EQ(gpu.power_mw(200ms), 100'000);
  EXPECT_EQ(gpu.energy_mj(99ms), 0);
  EXPECT_EQ(gpu.energy_mj(100ms), 42'000);
  EXPECT_EQ(gpu.energy_mj(199ms), 42'000);
  EXPECT_EQ(gpu.energy_mj(1s), 132'000);
}

TEST(FakeMachine, RingsHoldTheLatestValues) {
  const Machine m = machine(R"({"gpus": [{"power": {"ring": 3}, "load": [
    {"seconds": 0.05, "power_w": 200, "sm_clock_mhz": 1000}, {"power_w": 300, "sm_clock_mhz": 1500}]}]})");
  const Gpu& gpu = m.gpus()[0];
  EXPECT_TRUE(gpu.ring(samples_power, 19ms)->empty());
  const auto ring = gpu.ring(samples_power, 95ms).value();
  ASSERT_EQ(ring.size(), 3);
  EXPECT_EQ(ring[0].time, 40ms);
  EXPECT_EQ(ring[0].value, 200'000);
  EXPECT_EQ(ring[1].time, 60ms);
  EXPECT_EQ(ring[1].value, 250'000);
  EXPECT_EQ(ring[2].time, 80ms);
  EXPECT_EQ(ring[2].value, 300'000);
  EXPECT_EQ(gpu.ring(samples_gpu_utilization, 100s)->size(), 71);
  EXPECT_EQ(gpu.ring(samples_processor_clock, 1s)->back().value, 1500);
  EXPECT_EQ(gpu.ring(samples_module_power, 1s), std::nullopt);
}

TEST(FakeMachine, ThePcieWindowEndsWhenTheCallDoes) {
  const Machine m = machine(R"({"gpus": [{"pcie_window_ms": 35, "load": [
    {"seconds": 1}, {"pcie_tx_bytes_per_s": 7000000}]}]})");
  EXPECT_EQ(m.gpus()[0].pcie_kb_per_s(Direction::tx, 1s), 0);
  EXPECT_EQ(m.gpus()[0].pcie_kb_per_s(Direction::tx, 1005ms), 1000);
  EXPECT_EQ(m.gpus()[0].pcie_kb_per_s(Direction::tx, 2s), 7000);
}

TEST(FakeMachine, LinksShareTheTotalToTheByte) {
  const Machine m = machine(R"({"gpus": [{"nvlinks": 4, "load": [{"nvlink_tx_bytes_per_s": 10}]}]})");
  const Gpu& gpu = m.gpus()[0];
  const auto links = [&](Nanoseconds time) {
    std::vector<std::uint64_t> bytes;
    for (std::uint32_t i = 0; i < 4; ++i) bytes.push_back(gpu.nvlink_bytes(Direction::tx, i, time));
    return bytes;
  };
  EXPECT_THAT(links(1s), ElementsAre(3, 3, 2, 2));
  EXPECT_THAT(links(1100ms), ElementsAre(3, 3, 3, 2));
}

TEST(FakeMachine, GpmPairsCloserThanTheRefreshAreNoGood) {
  const Machine m = machine(
      R"({"gpus": [{"gpm_samples": {"lag_ms": 0}, "load": [{"sm_activity": 0.4, "pcie_tx_bytes_per_s": 1048576}]}]})");
  const Gpu& gpu = m.gpus()[0];
  EXPECT_DOUBLE_EQ(gpu.gpm_metric(gpm_sm_util, 1s, 2s).value(), 40);
  EXPECT_DOUBLE_EQ(gpu.gpm_metric(gpm_sm_util, 1030ms, 1190ms).value(), 40);
  EXPECT_DOUBLE_EQ(gpu.gpm_metric(gpm_pcie_tx_mib_per_s, 1s, 2s).value(), 1);
  EXPECT_EQ(gpu.gpm_metric(gpm_sm_util, 1010ms, 1090ms), 0);                   // stale
  EXPECT_DOUBLE_EQ(gpu.gpm_metric(gpm_sm_util, 1095ms, 1105ms).value(), 400);  // ten times too much
  EXPECT_EQ(gpu.gpm_metric(9999, 1s, 2s), std::nullopt);
}

TEST(FakeMachine, GpmsRefreshesJump) {
  const Machine m = machine(R"({"gpus": [{"gpm_samples": {"lag_ms": 0}, "gpm_jumps": [{"at_s": 2, "by_ms": 40}],
    "load": [{"seconds": 2.15, "pcie_tx_bytes_per_s": 1048576}]}]})");
  const Gpu& gpu = m.gpus()[0];
  const auto mib = [&](Nanoseconds second) { return gpu.gpm_metric(gpm_pcie_tx_mib_per_s, 1s, second).value(); };
  EXPECT_DOUBLE_EQ(mib(2039ms), 1);
  EXPECT_DOUBLE_EQ(mib(2239ms), 1);  // as of 2.14 s
  EXPECT_DOUBLE_EQ(mib(2240ms), 1.15 / 1.24);
  EXPECT_EQ(gpu.gpm_metric(gpm_sm_util, 1910ms, 2039ms), gpu.gpm_metric(gpm_sm_util, 1910ms, 1990ms));  // stale
}

TEST(FakeMachine, ResetsBeginTotalsAnew) {
  const Machine m = machine(R"({"gpus": [{"load": [{"pcie_tx_bytes_per_s": 100, "nvlink_tx_bytes_per_s": 10}]}],
    "faults": [{"kind": "reset", "from_s": 5, "counters": ["pcie"]}]})");
  const Gpu& gpu = m.gpus()[0];
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 4s), 400);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 5s), 0);
  EXPECT_EQ(gpu.pcie_bytes(Direction::tx, 8s), 300);
  EXPECT_EQ(gpu.nvlink_bytes(Direction::tx, 8s), 80);
}

TEST(FakeMachine, CountsTimeUnderCapsAndEccErrors) {
  const Machine m = machine(R"({"gpus": [{"load": [
    {"seconds": 1, "throttle": ["power_cap"]}, {"seconds": 1, "throttle": ["hw_thermal", "power_cap"]}]}],
    "faults": [{"kind": "ecc", "from_s": 1, "corrected": 3}, {"kind": "ecc", "from_s": 2, "uncorrected": 1}]})");
  const Gpu& gpu = m.gpus()[0];
  EXPECT_EQ(gpu.capped_ns(Rate::power_capped, 3s), 2'000'000'000);
  EXPECT_EQ(gpu.capped_ns(Rate::thermally_capped, 3s), 1'000'000'000);
  EXPECT_EQ(gpu.at(1500ms).throttle_reasons, reason_power_cap | reason_hw_thermal);
  EXPECT_EQ(gpu.at(3s).throttle_reasons, reason_idle);
  EXPECT_EQ(gpu.ecc_errors(ecc_corrected, 999ms), 0);
  EXPECT_EQ(gpu.ecc_errors(ecc_corrected, 5s), 3);
  EXPECT_EQ(gpu.ecc_errors(ecc_uncorrected, 5s), 1);
  ASSERT_EQ(m.events().size(), 2);
  EXPECT_EQ(m.events()[1].type, event_double_bit_ecc);
}

TEST(FakeMachine, FaultsHoldForTheirTimeGpuAndCalls) {
  const Machine m = machine(R"({"gpus": 2, "faults": [
    {"kind": "lost", "gpu": 1, "from_s": 3, "until_s": 4},
    {"kind": "hang", "gpu": 0, "from_s": 2, "until_s": 6, "calls": [197]},
    {"kind": "answer", "calls": ["nvmlDeviceGetPowerUsage", 198], "result": "no_permission"}]})");
  EXPECT_EQ(m.refusal(1, "nvmlDeviceGetName", 2s), success);
  EXPECT_EQ(m.refusal(1, "nvmlDeviceGetName", 3s), gpu_is_lost);
  EXPECT_EQ(m.refusal(1, "nvmlDeviceGetName", 4s), success);
  EXPECT_EQ(m.refusal(0, "nvmlDeviceGetName", 3s), success);
  EXPECT_EQ(m.refusal(-1, "nvmlDeviceGetCount_v2", 3s), success);
  EXPECT_EQ(m.refusal(0, "nvmlDeviceGetPowerUsage", 0s), no_permission);
  EXPECT_EQ(m.refusal(1, "198", 0s), no_permission);
  EXPECT_EQ(m.hang(0, "197", 3s), 6s);
  EXPECT_EQ(m.hang(0, "198", 3s), std::nullopt);
  EXPECT_EQ(m.hang(1, "197", 3s), std::nullopt);
}

}  // namespace
}  // namespace batchscope::nvml::fake
