// `batchscope record` on the fake NVML's GPUs: what is left when it, its machine or its GPUs fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "cli/test_program.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class RecordTest : public testing::Test {
 protected:
  Ended run(std::vector<std::string> arguments, const std::string& scenario = "{}") {
    arguments.insert(arguments.begin(), "record");
    return run_program(arguments, folder_.path(), [&] { set_environment(scenario); });
  }
  pid_t start(std::vector<std::string> arguments, const std::string& scenario = "{}") {
    arguments.insert(arguments.begin(), "record");
    return start_program(arguments, folder_ / "output.txt", folder_ / "errors.txt", [&] { set_environment(scenario); });
  }
  static void set_environment(const std::string& scenario) {
    setenv("LD_LIBRARY_PATH", std::filesystem::path(BATCHSCOPE_FAKE_NVML).parent_path().c_str(), 1);
    setenv("BATCHSCOPE_FAKE_NVML", scenario.c_str(), 1);
  }
  nlohmann::json summary() const { return nlohmann::json::parse(read_file(json())); }
  // Of one counter of GPU 0.
  nlohmann::json counter(const std::string& name) const {
    const nlohmann::json all = summary();
    for (const auto& c : all["counters"])
      if (c["name"] == name && c["device"].get<std::string>().starts_with("gpu:0 (")) return c;
    return {};
  }
  std::string file() const { return folder_ / "r.bscope"; }
  std::string json() const { return folder_ / "r.json"; }
  TestFolder folder_;
};

TEST_F(RecordTest, KilledAtAnyMomentLosesASecondAtMost) {
  std::mt19937 random(7);
  for (int i = 0; i < 10; ++i) {
    const pid_t pid = start({"--overwrite", "-o", file(), "--period", "20ms", "--cpu-budget", "50%"});
    std::this_thread::sleep_for(milliseconds(1200 + random() % 800));
    const Nanoseconds killed = monotonic_clock().now();
    kill(pid, SIGKILL);
    wait_for_program(pid);
    const StoreReader reader(file());
    EXPECT_EQ(reader.check_integrity(), "ok");
    Nanoseconds last{0};
    for (const SeriesRecord& series : reader.series())
      if (series.name == "gpu_pcie_tx_bytes_total") last = std::max(last, reader.samples(series).before.back());
    EXPECT_GT(last, killed - milliseconds(1000));
  }
}

TEST_F(RecordTest, ALostGpuIsSaidAndTheOthersGoOn) {
  const Ended ended = run({"-o", file(), "--json", json(), "--duration", "3s"},
                          R"({"gpus": 2, "faults": [{"kind": "lost", "gpu": 1, "from_s": 1}]})");
  EXPECT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.errors, HasSubstr("the GPU is lost: it fell off the bus"));
  EXPECT_EQ(counter("gpu_memory_used_bytes")["absent"], 0);
  const StoreReader reader(file());
  EXPECT_EQ(reader.check_integrity(), "ok");
}

TEST_F(RecordTest, AGpuThatHangsHoldsUpNeitherOthersNorTheEnd) {
  const Nanoseconds begin = monotonic_clock().now();
  const Ended ended = run({"-o", file(), "--json", json(), "--duration", "5s"},
                          R"({"gpus": 2, "faults": [{"kind": "hang", "gpu": 1, "from_s": 1}]})");
  EXPECT_EQ(ended.code, 0) << ended.errors;
  EXPECT_LT(monotonic_clock().now() - begin, std::chrono::seconds(60));
  EXPECT_THAT(ended.errors, HasSubstr("a call has not returned: "));
  EXPECT_THAT(ended.errors, HasSubstr("gpu:1: a call had not returned after"));
  EXPECT_GT(counter("gpu_memory_used_bytes")["values"], 10);
  EXPECT_TRUE(counter("gpu_pcie_rx_bytes_total")["total_is_complete"].get<bool>());
  const StoreReader reader(file());
  bool is_gap = false;
  for (const SeriesRecord& series : reader.series())
    if (series.device.starts_with("gpu:1 (") && series.name == "gpu_memory_used_bytes")
      for (const GapRecord& gap : reader.gaps(series.id))
        is_gap = is_gap || gap.end - gap.begin > std::chrono::seconds(2);
  EXPECT_TRUE(is_gap);
}

