// The fake NVML as a caller meets it: what calls answer, cost, and do when things go wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "telemetry/nvml/fake/control.h"
#include "telemetry/nvml/library.h"

namespace batchscope::nvml::fake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

class FakeNvml : public ::testing::Test {
 protected:
  ~FakeNvml() override {
    control_.set_sleep(nullptr, nullptr);
    nvml_.functions().nvmlShutdown();
  }

  // A machine whose time is simulated and stands at 0.
  void play(const std::string& scenario) {
    control_.set_scenario(scenario);
    control_.set_time(0s);
  }
  Device gpu(std::uint32_t index = 0) {
    Device device = nullptr;
    EXPECT_EQ(nvml_->nvmlDeviceGetHandleByIndex_v2(index, &device), success);
    return device;
  }
  FieldValue field(std::uint32_t number, std::uint32_t scope = 0) {
    std::array<FieldValue, 2> values{FieldValue{.field = number, .scope = scope}, FieldValue{.result = unknown}};
    EXPECT_EQ(nvml_->nvmlDeviceGetFieldValues(gpu(), 1, values.data()), success);
    const bool is_sum = scope == all_links && number >= field_nvlink_data_tx_kib && number <= field_nvlink_raw_rx_kib;
    EXPECT_EQ(values[1].result, is_sum ? values[0].result : unknown);  // as NVML does
    return values[0];
  }
  Return power(std::uint32_t index = 0) {
    std::uint32_t milliwatts = 0;
    return nvml_->nvmlDeviceGetPowerUsage(gpu(index), &milliwatts);
  }

  Control control_{BATCHSCOPE_FAKE_NVML};
  Library nvml_{BATCHSCOPE_FAKE_NVML};
};

TEST_F(FakeNvml, CallsMoveSimulatedTimeByTheirCost) {
  play(R"({"gpus": [{"load": [{"pcie_rx_bytes_per_s": 8000000}]}], "costs_us": {"nvmlDeviceGetPowerUsage": 7.5}})");
  const SimulatedClock clock(control_);
  power();
  EXPECT_EQ(clock.now(), 7500ns);
  control_.set_time(1s);
  std::uint32_t kb_per_s = 0;
  EXPECT_EQ(nvml_->nvmlDeviceGetPcieThroughput(gpu(), pcie_rx, &kb_per_s), success);
  EXPECT_EQ(kb_per_s, 8000);
  EXPECT_EQ(clock.now(), 1s + 21ms);
}

TEST_F(FakeNvml, ASleepIsToldToTheTest) {
  play("{}");
  std::vector<std::int64_t> slept;
  control_.set_sleep([](std::int64_t ns, void* all) { static_cast<std::vector<std::int64_t>*>(all)->push_back(ns); },
                     &slept);
  std::uint64_t millijoules = 0;
  nvml_->nvmlDeviceGetTotalEnergyConsumption(gpu(), &millijoules);
  EXPECT_THAT(slept, ElementsAre(2'900'000));
  EXPECT_EQ(control_.time(), 2900us);
}

TEST_F(FakeNvml, FieldsAreReadOneAfterTheOther) {
  play(R"({"gpus": [{"load": [{"pcie_tx_bytes_per_s": 1000000000, "nvlink_tx_bytes_per_s": 1024000000}]}],
    "costs_us": {"197": 1000, "138": 2000}, "faults": [{"kind": "answer", "calls": [83], "result": "no_permission"}]})");
  control_.set_wall_offset(5s);
  std::array<FieldValue, 4> values{FieldValue{.field = field_pcie_tx_bytes},
                                   FieldValue{.field = field_nvlink_data_tx_kib, .scope = all_links},
                                   FieldValue{.field = field_energy_mj}, FieldValue{.field = 7777}};
  ASSERT_EQ(nvml_->nvmlDeviceGetFieldValues(gpu(), 4, values.data()), success);
  EXPECT_EQ(values[0].result, success);
  EXPECT_EQ(values[0].type, value_unsigned_long_long);
  EXPECT_EQ(values[0].value.unsigned_long, 1'000'000);
  EXPECT_EQ(values[0].timestamp_us, 5'001'000);
  EXPECT_EQ(values[0].latency_us, 1000);
  EXPECT_EQ(values[1].value.unsigned_long, 3000);  // 3 ms after the begin
  EXPECT_EQ(values[1].timestamp_us, 5'003'000);
  EXPECT_EQ(values[2].result, no_permission);
  EXPECT_EQ(values[3].result, not_supported);
}

