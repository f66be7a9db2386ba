// `batchscope calibrate` as a program, on the fake NVML: without CUDA, so that it finds what needs no load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "cli/test_program.h"
#include "store/test_folder.h"
#include "telemetry/calibration/calibration.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Calibrate : public testing::Test {
 protected:
  Ended run(std::vector<std::string> arguments, const std::string& scenario = "{}") {
    arguments.insert(arguments.begin(), "calibrate");
    return run_program(arguments, folder_.path(), [&] {
      setenv("LD_LIBRARY_PATH", std::filesystem::path(BATCHSCOPE_FAKE_NVML).parent_path().c_str(), 1);
      setenv("BATCHSCOPE_FAKE_NVML", scenario.c_str(), 1);
      setenv("XDG_DATA_HOME", folder_.path().c_str(), 1);
    });
  }

  TestFolder folder_;
};

TEST_F(Calibrate, SavesWhatItFindsPerBoardAndDriver) {
  const Ended ended = run({"--only", "memory,power_samples"},
                          R"({"driver": "555.1", "start_s": 60, "every_gpu": {"name": "NVIDIA X"}})");
  ASSERT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.output, AllOf(HasSubstr("NVIDIA X, driver 555.1"), HasSubstr("power_samples"), HasSubstr("20.0")));
  EXPECT_THAT(ended.output, HasSubstr("no allocation to compare it with"));
  const auto found = calibration::calibration_of("NVIDIA X", "555.1", folder_ / "batchscope/calibration");
  ASSERT_TRUE(found.calibration) << found.warning;
  const auto refresh = found.calibration->counters.at("power_samples").value(calibration::property::refresh);
  EXPECT_NEAR(refresh.value_or(0), 0.02, 1e-3);
  EXPECT_EQ(found.calibration->counters.count("energy"), 0U);
}

TEST_F(Calibrate, SaysWhoElseUsesTheGpu) {
  const Ended ended =
      run({"--gpu", "GPU-b", "--only", "memory", "-o", (folder_ / "here").string(), "--json", "-"},
          R"({"gpus": [{"uuid": "GPU-a"}, {"uuid": "GPU-b", "load": [{"processes": [{"pid": 7, "bytes": 9}]}]}]})");
  ASSERT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.errors, HasSubstr("1 other process had memory on this GPU"));
  const auto shown = calibration::parse_calibration(ended.output, "output");
  EXPECT_THAT(shown.remarks, testing::ElementsAre("1 other process had memory on this GPU"));
  EXPECT_EQ(shown.uuid, "GPU-b");
  EXPECT_TRUE(std::filesystem::exists(calibration::calibration_file(folder_ / "here", shown.board, shown.driver)));
}

TEST_F(Calibrate, RefusesWhatItDoesNotKnow) {
  const Ended counter = run({"--only", "pcie_r"}), gpu = run({"--gpu", "2"});
  EXPECT_EQ(counter.code, 2);
  EXPECT_THAT(counter.errors, HasSubstr("--only pcie_r: no such counter, did you mean pcie_rx?"));
  EXPECT_EQ(gpu.code, 2);
  EXPECT_THAT(gpu.errors, AllOf(HasSubstr("--gpu 2: no such GPU; available: 0 (GPU-"), HasSubstr(", 1 (GPU-")));
}

TEST_F(Calibrate, SaysWhyThereIsNoGpu) {
  const Ended ended =
      run({}, R"({"faults": [{"kind": "answer", "calls": ["nvmlInit_v2"], "result": "driver_not_loaded"}]})");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.errors, HasSubstr("no GPU to calibrate: the NVIDIA kernel driver is not loaded"));
}

}  // namespace
}  // namespace batchscope
