// GPUs that the kernel has suspended: seen without being woken, and found when they wake.
#include "telemetry/nvml/sleeping_gpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "store/test_folder.h"
#include "telemetry/nvml/fake/control.h"
#include "telemetry/nvml/fake/pci_folder.h"
#include "telemetry/sources/missing_gpus.h"

namespace batchscope::nvml {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class SleepingGpus : public testing::Test {
 protected:
  SleepingGpus() { setenv("BATCHSCOPE_PCI_DEVICES", pci_.path().c_str(), 1); }
  ~SleepingGpus() override { unsetenv("BATCHSCOPE_PCI_DEVICES"); }

  void start(const std::string& scenario) {
    control_.set_scenario(scenario);
    control_.set_time(Nanoseconds(0));
    library_ = std::make_shared<const Library>(BATCHSCOPE_FAKE_NVML);
  }

  TestFolder folder_;
  fake::PciFolder pci_{folder_.path() / "pci", 3};
  fake::Control control_{BATCHSCOPE_FAKE_NVML};
  std::shared_ptr<const Library> library_;
};

TEST_F(SleepingGpus, AreListedByBusId) {
  pci_.set_status(1, "suspended");
  pci_.set_status(2, "suspending");
  std::filesystem::create_directories(pci_.path() / "0000:00:00.0");  // of another vendor
  const std::vector<PciGpu> gpus = pci_gpus();
  ASSERT_THAT(gpus, SizeIs(3));
  EXPECT_EQ(gpus[0].bus_id, "0000:1b:00.0");
  EXPECT_FALSE(gpus[0].is_suspended);
  EXPECT_TRUE(gpus[1].is_suspended);
  EXPECT_FALSE(gpus[2].is_suspended);
  EXPECT_EQ(sleeping_gpu(1, 3), "0000:2b:00.0");
  EXPECT_EQ(sleeping_gpu(0, 3), std::nullopt);
  EXPECT_EQ(sleeping_gpu(1, 2), std::nullopt);  // the driver lists others
}

TEST_F(SleepingGpus, AreNotWokenAndRecordedWhenTheyWake) {
  start(R"({"gpus": [{"uuid": "GPU-a"}, {"uuid": "GPU-b"}, {"uuid": "GPU-c"}]})");
  pci_.set_status(1, "suspended");
  std::vector<Refusal> missing;
  std::vector<NvmlGpu> gpus;
  for (Gpu& gpu : library_->gpus(&missing)) gpus.push_back({.library = library_, .gpu = std::move(gpu)});
  ASSERT_THAT(gpus, SizeIs(2));
  ASSERT_THAT(missing, SizeIs(1));
  EXPECT_EQ(missing[0].gpu, 1);
  EXPECT_TRUE(is_asleep(missing[0].why));
  EXPECT_EQ(missing[0].bus_id, "0000:2b:00.0");

  const auto late = std::make_shared<LateGpus>();
  const auto source = missing_gpus_source(missing, gpus, late);
  EXPECT_LE(source->discovery_period(), std::chrono::seconds(1));
  EXPECT_TRUE(source->discover(monotonic_clock()));
  EXPECT_FALSE(source->discover(monotonic_clock()));
  EXPECT_EQ(pci_.status(1), "suspended");
  EXPECT_THAT(late->gpus(), IsEmpty());

  pci_.set_status(1, "active");
  EXPECT_TRUE(source->discover(monotonic_clock()));
  ASSERT_THAT(late->gpus(), SizeIs(1));
  EXPECT_EQ(late->gpus()[0].gpu.uuid, "GPU-b");
}

// Else the test above would show nothing.
TEST_F(SleepingGpus, TheFakeWakesWhatItIsAskedOf) {
  start(R"({"gpus": 3})");
  pci_.set_status(1, "suspended");
  Device device = nullptr;
  ASSERT_EQ((*library_)->nvmlDeviceGetHandleByIndex_v2(1, &device), success);
  EXPECT_EQ(pci_.status(1), "active");
}

}  // namespace
}  // namespace batchscope::nvml