TEST_F(FakeNvml, NvlinkCountersAreOfAllLinksOrOfOne) {
  play(R"({"gpus": [{"nvlinks": 2, "nvlink_raw_ratio": 1.5, "load": [{"nvlink_rx_bytes_per_s": 4194304}]}],
    "costs_us": {"139": 0, "141": 0}})");
  control_.set_time(1s);
  EXPECT_EQ(field(field_nvlink_data_rx_kib, all_links).value.unsigned_long, 4096);
  EXPECT_EQ(field(field_nvlink_data_rx_kib, 1).value.unsigned_long, 2048);
  EXPECT_EQ(field(field_nvlink_raw_rx_kib, all_links).value.unsigned_long, 6144);
  EXPECT_EQ(field(field_nvlink_data_rx_kib, 2).result, invalid_argument);
  EXPECT_EQ(field(field_nvlink_rcv_bytes, 0).result, not_supported);

  play(R"({"gpus": [{"nvlinks": 2, "nvlink_counters": "per_link", "load": [{"nvlink_rx_bytes_per_s": 1000001}]}],
    "costs_us": {"204": 0}})");
  control_.set_time(1s);
  EXPECT_EQ(field(field_nvlink_rcv_bytes, 0).value.unsigned_long, 500'001);
  EXPECT_EQ(field(field_nvlink_rcv_bytes, 1).value.unsigned_long, 500'000);
  EXPECT_EQ(field(field_nvlink_rcv_bytes, all_links).result, invalid_argument);
  EXPECT_EQ(field(field_nvlink_data_rx_kib, all_links).result, not_supported);
}

TEST_F(FakeNvml, RingsGiveWhatIsNewerThanWasSeen) {
  play(R"({"gpus": [{"power": {"ring": 4}, "idle": {"power_w": 90}}]})");
  control_.set_wall_offset(1000s);
  control_.set_time(1s);
  ValueType type{};
  std::uint32_t count = 0;
  EXPECT_EQ(nvml_->nvmlDeviceGetSamples(gpu(), samples_power, 0, &type, &count, nullptr), success);
  ASSERT_EQ(count, 4);
  std::array<Sample, 4> samples{};
  EXPECT_EQ(nvml_->nvmlDeviceGetSamples(gpu(), samples_power, 0, &type, &count, samples.data()), success);
  ASSERT_EQ(count, 4);
  EXPECT_EQ(type, value_unsigned_int);
  EXPECT_EQ(samples[0].timestamp_us, 1'000'940'000);
  EXPECT_EQ(samples[3].timestamp_us, 1'001'000'000);
  EXPECT_EQ(samples[3].value.unsigned_int, 90'000);
  EXPECT_EQ(nvml_->nvmlDeviceGetSamples(gpu(), samples_power, 1'000'960'000, &type, &count, samples.data()), success);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(samples[0].timestamp_us, 1'000'980'000);
  EXPECT_EQ(nvml_->nvmlDeviceGetSamples(gpu(), samples_power, 1'001'000'000, &type, &count, samples.data()), not_found);
}

TEST_F(FakeNvml, MemoryAddsUp) {
  play(R"({"gpus": [{"memory_bytes": 1000, "memory_reserved_bytes": 100, "idle": {"memory_used_bytes": 250}}]})");
  MemoryV2 parts;
  ASSERT_EQ(nvml_->nvmlDeviceGetMemoryInfo_v2(gpu(), &parts), success);
  EXPECT_EQ(parts.total, 1000);
  EXPECT_EQ(parts.reserved, 100);
  EXPECT_EQ(parts.used, 250);
  EXPECT_EQ(parts.free, 650);
  Memory memory;
  ASSERT_EQ(nvml_->nvmlDeviceGetMemoryInfo(gpu(), &memory), success);
  EXPECT_EQ(memory.used, 350);
  parts.version = 1;
  EXPECT_EQ(nvml_->nvmlDeviceGetMemoryInfo_v2(gpu(), &parts), argument_version_mismatch);
}

TEST_F(FakeNvml, ProcessesAreOfAKindAndTheAskingOneIsKnown) {
  play(R"({"gpus": [{"idle": {"processes": [{"pid": "self", "bytes": 5}, {"pid": 4711},
    {"pid": 9, "bytes": 1, "kind": "graphics"}]}}]})");
  std::array<Process, 4> processes{};
  std::uint32_t count = 1;
  EXPECT_EQ(nvml_->nvmlDeviceGetComputeRunningProcesses_v3(gpu(), &count, processes.data()), insufficient_size);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(nvml_->nvmlDeviceGetComputeRunningProcesses_v3(gpu(), &count, processes.data()), success);
  EXPECT_EQ(processes[0].pid, static_cast<std::uint32_t>(getpid()));
  EXPECT_EQ(processes[0].used_bytes, 5);
  EXPECT_EQ(processes[0].gpu_instance, 0xFFFFFFFF);
  EXPECT_EQ(processes[1].pid, 4711);
  EXPECT_EQ(processes[1].used_bytes, memory_unknown);
  EXPECT_EQ(nvml_->nvmlDeviceGetGraphicsRunningProcesses_v3(gpu(), &count, processes.data()), success);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(processes[0].pid, 9);
  EXPECT_EQ(nvml_->nvmlDeviceGetMPSComputeRunningProcesses_v3(gpu(), &count, nullptr), success);
  EXPECT_EQ(count, 0);
}

TEST_F(FakeNvml, AGpuInPartsHasNoUtilization) {
  play(R"({"gpus": [{"uuid": "GPU-x", "mig": "on", "mig_instances": 2, "memory_bytes": 1000,
    "memory_reserved_bytes": 0, "idle": {"memory_used_bytes": 500}}]})");
  std::uint32_t current = 0, pending = 0;
  EXPECT_EQ(nvml_->nvmlDeviceGetMigMode(gpu(), &current, &pending), success);
  EXPECT_EQ(current, 1);
  Utilization utilization;
  EXPECT_EQ(nvml_->nvmlDeviceGetUtilizationRates(gpu(), &utilization), not_supported);
  Device part = nullptr;
  ASSERT_EQ(nvml_->nvmlDeviceGetMigDeviceHandleByIndex(gpu(), 1, &part), success);
  EXPECT_EQ(nvml_->nvmlDeviceGetMigDeviceHandleByIndex(gpu(), 2, &part), not_found);
  std::array<char, uuid_size> uuid{};
  ASSERT_EQ(nvml_->nvmlDeviceGetUUID(part, uuid.data(), uuid_size), success);
  EXPECT_STREQ(uuid.data(), "MIG-x/1");
  Memory memory;
  ASSERT_EQ(nvml_->nvmlDeviceGetMemoryInfo(part, &memory), success);
  EXPECT_EQ(memory.total, 500);
  EXPECT_EQ(memory.used, 250);
  std::uint32_t milliwatts = 0;
  EXPECT_EQ(nvml_->nvmlDeviceGetPowerUsage(part, &milliwatts), not_supported);
}

