// Scenarios of the fake NVML: what is read, and what is refused in one line.
#include "telemetry/nvml/fake/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"

namespace batchscope::nvml::fake {
namespace {

using namespace std::chrono_literals;

Scenario read(std::string_view text) { return parse_scenario(text, "s.json"); }

std::string refusal(std::string_view text) {
  try {
    read(text);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(FakeScenario, AnEmptyOneIsTwoIdleGpusLikeAnH200) {
  const Scenario scenario = read("{}");
  ASSERT_EQ(scenario.gpus.size(), 2);
  EXPECT_EQ(scenario.gpus[0].name, "NVIDIA H200");
  EXPECT_NE(scenario.gpus[0].uuid, scenario.gpus[1].uuid);
  EXPECT_NE(scenario.gpus[0].bus_id, scenario.gpus[1].bus_id);
  EXPECT_EQ(scenario.gpus[0].utilization.refresh, 200ms);
  EXPECT_EQ(scenario.gpus[0].utilization.window, 200ms);
  EXPECT_EQ(scenario.gpus[0].power.ring, 119);
  EXPECT_EQ(scenario.cost("197"), 165us);
  EXPECT_EQ(scenario.cost("nvmlDeviceGetName"), 0us);
  EXPECT_EQ(scenario.cost("nvmlDeviceGetPcieThroughput"), 21ms);
}

TEST(FakeScenario, TheDefaultOneHasLoad) {
  const Scenario scenario = default_scenario();
  ASSERT_EQ(scenario.gpus.size(), 2);
  EXPECT_GT(scenario.gpus[0].load.intervals[1].activity.rate(Rate::gpu_busy), millionths / 2);
}

TEST(FakeScenario, TheOneOfTheManualIsRead) {
  const std::string manual = read_file(BATCHSCOPE_SOURCE_DIR "/docs/fake_nvml.md");
  const std::string_view begin = "```json\n";
  const std::size_t from = manual.find(begin) + begin.size();
  const Scenario scenario = read(std::string_view(manual).substr(from, manual.find("```", from) - from));
  EXPECT_EQ(scenario.gpus.size(), 2);
  EXPECT_EQ(scenario.faults.size(), 2);
}

TEST(FakeScenario, WhatEveryGpuHasEachMayHaveOtherwise) {
  const Scenario scenario = read(R"({"every_gpu": {"name": "A", "power": {"refresh_ms": 100, "window_ms": 25}},
    "gpus": [{}, {"name": "B", "power": {"refresh_ms": 10}}]})");
  ASSERT_EQ(scenario.gpus.size(), 2);
  EXPECT_EQ(scenario.gpus[0].name, "A");
  EXPECT_EQ(scenario.gpus[0].power.window, 25ms);
  EXPECT_EQ(scenario.gpus[1].name, "B");
  EXPECT_EQ(scenario.gpus[1].power.refresh, 10ms);
  EXPECT_EQ(scenario.gpus[1].power.window, 25ms);
}

TEST(FakeScenario, AnIntervalIsIdleInWhatItDoesNotSay) {
  const Load load = parse_load(R"({"idle": {"power_w": 61.5, "temperature_c": 40}, "repeat": true, "load": [
    {"seconds": 0.5, "gpu_utilization": 0.25}, {"seconds": 1, "power_w": 300, "throttle": ["power_cap"]}]})",
                               "load");
  ASSERT_EQ(load.intervals.size(), 2);
  EXPECT_EQ(load.intervals[0].length, 500ms);
  EXPECT_EQ(load.intervals[0].activity.rate(Rate::power), 61'500);
  EXPECT_EQ(load.intervals[0].activity.rate(Rate::gpu_busy), 250'000);
  EXPECT_EQ(load.intervals[0].activity.throttle_reasons, 0);
  EXPECT_EQ(load.intervals[1].activity.temperature_c, 40);
  EXPECT_EQ(load.intervals[1].activity.throttle_reasons, reason_power_cap);
  EXPECT_EQ(load.idle.throttle_reasons, reason_idle);
}

TEST(FakeScenario, FaultsAreInTheOrderOfTheirTime) {
  const Scenario scenario = read(R"({"faults": [{"kind": "xid", "xid": 79, "from_s": 5},
    {"kind": "answer", "calls": ["nvmlInit_v2", 197], "result": "not_ready", "until_s": 2}]})");
  ASSERT_EQ(scenario.faults.size(), 2);
  EXPECT_EQ(scenario.faults[0].result, not_ready);
  EXPECT_EQ(scenario.faults[0].until, 2s);
  EXPECT_EQ(scenario.faults[1].xid, 79);
}

