// `batchscope record` on the fake NVML's GPUs: what is left when it, its machine or its GPUs fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "cli/test_program.h"
#include "store/store.h"
#include "store/test_folder.h"
#include "telemetry/nvml/fake/pci_folder.h"

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
      if (series.name == "gpu_pcie_tx_bytes_total")
        for (const Nanoseconds when : reader.samples(series).before) last = std::max(last, when);
    EXPECT_GT(last, killed - milliseconds(1000));
  }
}

TEST_F(RecordTest, OnlyGpusThatAreWanted) {
  const Ended ended = run({"-o", file(), "--duration", "1s", "--gpus", "2,0000:1b:00.0"}, R"({"gpus": 4})");
  ASSERT_EQ(ended.code, 0) << ended.errors;
  std::set<std::string> gpus;
  for (const SeriesRecord& series : StoreReader(file()).series())
    if (series.device.starts_with("gpu:")) gpus.insert(series.device.substr(0, series.device.find(' ')));
  EXPECT_THAT(gpus, testing::ElementsAre("gpu:0", "gpu:2"));
  const Ended refused = run({"--duration", "1s", "--gpus", "4"}, R"({"gpus": 4})");
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.errors, HasSubstr("there is no GPU 4; there are 0 (GPU-"));
}

TEST_F(RecordTest, AGpuThatSleepsIsNotWokenAndRecordedWhenItWakes) {
  const nvml::fake::PciFolder pci(folder_ / "pci", 2);
  pci.set_status(1, "suspended");
  setenv("BATCHSCOPE_PCI_DEVICES", pci.path().c_str(), 1);
  const pid_t pid = start({"-o", file(), "--duration", "6s"});
  std::this_thread::sleep_for(milliseconds(2500));
  EXPECT_EQ(pci.status(1), "suspended");
  pci.set_status(1, "active");
  EXPECT_EQ(wait_for_program(pid), 0);
  unsetenv("BATCHSCOPE_PCI_DEVICES");
  const std::string errors = read_file(folder_ / "errors.txt");
  EXPECT_THAT(errors, HasSubstr("not recorded until it wakes: GPU 1: the GPU sleeps"));
  EXPECT_THAT(errors, HasSubstr("gpu:1 answers now"));
  const StoreReader reader(file());
  std::size_t readings = 0;
  for (const SeriesRecord& series : reader.series())
    if (series.name == "gpu_memory_used_bytes" && series.device.starts_with("gpu:1 ("))
      readings += reader.samples(series).before.size();
  EXPECT_GT(readings, 6u);
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

// One that hangs from the begin is not waited for for ever, and is named; so is one that is lost.
TEST_F(RecordTest, AGpuThatDoesNotAnswerAtTheStartIsSaid) {
  const auto limited = [&](const std::string& scenario) {
    return run_program({"record", "--sources", "gauges", "--json", json(), "--duration", "1s"}, folder_.path(), [&] {
      set_environment(scenario);
      setenv("BATCHSCOPE_DRIVER_TIMEOUT", "1", 1);
    });
  };
  const Ended hung = limited(R"({"gpus": 2, "faults": [{"kind": "hang", "gpu": 1}]})");
  EXPECT_EQ(hung.code, 0) << hung.errors;
  EXPECT_THAT(
      hung.errors,
      HasSubstr(
          "not recorded until it answers: GPU 1: the driver has not returned from nvmlDeviceGetHandleByIndex(1)"));
  EXPECT_GT(counter("gpu_memory_used_bytes")["values"], 0);
  const Ended lost = limited(R"({"gpus": 2, "faults": [{"kind": "lost", "gpu": 1}]})");
  EXPECT_EQ(lost.code, 0) << lost.errors;
  EXPECT_THAT(lost.errors, HasSubstr("not recorded until it answers: GPU 1: the GPU is lost"));
  const Ended mismatch =
      limited(R"({"faults": [{"kind": "answer", "calls": ["nvmlInit_v2"], "result": "version_mismatch"}]})");
  EXPECT_EQ(mismatch.code, 0);
  EXPECT_THAT(
      mismatch.errors,
      HasSubstr("not recorded until it answers: the driver's library and kernel module have different versions"));
  const Ended never = limited(R"({"faults": [{"kind": "hang", "calls": ["nvmlInit_v2"]}]})");
  EXPECT_EQ(never.code, 0) << never.errors;
  EXPECT_THAT(never.errors, HasSubstr("the driver has not returned from nvmlInit"));
}

TEST_F(RecordTest, AGpuThatComesBackIsRecordedFromThenOn) {
  const Ended ended = run({"--sources", "gauges", "-o", file(), "--json", json(), "--duration", "7s"},
                          R"({"gpus": 2, "faults": [{"kind": "lost", "gpu": 1, "until_s": 2}]})");
  EXPECT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.errors, HasSubstr("gpu:1 answers now, and is recorded from here on"));
  EXPECT_THAT(ended.errors, HasSubstr("the GPU is lost: it fell off the bus: "));
  const StoreReader reader(file());
  std::int64_t values = 0;
  for (const SeriesRecord& series : reader.series())
    if (series.device.starts_with("gpu:1 (") && series.name == "gpu_memory_used_bytes")
      values += reader.summary(series.id).count;
  EXPECT_GT(values, 1);
  EXPECT_TRUE(reader.sessions().at(0).environment.contains("gpu:1"));
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
              HasSubstr("two readings lie further apart than the counter may take to wrap"));
  EXPECT_THAT(read_file(folder_ / "errors.txt"), HasSubstr(">="));
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