TEST_F(FakeNvml, GpmNeedsTwoSamplesOfOneGpu) {
  play(R"({"gpus": [{"load": [{"sm_activity": 0.25, "tensor_activity": 0.125}]}, {"gpm": false}]})");
  GpmSupport support;
  ASSERT_EQ(nvml_->nvmlGpmQueryDeviceSupport(gpu(1), &support), success);
  EXPECT_EQ(support.is_supported, 0);
  ASSERT_EQ(nvml_->nvmlGpmQueryDeviceSupport(gpu(0), &support), success);
  EXPECT_EQ(support.is_supported, 1);
  GpmMetrics metrics;
  ASSERT_EQ(nvml_->nvmlGpmSampleAlloc(&metrics.first), success);
  ASSERT_EQ(nvml_->nvmlGpmSampleAlloc(&metrics.second), success);
  EXPECT_EQ(nvml_->nvmlGpmSampleGet(gpu(1), metrics.first), not_supported);
  EXPECT_EQ(nvml_->nvmlGpmMetricsGet(&metrics), invalid_argument);
  control_.set_time(1s);
  ASSERT_EQ(nvml_->nvmlGpmSampleGet(gpu(0), metrics.first), success);
  control_.set_time(2s);
  ASSERT_EQ(nvml_->nvmlGpmSampleGet(gpu(0), metrics.second), success);
  metrics.count = 3;
  metrics.metrics[0].id = gpm_sm_util;
  metrics.metrics[1].id = gpm_tensor_util;
  metrics.metrics[2].id = 4000;
  ASSERT_EQ(nvml_->nvmlGpmMetricsGet(&metrics), success);
  EXPECT_DOUBLE_EQ(metrics.metrics[0].value, 25);
  EXPECT_DOUBLE_EQ(metrics.metrics[1].value, 12.5);
  EXPECT_EQ(metrics.metrics[2].result, not_supported);
  nvml_->nvmlGpmSampleFree(metrics.first);
  nvml_->nvmlGpmSampleFree(metrics.second);
}