TEST(FakeScenario, RefusesInOneLine) {
  EXPECT_EQ(refusal("{"), "s.json:1:2: not valid JSON; the file is damaged or of another kind");
  EXPECT_EQ(refusal("[]"), "s.json: expected an object, found a list of 0");
  EXPECT_EQ(refusal(R"({"gpu": 1})"), "s.json: gpu: unknown key; \"gpus\"?");
  EXPECT_EQ(refusal(R"({"gpus": 17})"), "s.json: gpus: expected a whole number from 1 to 16, found 17");
  EXPECT_EQ(refusal(R"({"gpus": []})"),
            "s.json: gpus: expected a number from 1 to 16, or a list of as many objects, found a list of 0");
  EXPECT_EQ(refusal(R"({"gpus": [{"uuid": "x"}, {"uuid": "x"}]})"), "s.json: gpus[0] and gpus[1] have the same uuid");
  EXPECT_EQ(refusal(R"({"every_gpu": {"utilisation": 1}})"),
            "s.json: every_gpu.utilisation: unknown key; \"utilization\"?");
  EXPECT_EQ(refusal(R"({"gpus": [{"load": [{"seconds": 1}, {"seconds": 1, "gpu_utilization": 93}]}]})"),
            "s.json: gpus[0].load[1].gpu_utilization: expected a number from 0 to 1, found 93");
  EXPECT_EQ(refusal(R"({"gpus": [{"load": [{}, {"seconds": 1}]}]})"),
            "s.json: gpus[0].load[1].seconds: expected none to follow an interval without \"seconds\", which lasts for "
            "ever, found 1");
  EXPECT_EQ(refusal(R"({"gpus": [{"repeat": true, "load": [{}]}]})"),
            "s.json: gpus[0].repeat: expected a load whose intervals all have \"seconds\", found true");
  EXPECT_EQ(refusal(R"({"gpus": [{"power": {"refresh_ms": 0}}]})"),
            "s.json: gpus[0].power.refresh_ms: expected a number from 0.001 to 1000000, found 0");
  EXPECT_EQ(refusal(R"({"gpus": [{"mig": "yes"}]})"),
            "s.json: gpus[0].mig: expected unsupported | off | on, found \"yes\"");
  EXPECT_EQ(refusal(R"({"gpus": [{"idle": {"throttle": ["hot"]}}]})"),
            "s.json: gpus[0].idle.throttle: expected a list of idle | application_clocks | power_cap | hw_slowdown | "
            "sync_boost | sw_thermal | hw_thermal | power_brake | display_clocks, found a list of 1");
  EXPECT_EQ(refusal(R"({"gpus": [{"idle": {"processes": [{"pid": "me"}]}}]})"),
            "s.json: gpus[0].idle.processes[0].pid: expected a number, or \"self\", found \"me\"");
  EXPECT_EQ(
      refusal(R"({"costs_us": {"nvmlDeviceGetNam": 1}})"),
      "s.json: costs_us.nvmlDeviceGetNam: \"nvmlDeviceGetNam\" is neither a function of NVML nor a field's number; "
      "nvmlDeviceGetName?");
  EXPECT_EQ(refusal(R"({"faults": [{"kind": "lost", "gpu": 2}]})"),
            "s.json: faults[0].gpu: expected a whole number from 0 to 1, found 2");
  EXPECT_EQ(refusal(R"({"faults": [{"kind": "lost", "calls": [197]}]})"),
            "s.json: faults[0].calls: not a key of this kind of fault");
  EXPECT_EQ(refusal(R"({"faults": [{"kind": "hang", "calls": [1.5]}]})"),
            "s.json: faults[0].calls: \"\" is neither a function of NVML nor a field's number");
  EXPECT_EQ(refusal(R"({"faults": [{"kind": "answer", "result": "unknown"}]})"),
            "s.json: faults[0].calls: expected the calls that are answered so, found nothing");
  EXPECT_EQ(refusal(R"({"faults": [{"kind": "hang", "from_s": 2, "until_s": 2}]})"),
            "s.json: faults[0].until_s: expected a time after \"from_s\", found 2");
}

}  // namespace
}  // namespace batchscope::nvml::fake
