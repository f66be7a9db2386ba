// Missing GPUs, on the fake: absent with the reason, and found when they come.
#include "telemetry/sources/missing_gpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "telemetry/collected_rows.h"
#include "telemetry/nvml/fake/control.h"

namespace batchscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class MissingGpus : public testing::Test {
 protected:
  // The source as it is at the start, with the GPUs that the scenario gives then.
  void start(const std::string& scenario) {
    control_.set_scenario(scenario);
    control_.set_time(Nanoseconds(0));
    library_ = std::make_shared<const nvml::Library>(BATCHSCOPE_FAKE_NVML);
    std::vector<nvml::Refusal> missing;
    std::vector<NvmlGpu> gpus;
    for (nvml::Gpu& gpu : library_->gpus(&missing)) gpus.push_back({.library = library_, .gpu = std::move(gpu)});
    source_ = missing_gpus_source(missing, gpus, late_);
    EXPECT_TRUE(source_->discover(monotonic_clock()));
  }
  // "gpu:1: why", of each.
  std::vector<std::string> troubles() {
    std::vector<std::string> all;
    for (std::size_t g = 0; g < source_->groups().size(); ++g) {
      const auto row = read_rows(*source_, g, monotonic_clock()).at(0).readings;
      for (const Reading& reading : row) EXPECT_STREQ(reading.absent, row[0].absent);
      all.push_back(source_->groups()[g].counters[0].device + ": " + row[0].absent);
    }
    return all;
  }
  std::vector<std::string> late() const {
    std::vector<std::string> uuids;
    for (const NvmlGpu& gpu : late_->gpus()) uuids.push_back(gpu.gpu.uuid);
    return uuids;
  }

  nvml::fake::Control control_{BATCHSCOPE_FAKE_NVML};
  std::shared_ptr<const nvml::Library> library_;
  std::shared_ptr<LateGpus> late_ = std::make_shared<LateGpus>();
  std::unique_ptr<Source> source_;
};

TEST_F(MissingGpus, AreAbsentUntilTheyComeBack) {
  start(R"({"gpus": [{"uuid": "GPU-a"}, {"uuid": "GPU-b"}], "faults": [{"kind": "lost", "gpu": 1, "until_s": 60}]})");
  EXPECT_THAT(troubles(), ElementsAre("gpu:1: the GPU is lost: it fell off the bus"));
  EXPECT_FALSE(source_->discover(monotonic_clock()));
  EXPECT_THAT(troubles(), ElementsAre("gpu:1: the GPU is lost: it fell off the bus"));
  EXPECT_THAT(late(), IsEmpty());
  control_.set_time(std::chrono::seconds(61));
  EXPECT_TRUE(source_->discover(monotonic_clock()));
  EXPECT_THAT(troubles(), IsEmpty());
  EXPECT_THAT(late(), ElementsAre("GPU-b"));
  const auto sources = late_->take();
  ASSERT_FALSE(sources.empty());
  for (const auto& source : sources) EXPECT_THAT(source->name(), HasSubstr("gpu:1"));
  EXPECT_THAT(late_->take(), IsEmpty());
}

TEST_F(MissingGpus, AnotherReasonIsSaid) {
  start(R"({"gpus": 2, "faults": [{"kind": "lost", "gpu": 0, "until_s": 60}, {"kind": "answer", "gpu": 0, "from_s": 60,
            "calls": ["nvmlDeviceGetHandleByIndex_v2"], "result": "reset_required"}]})");
  EXPECT_THAT(troubles(), ElementsAre("gpu:0: the GPU is lost: it fell off the bus"));
  control_.set_time(std::chrono::seconds(61));
  EXPECT_FALSE(source_->discover(monotonic_clock()));
  EXPECT_THAT(troubles(), ElementsAre("gpu:0: the GPU must be reset"));
}

TEST_F(MissingGpus, WhereTheyCannotBeCountedAllAre) {
  start(R"({"gpus": [{"uuid": "GPU-a"}], "faults": [
            {"kind": "answer", "calls": ["nvmlDeviceGetCount_v2"], "result": "no_permission"}]})");
  EXPECT_THAT(troubles(), ElementsAre("gpus: GPUs cannot be counted: permission refused by the driver"));
}

}  // namespace
}  // namespace batchscope