TEST_F(FakeNvml, ALostGpuAnswersNothingMore) {
  play(R"({"gpus": 2, "faults": [{"kind": "lost", "gpu": 1, "from_s": 2}]})");
  const Device lost = gpu(1);
  control_.set_time(2s);
  std::uint32_t milliwatts = 0;
  EXPECT_EQ(nvml_->nvmlDeviceGetPowerUsage(lost, &milliwatts), gpu_is_lost);
  Device device = nullptr;
  EXPECT_EQ(nvml_->nvmlDeviceGetHandleByIndex_v2(1, &device), gpu_is_lost);
  EXPECT_EQ(power(0), success);
}

TEST_F(FakeNvml, AGpuIsLostInTheMiddleOfACall) {
  play(R"({"faults": [{"kind": "lost", "gpu": 0, "from_s": 0.01}]})");
  std::uint32_t kb_per_s = 0;
  EXPECT_EQ(nvml_->nvmlDeviceGetPcieThroughput(gpu(), pcie_tx, &kb_per_s), gpu_is_lost);
}

TEST_F(FakeNvml, SimulatedHangsMoveTimeOrAnswerTimeout) {
  play(R"({"gpus": 2, "faults": [{"kind": "hang", "gpu": 0, "until_s": 3, "calls": ["nvmlDeviceGetPowerUsage"]},
    {"kind": "hang", "gpu": 1, "calls": ["nvmlDeviceGetPowerUsage"]}]})");
  EXPECT_EQ(power(0), success);
  EXPECT_EQ(control_.time(), 3s);
  EXPECT_EQ(power(1), timeout);

  control_.set_time(0s);
  std::int64_t told = 0;
  control_.set_sleep([](std::int64_t ns, void* all) { *static_cast<std::int64_t*>(all) = ns; }, &told);
  EXPECT_EQ(power(0), timeout);
  EXPECT_EQ(told, 3'000'000'000);
  EXPECT_EQ(power(1), timeout);
  EXPECT_EQ(told, INT64_MAX);
}

