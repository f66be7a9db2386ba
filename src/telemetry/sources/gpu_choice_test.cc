// --gpus: what names a GPU, and what is said of one that is not there.
#include "telemetry/sources/gpu_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "telemetry/nvml/sleeping_gpus.h"

namespace batchscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

NvmlGpu gpu(int index, std::string uuid, std::string bus_id) {
  return {.library = nullptr, .gpu = {.index = index, .uuid = std::move(uuid), .bus_id = std::move(bus_id)}};
}

struct Machine {
  std::vector<NvmlGpu> gpus{gpu(0, "GPU-1a2b", "00000000:1B:00.0"), gpu(1, "GPU-1a99", "00000001:1B:00.0")};
  std::vector<nvml::Refusal> missing{{.gpu = 2, .why = nvml::sleep_reason, .bus_id = "0000:3b:00.0"}};
};

// Indices of what is left.
std::vector<int> kept(const std::vector<std::string>& names) {
  Machine machine;
  const GpuChoice choice(names);
  EXPECT_EQ(choice.problem(machine.gpus, machine.missing), "");
  choice.keep(machine.gpus, machine.missing);
  std::vector<int> indices;
  for (const NvmlGpu& one : machine.gpus) indices.push_back(one.gpu.index);
  for (const nvml::Refusal& refusal : machine.missing) indices.push_back(*refusal.gpu);
  return indices;
}

std::string problem(const std::vector<std::string>& names) {
  const Machine machine;
  return GpuChoice(names).problem(machine.gpus, machine.missing);
}

TEST(GpuChoice, ByIndexUuidOrBusId) {
  EXPECT_THAT(kept({}), ElementsAre(0, 1, 2));
  EXPECT_THAT(kept({"1"}), ElementsAre(1));
  EXPECT_THAT(kept({"2", "0"}), ElementsAre(0, 2));
  EXPECT_THAT(kept({"GPU-1a99"}), ElementsAre(1));
  EXPECT_THAT(kept({"GPU-1a2"}), ElementsAre(0));
  EXPECT_THAT(kept({"00000001:1B:00.0"}), ElementsAre(1));
  EXPECT_THAT(kept({"0001:1b:00.0"}), ElementsAre(1));
  EXPECT_THAT(kept({"1b:00.0", "0"}), ElementsAre(0));
  EXPECT_THAT(kept({"0000:3b:00.0"}), ElementsAre(2));  // which sleeps
}

TEST(GpuChoice, OneThatIsNotThereIsSaidWithWhatIs) {
  EXPECT_EQ(
      problem({"0", "3"}),
      "--gpus: there is no GPU 3; there are 0 (GPU-1a2b, 00000000:1B:00.0), 1 (GPU-1a99, 00000001:1B:00.0), 2 (the "
      "GPU sleeps (suspended by runtime power management, D3) and is not woken)");
  EXPECT_THAT(problem({"GPU-77"}), HasSubstr("there is no GPU GPU-77; there are 0 "));
  EXPECT_THAT(problem({"GPU-1a"}), HasSubstr("2 GPUs' UUIDs begin with GPU-1a"));
  EXPECT_EQ(GpuChoice({"0"}).problem({}, {{.why = "no driver"}}), "--gpus: there is no GPU: no driver");
  EXPECT_EQ(GpuChoice().problem({}, {{.why = "no driver"}}), "");
  for (const char* word : {"x", "-1", "0x", "", "1b:00", "0000:3b:00.0x"})
    EXPECT_THROW(GpuChoice({std::string(word)}), InputError) << word;
}

TEST(GpuChoice, OthersNeedNotBeOpened) {
  EXPECT_TRUE(GpuChoice({"1"}).may_want(1));
  EXPECT_FALSE(GpuChoice({"1"}).may_want(0));
  EXPECT_TRUE(GpuChoice({"1", "GPU-7"}).may_want(0));
  EXPECT_TRUE(GpuChoice().may_want(0));
}

}  // namespace
}  // namespace batchscope
