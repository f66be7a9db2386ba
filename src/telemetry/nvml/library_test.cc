// NVML's loading, against the fake library: GPUs, versions, and refusals in words.
#include "telemetry/nvml/library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "telemetry/nvml/fake/control.h"

namespace batchscope::nvml {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> texts(const std::vector<Refusal>& refused) {
  std::vector<std::string> out;
  for (const Refusal& one : refused) out.push_back(one.text());
  return out;
}

class NvmlLibrary : public ::testing::Test {
 protected:
  Library load(const std::string& scenario) {
    control_.set_scenario(scenario);
    control_.set_time(Nanoseconds(0));
    return Library(BATCHSCOPE_FAKE_NVML);
  }

  fake::Control control_{BATCHSCOPE_FAKE_NVML};
};

TEST_F(NvmlLibrary, ListsGpusAndVersions) {
  const Library library = load(R"({"driver": "555.42", "nvml": "12.555.42", "gpus": [
    {"name": "NVIDIA A", "uuid": "GPU-a", "bus_id": "00000000:3B:00.0"},
    {"name": "NVIDIA B", "uuid": "GPU-b", "bus_id": "00000001:D8:1F.0"}]})");
  ASSERT_EQ(library.init(), success);
  EXPECT_EQ(library.driver_version(), "555.42");
  EXPECT_EQ(library.nvml_version(), "12.555.42");
  std::vector<Refusal> refused;
  const auto gpus = library.gpus(&refused);
  EXPECT_THAT(texts(refused), ElementsAre());
  ASSERT_EQ(gpus.size(), 2);
  EXPECT_EQ(gpus[0].index, 0);
  EXPECT_EQ(gpus[0].uuid, "GPU-a");
  EXPECT_EQ(gpus[0].name, "NVIDIA A");
  EXPECT_EQ(gpus[0].bus_id, "00000000:3B:00.0");
  EXPECT_EQ(gpus[1].index, 1);
  EXPECT_EQ(gpus[1].uuid, "GPU-b");
  EXPECT_EQ(gpus[1].bus_id, "00000001:D8:1F.0");
  EXPECT_NE(gpus[0].device, gpus[1].device);
}

TEST_F(NvmlLibrary, FindsEveryFunction) {
  const Library library = load("{}");
#define BATCHSCOPE_NVML_FOUND(name, parameters) EXPECT_NE(library->name, Functions{}.name) << #name;
  BATCHSCOPE_NVML_FUNCTIONS(BATCHSCOPE_NVML_FOUND)
#undef BATCHSCOPE_NVML_FOUND
}

TEST_F(NvmlLibrary, SaysWhyTheDriverDoesNotAnswer) {
  const Library library =
      load(R"({"faults": [{"kind": "answer", "calls": ["nvmlInit_v2"], "result": "driver_not_loaded"}]})");
  EXPECT_EQ(library.init(), driver_not_loaded);
  EXPECT_STREQ(reason_of(library.init()), "the NVIDIA kernel driver is not loaded");
}

TEST_F(NvmlLibrary, LeavesOutGpusThatRefuse) {
  const Library library = load(R"({"gpus": 3, "faults": [
    {"kind": "lost", "gpu": 0},
    {"kind": "answer", "gpu": 2, "calls": ["nvmlDeviceGetUUID"], "result": "not_supported"}]})");
  std::vector<Refusal> refused;
  const auto gpus = library.gpus(&refused);
  ASSERT_EQ(gpus.size(), 1);
  EXPECT_EQ(gpus[0].index, 1);
  EXPECT_THAT(texts(refused), ElementsAre("GPU 0: the GPU is lost: it fell off the bus", "GPU 2: it has no UUID"));
}

TEST_F(NvmlLibrary, SaysWhyGpusCannotBeCounted) {
  const Library library =
      load(R"({"faults": [{"kind": "answer", "calls": ["nvmlDeviceGetCount_v2"], "result": "no_permission"}]})");
  std::vector<Refusal> refused;
  EXPECT_THAT(library.gpus(&refused), ElementsAre());
  EXPECT_THAT(texts(refused), ElementsAre("GPUs cannot be counted: permission refused by the driver"));
}

TEST_F(NvmlLibrary, GivesAGpuWithoutANameOne) {
  const Library library = load(R"({"gpus": 1, "faults": [
    {"kind": "answer", "calls": ["nvmlDeviceGetName", "nvmlDeviceGetPciInfo_v3"], "result": "unknown"}]})");
  const auto gpus = library.gpus();
  ASSERT_EQ(gpus.size(), 1);
  EXPECT_EQ(gpus[0].name, "GPU without a name");
  EXPECT_EQ(gpus[0].bus_id, "");
}

TEST(NvmlLibraryFile, SaysWhyItDoesNotLoad) {
  try {
    Library library("/nowhere/libnvidia-ml.so.1");
    FAIL() << "loaded";
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("/nowhere/libnvidia-ml.so.1"));
  }
}

TEST(NvmlFunctions, AreCallableWithoutALibrary) {
  const Functions functions;
  std::uint32_t count = 0;
  EXPECT_EQ(functions.nvmlDeviceGetCount_v2(&count), function_not_found);
}

TEST(NvmlReasons, AreOneForEachResult) {
  std::set<std::string> reasons;
  for (const Return result : {success,
                              uninitialized,
                              invalid_argument,
                              not_supported,
                              no_permission,
                              not_found,
                              insufficient_size,
                              driver_not_loaded,
                              timeout,
                              function_not_found,
                              gpu_is_lost,
                              reset_required,
                              operating_system,
                              version_mismatch,
                              in_use,
                              no_data,
                              argument_version_mismatch,
                              not_ready,
                              unknown,
                              static_cast<Return>(42)})
    reasons.insert(reason_of(result));
  EXPECT_EQ(reasons.size(), 20);
}

}  // namespace
}  // namespace batchscope::nvml