TEST_F(FakeNvml, ARealHangBlocksOneThreadUntilTheScenarioChanges) {
  control_.use_real_time();
  control_.set_scenario(R"({"gpus": 2, "faults": [{"kind": "hang", "gpu": 0, "calls": ["nvmlDeviceGetPowerUsage"]}]})");
  std::atomic<bool> returned = false;
  std::thread hanging([&] {
    EXPECT_EQ(power(0), success);
    returned = true;
  });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(power(1), success);
  EXPECT_FALSE(returned);
  control_.set_scenario(R"({"gpus": 2})");
  hanging.join();
}

TEST_F(FakeNvml, EventsAreDeliveredOnceAndInTime) {
  play(R"({"gpus": 2, "faults": [{"kind": "xid", "gpu": 1, "from_s": 2, "xid": 79},
    {"kind": "ecc", "gpu": 0, "from_s": 1, "uncorrected": 2}, {"kind": "lost", "gpu": 1, "from_s": 2.5}]})");
  EventSet set = nullptr;
  ASSERT_EQ(nvml_->nvmlEventSetCreate(&set), success);
  ASSERT_EQ(nvml_->nvmlDeviceRegisterEvents(gpu(0), event_double_bit_ecc | event_xid, set), success);
  ASSERT_EQ(nvml_->nvmlDeviceRegisterEvents(gpu(1), event_xid, set), success);
  EventData event;
  EXPECT_EQ(nvml_->nvmlEventSetWait_v2(set, &event, 500), timeout);
  EXPECT_EQ(control_.time(), 500ms);
  ASSERT_EQ(nvml_->nvmlEventSetWait_v2(set, &event, 5000), success);
  EXPECT_EQ(control_.time(), 1s);
  EXPECT_EQ(event.device, gpu(0));
  EXPECT_EQ(event.type, event_double_bit_ecc);
  ASSERT_EQ(nvml_->nvmlEventSetWait_v2(set, &event, 5000), success);
  EXPECT_EQ(control_.time(), 2s);
  EXPECT_EQ(event.device, gpu(1));
  EXPECT_EQ(event.type, event_xid);
  EXPECT_EQ(event.data, 79);
  EXPECT_EQ(nvml_->nvmlEventSetWait_v2(set, &event, 5000), gpu_is_lost);
  EXPECT_EQ(control_.time(), 2500ms);
  nvml_->nvmlEventSetFree(set);
}