// Whatever stands before it: the words behind -- are the command's.
TEST_F(RecordTest, TheCommandKeepsItsWords) {
  const std::vector<std::string> command{"--", "sh", "-c", "echo $@", "sh", "-flag", "--json", "--", "x"};
  for (const std::vector<std::string>& options :
       std::vector<std::vector<std::string>>{{"record", "--scrape", "http://127.0.0.1:1"},
                                             {"record", "--scrape-only", "x*"},
                                             {"record", "--sources", "host"},
                                             {"record", "--sources=host,virtual"},
                                             {"record", "--duration", "1s"},
                                             {"record", "--paper"},
                                             {"mark", "--name", "phase"}}) {
    std::vector<std::string> all = options;
    all.insert(all.end(), command.begin(), command.end());
    const Ended ended = run_program(all, folder_.path(), [&] {
      set_environment("{}");
      setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1);  // recordings of other tests are not `mark`'s
    });
    EXPECT_EQ(ended.code, 0) << options.back() << ": " << ended.errors;
    EXPECT_EQ(ended.output, "-flag --json -- x\n") << options.back();
  }
}

TEST_F(RecordTest, CountsProcessesWhoseParentsHaveEnded) {
  constexpr const char* orphan = "(sh -c 'i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done' &)";
  const auto cpu_time = [&] {
    const nlohmann::json all = summary();
    for (const auto& c : all["counters"])
      if (c["name"] == "process_cpu_seconds_total") return c;
    return nlohmann::json();
  };
  const Ended waited = run({"--sources", "host", "--json", json(), "--wait", "all", "--", "sh", "-c", orphan});
  EXPECT_EQ(waited.code, 0) << waited.errors;
  EXPECT_GT(cpu_time()["total"], 0.1);
  EXPECT_TRUE(cpu_time()["total_is_complete"].get<bool>());
  EXPECT_THAT(waited.errors, testing::Not(HasSubstr("unobserved")));
  const Ended left = run({"--sources", "host", "--", "sh", "-c", "(sleep 3 &)"});
  EXPECT_THAT(left.errors,
              HasSubstr("1 process that the command started is still running, no longer observed: sleep ("));
  EXPECT_EQ(run({"--wait", "some", "--", "true"}).code, 2);
}

TEST_F(RecordTest, TheCommandRunsWhereNothingCanBeRecorded) {
  const Ended no_folder = run_program({"record", "-o", file(), "--", "echo", "ran"}, folder_.path(), [&] {
    set_environment("{}");
    setenv("TMPDIR", "/nowhere", 1);
    unsetenv("XDG_RUNTIME_DIR");
  });
  EXPECT_EQ(no_folder.code, 0) << no_folder.errors;
  EXPECT_EQ(no_folder.output, "ran\n");
  EXPECT_THAT(no_folder.errors, HasSubstr("set TMPDIR to one that exists"));
  EXPECT_EQ(StoreReader(file()).check_integrity(), "ok");
}

// As cron and daemons do: what is printed must not get into the file that got the number.
TEST_F(RecordTest, ClosedStandardDescriptorsCostNoFile) {
  for (const std::vector<int>& closed : {std::vector{2}, {1}, {0}, {0, 1, 2}}) {
    const pid_t pid = start_program({"record", "--overwrite", "-o", file(), "--duration", "300ms", "--", "true"},
                                    folder_ / "output.txt", folder_ / "errors.txt", [&] {
                                      set_environment("{}");
                                      for (const int descriptor : closed) close(descriptor);
                                    });
    EXPECT_EQ(wait_for_program(pid), 0);
    EXPECT_EQ(StoreReader(file()).check_integrity(), "ok");
  }
}

TEST_F(RecordTest, WhatWasIgnoredAtTheStartStaysIgnored) {
  const std::vector<std::string> arguments{
      "record", "--", "sh", "-c", "kill -HUP $PPID; kill -HUP $$; kill -INT $PPID; kill -INT $$; sleep 0.3; echo here"};
  const Ended ignored = run_program(arguments, folder_.path(), [] {
    set_environment("{}");
    for (const int number : {SIGHUP, SIGINT, SIGCHLD, SIGPIPE}) signal(number, SIG_IGN);
  });
  EXPECT_EQ(ignored.code, 0) << ignored.errors;
  EXPECT_EQ(ignored.output, "here\n");
  const Ended heard = run_program(arguments, folder_.path(), [] { set_environment("{}"); });
  EXPECT_EQ(heard.code, 128 + SIGHUP) << heard.errors;
  const std::vector<std::string> pipe{"record", "--", "sh", "-c", "kill -PIPE $$; echo here"};
  EXPECT_EQ(run_program(pipe, folder_.path(), [] { set_environment("{}"); }).code, 128 + SIGPIPE);
}

TEST_F(RecordTest, ACommandThatCannotStartCostsNoEarlierRecording) {
  ASSERT_EQ(run({"-o", file(), "--duration", "300ms"}).code, 0);
  const std::string before = read_file(file());
  const Ended ended = run({"-o", file(), "--overwrite", "--", folder_ / "misspelt"});
  EXPECT_EQ(ended.code, 125);
  EXPECT_EQ(read_file(file()), before);
  EXPECT_EQ(run({"-o", file(), "--overwrite", "--", "true"}).code, 0);
  EXPECT_NE(read_file(file()), before);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    EXPECT_THAT(entry.path().filename().string(), testing::Not(HasSubstr("old")));
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
