// Calibration files: written and found again; those of other drivers, and broken ones, are told of.
#include "telemetry/calibration/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "store/test_folder.h"

namespace batchscope::calibration {
namespace {

using testing::HasSubstr;

Calibration some() {
  Calibration calibration{.board = "NVIDIA H200", .driver = "580.159.04", .nvml = "13.1", .uuid = "GPU-1"};
  calibration.date = "2026-11-24T12:00:00Z";
  calibration.remarks = {"1 other process had memory on this GPU"};
  CalibratedCounter& counter = calibration.counters["pcie_rx"];
  counter = {.name = "gpu_pcie_rx_bytes_total", .call = "nvmlDeviceGetFieldValues", .unit = "bytes"};
  counter.properties[property::modulus] = {.value = 0x1p32, .uncertainty = 0, .n = 27, .how = "27 wraps"};
  counter.properties[property::lag] = Estimate::absent("no load");
  return calibration;
}

TEST(Calibration, IsFoundAsItWasSaved) {
  const TestFolder folder;
  const auto file = save(some(), folder / "made" / "on the way");
  EXPECT_EQ(file.filename(), "NVIDIA_H200_580.159.04.json");
  const auto found = calibration_of("NVIDIA H200", "580.159.04", file.parent_path());
  EXPECT_EQ(found.warning, "");
  ASSERT_TRUE(found.calibration);
  EXPECT_EQ(to_json(*found.calibration), to_json(some()));
  EXPECT_EQ(found.calibration->counters.at("pcie_rx").value(property::modulus), 0x1p32);
  EXPECT_EQ(found.calibration->counters.at("pcie_rx").value(property::lag), std::nullopt);
  EXPECT_EQ(found.calibration->counters.at("pcie_rx").value("nothing"), std::nullopt);
}

TEST(Calibration, OfAnotherDriverDoesNotCount) {
  const TestFolder folder;
  save(some(), folder.path());
  const auto found = calibration_of("NVIDIA H200", "590.1", folder.path());
  EXPECT_FALSE(found.calibration);
  EXPECT_EQ(found.warning,
            "NVIDIA H200 was calibrated with driver 580.159.04, but 590.1 runs now: run batchscope calibrate again");
  EXPECT_EQ(calibration_of("NVIDIA H20", "580.159.04", folder.path()).warning,
            "NVIDIA H20 was never calibrated: run batchscope calibrate");
  EXPECT_THAT(calibration_of("NVIDIA H200", "1", folder / "missing").warning, HasSubstr("never calibrated"));
}

TEST(Calibration, BrokenFilesAreToldOf) {
  const TestFolder folder;
  const auto file = save(some(), folder.path());
  for (const char* text : {"", "{}", R"({"format": "batchscope calibration", "version": 2})", "[1]"}) {
    write_file_atomically(file, text);
    const auto found = calibration_of("NVIDIA H200", "580.159.04", folder.path());
    EXPECT_FALSE(found.calibration) << text;
    EXPECT_THAT(found.warning, HasSubstr(file.string())) << text;
    EXPECT_THROW(parse_calibration(text, "it"), InputError) << text;
  }
}

}  // namespace
}  // namespace batchscope::calibration