TEST_F(FakeNvml, ALoadSetByTheTestTakesOverFromNow) {
  play(R"({"gpus": [{"load": [{"pcie_tx_bytes_per_s": 1000}]}], "costs_us": {"197": 0}})");
  control_.set_time(10s);
  control_.set_load(0, R"({"load": [{"seconds": 2, "pcie_tx_bytes_per_s": 50}]})");
  control_.set_time(100s);
  EXPECT_EQ(field(field_pcie_tx_bytes).value.unsigned_long, 10'100);
  try {
    control_.set_load(5, "{}");
    FAIL() << "there is no such GPU";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no GPU 5"));
  }
}

TEST_F(FakeNvml, IsInitialisedAsOftenAsItIsShutDown) {
  play("{}");
  ASSERT_EQ(nvml_->nvmlInit_v2(), success);
  EXPECT_EQ(nvml_->nvmlShutdown(), success);
  EXPECT_EQ(power(), success);
  EXPECT_EQ(nvml_->nvmlShutdown(), success);
  std::uint32_t count = 0;
  EXPECT_EQ(nvml_->nvmlDeviceGetCount_v2(&count), uninitialized);
  EXPECT_EQ(nvml_->nvmlShutdown(), uninitialized);
  EXPECT_EQ(nvml_->nvmlInit_v2(), success);
}

TEST_F(FakeNvml, ManyThreadsMayCallInRealTime) {
  control_.use_real_time();
  control_.set_scenario(R"({"gpus": 4, "every_gpu": {"pcie_modulus_bits": 64, "load": [{"pcie_tx_bytes_per_s": 1e9}]},
    "costs_us": {"197": 10, "nvmlDeviceGetPcieThroughput": 60, "nvmlDeviceGetMemoryInfo": 0}})");
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      std::uint64_t before = 0;
      for (int round = 0; round < 50; ++round) {
        FieldValue value{.field = field_pcie_tx_bytes};
        EXPECT_EQ(nvml_->nvmlDeviceGetFieldValues(gpu(i), 1, &value), success);
        EXPECT_GT(value.value.unsigned_long, before);
        before = value.value.unsigned_long;
        std::uint32_t kb_per_s = 0;
        EXPECT_EQ(nvml_->nvmlDeviceGetPcieThroughput(gpu(i), pcie_tx, &kb_per_s), success);
        Memory memory;
        EXPECT_EQ(nvml_->nvmlDeviceGetMemoryInfo(gpu(i), &memory), success);
        control_.set_load(static_cast<int>(i), R"({"load": [{"pcie_tx_bytes_per_s": 2e9}]})");
      }
    });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(FakeNvml, EventsWakeAThreadInRealTime) {
  control_.use_real_time();
  control_.set_scenario(R"({"gpus": 1, "faults": [{"kind": "xid", "from_s": 0.05, "xid": 13}]})");
  EventSet set = nullptr;
  ASSERT_EQ(nvml_->nvmlEventSetCreate(&set), success);
  ASSERT_EQ(nvml_->nvmlDeviceRegisterEvents(gpu(), event_xid, set), success);
  EventData event;
  EXPECT_EQ(nvml_->nvmlEventSetWait_v2(set, &event, 0), timeout);
  ASSERT_EQ(nvml_->nvmlEventSetWait_v2(set, &event, 60'000), success);
  EXPECT_EQ(event.data, 13);
  EXPECT_GE(control_.time(), 50ms);
  nvml_->nvmlEventSetFree(set);
}

// A copy of the library, so that it has not read its scenario yet: what init answers, and says on standard error.
std::pair<Return, std::string> init_with(const std::string& environment) {
  static int calls = 0;  // the loader knows libraries by their path
  const TemporaryFolder folder(std::filesystem::temp_directory_path() /
                               ("fake_nvml_" + std::to_string(getpid()) + "_" + std::to_string(++calls)));
  const auto copy = folder.path() / "libnvidia-ml.so.1";
  std::filesystem::copy_file(BATCHSCOPE_FAKE_NVML, copy);
  setenv("BATCHSCOPE_FAKE_NVML", environment.c_str(), 1);
  ::testing::internal::CaptureStderr();
  const Return result = Library(copy).init();
  unsetenv("BATCHSCOPE_FAKE_NVML");
  return {result, ::testing::internal::GetCapturedStderr()};
}

TEST(FakeNvmlInit, ReadsTheScenarioOfTheEnvironment) {
  EXPECT_EQ(init_with(""), std::pair(success, std::string()));
  EXPECT_EQ(init_with(R"({"faults": [{"kind": "answer", "calls": ["nvmlInit_v2"], "result": "no_permission"}]})"),
            std::pair(no_permission, std::string()));
  EXPECT_EQ(
      init_with(R"({"gpus": 0})"),
      std::pair(unknown, std::string("BATCHSCOPE_FAKE_NVML: scenario: gpus: expected a whole number from 1 to 16, "
                                     "found 0\n")));
  const auto [result, errors] = init_with("/nowhere/scenario.json");
  EXPECT_EQ(result, unknown);
  EXPECT_THAT(errors, HasSubstr("BATCHSCOPE_FAKE_NVML: cannot read /nowhere/scenario.json"));
}

}  // namespace
}  // namespace batchscope::nvml::fake