TEST_F(RecordTest, AfterAStopThatCouldHideAWrapTheIncreaseIsUnknown) {
  const pid_t pid = start({"-o", file(), "--json", json(), "--duration", "6s"},
                          R"({"gpus": [{"load": [{"pcie_rx_bytes_per_s": 50e9}]}]})");
  std::this_thread::sleep_for(milliseconds(1200));
  kill(pid, SIGSTOP);
  std::this_thread::sleep_for(milliseconds(3500));
  kill(pid, SIGCONT);
  EXPECT_EQ(wait_for_program(pid), 0);
  EXPECT_FALSE(counter("gpu_pcie_rx_bytes_total")["total_is_complete"].get<bool>());
  EXPECT_THAT(read_file(folder_ / "errors.txt"),
              HasSubstr("longer between two readings than the counter may take to wrap"));
  EXPECT_THAT(read_file(folder_ / "errors.txt"), HasSubstr(">= "));
  EXPECT_EQ(StoreReader(file()).check_integrity(), "ok");
}

// As a driver is held up while a program starts CUDA: longer than the counters may take to wrap.
TEST_F(RecordTest, AHeldUpDriverHidesNoBytesWhereGpmSeesFew) {
  const Ended ended = run({"-o", file(), "--json", json(), "--duration", "3s"},
                          R"({"gpus": [{"load": [{"pcie_rx_bytes_per_s": 1e8}]}],
                              "faults": [{"kind": "hang", "from_s": 1.5, "until_s": 1.75}]})");
  EXPECT_EQ(ended.code, 0) << ended.errors;
  const auto rx = counter("gpu_pcie_rx_bytes_total");
  EXPECT_TRUE(rx["total_is_complete"].get<bool>()) << ended.errors;
  const StoreReader reader(file());
  for (const SeriesRecord& series : reader.series())
    if (series.name == "gpu_pcie_rx_bytes_total") {
      EXPECT_TRUE(reader.gaps(series.id).empty());
      const auto stored = reader.summary(series.id);
      EXPECT_NEAR(rx["total"].get<double>(), 1e8 * to_seconds(*stored.end - *stored.begin), 1e8 * 0.05);
    }
}

TEST_F(RecordTest, ThePapersOwnExitCodes) {
  const std::vector<std::string> paper{"--paper", "--duration", "1s"};
  EXPECT_EQ(
      run(paper, R"({"faults": [{"kind": "answer", "calls": ["nvmlInit_v2"], "result": "driver_not_loaded"}]})").code,
      1);
  EXPECT_EQ(
      run(paper, R"({"faults": [{"kind": "answer", "calls": ["nvmlDeviceGetCount_v2"], "result": "unknown"}]})").code,
      2);
  const Ended no_handle =
      run(paper,
          R"({"faults": [{"kind": "answer", "calls": ["nvmlDeviceGetHandleByIndex_v2"], "result": "no_permission"}]})");
  EXPECT_EQ(no_handle.code, 3);
  EXPECT_THAT(no_handle.errors, HasSubstr("GPU 0: permission refused"));
}

TEST_F(RecordTest, SaysWhatShareOfTheBytesThePapersMethodSaw) {
  const Ended ended = run({"--paper", "--json", json(), "--duration", "4s"},
                          R"({"gpus": [{"load": [{"pcie_rx_bytes_per_s": 10e9, "pcie_tx_bytes_per_s": 1e9}]}]})");
  EXPECT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.errors, HasSubstr("What the paper's method saw"));
  const nlohmann::json all = summary();
  ASSERT_EQ(all["paper"].size(), 2U);
  for (const auto& link : all["paper"]) {
    EXPECT_NEAR(link["seen_share"].get<double>(), 0.021 / (1.0 / 6), 0.03) << link;
    EXPECT_NEAR(link["estimated_bytes"].get<double>() / link["exact_bytes"].get<double>(), 1, 0.15) << link;
  }
}

TEST_F(RecordTest, ErrorsAreOneLine) {
  for (const auto& [arguments, says] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--sources", "pci"}, "did you mean pcie?"},
           {{"--cpu-budget", "0"}, "--cpu-budget: '0' is not a share"},
           {{"--pm", "10us"}, "--pm: 10000 ns is too short"},
           {{"--period", "1us"}, "the shortest is 1ms"}}) {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 2) << ended.errors;
    EXPECT_THAT(ended.errors, HasSubstr(says));
    EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
  }
}

}  // namespace
}  // namespace batchscope
