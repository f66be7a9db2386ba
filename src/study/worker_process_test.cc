// Workers as real processes around a fake engine: every way for one to end is the result of its cell only.
#include "study/worker_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/error.h"
#include "study/axes.h"
#include "study/fake_engine.h"
#include "study/study_runner.h"
#include "study/worker.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

constexpr Nanoseconds plenty = std::chrono::seconds(60);

WorkerMain fake_worker(FakeTroubles troubles) {
  return [troubles](int in, int out) {
    serve_worker(in, out, [troubles](const EngineSpec&) { return std::make_unique<FakeEngine>(troubles); });
    return 0;
  };
}

CellSpec worker_cell(std::int64_t batch) {
  CellSpec spec = cell_of({{"parallel", "tp2"}, {"limit", "3"}});
  spec.run.batch = batch;
  return spec;
}

TEST(WorkerProcess, RunsCellsOfOneModelWithoutLoadingItAgain) {
  const std::atomic<bool> stop{false};
  WorkerProcess worker(fake_worker({.out_of_memory = 4}));
  EXPECT_EQ(worker.run(worker_cell(2), plenty, stop).result.status, "ok");
  EXPECT_EQ(worker.run(worker_cell(4), plenty, stop).result.status, "out_of_memory");
  const CellRecords last = worker.run(worker_cell(3), plenty, stop);
  EXPECT_EQ(last.result.status, "ok");
  EXPECT_EQ(last.items.size(), 3u);
  EXPECT_EQ(last.phases.back().detail, "1 loads");
  EXPECT_DOUBLE_EQ(last.result.load_seconds.value(), 0.007);
  EXPECT_TRUE(worker.alive());
}

TEST(WorkerProcess, ComparesAnswersWithThoseItIsSent) {
  const std::atomic<bool> stop{false};
  WorkerProcess worker(fake_worker({}));
  const CellRecords alone = worker.run(worker_cell(2), plenty, stop);
  EXPECT_THAT(alone.result.result_json, HasSubstr(R"("sentinel":null)"));
  SentinelReference reference = reference_of(worker_cell(2), "the first", alone.items);
  const CellRecords same = worker.run(worker_cell(3), plenty, stop, &reference);
  EXPECT_EQ(same.result.status, "ok");
  EXPECT_THAT(same.result.result_json, HasSubstr(R"("reference":"the first")"));
  for (ItemRecord& item : reference.items)
    for (double& value : item.log_likelihoods) value -= 30;
  const CellRecords other = worker.run(worker_cell(3), plenty, stop, &reference);
  EXPECT_EQ(other.result.status, "degraded");
  EXPECT_THAT(other.result.reason, HasSubstr("the first"));
}

TEST(WorkerProcess, BadInputIsACellsFailure) {
  const std::atomic<bool> stop{false};
  WorkerProcess worker(fake_worker({}));
  CellSpec spec = worker_cell(2);
  spec.task = "/no/such/file.jsonl";
  const CellRecords records = worker.run(spec, plenty, stop);
  EXPECT_EQ(records.result.status, "failed");
  EXPECT_THAT(records.result.reason, HasSubstr("/no/such/file.jsonl"));
  EXPECT_EQ(worker.run(worker_cell(2), plenty, stop).result.status, "ok");
}

TEST(WorkerProcess, ACrashNamesItsSignalAndLastWords) {
  const std::atomic<bool> stop{false};
  WorkerProcess worker(fake_worker({.crash = 2}));
  const CellRecords records = worker.run(worker_cell(2), plenty, stop);
  EXPECT_EQ(records.result.status, "failed");
  EXPECT_THAT(records.result.reason, HasSubstr("SIGSEGV"));
  EXPECT_THAT(records.result.reason, HasSubstr("last words of the fake"));
  EXPECT_FALSE(worker.alive());
}

TEST(WorkerProcess, AHangIsEndedAtItsTimeOut) {
  const std::atomic<bool> stop{false};
  WorkerProcess worker(fake_worker({.hang = 2}));
  const CellRecords records = worker.run(worker_cell(2), std::chrono::milliseconds(500), stop);
  EXPECT_EQ(records.result.status, "timed_out");
  EXPECT_THAT(records.result.reason, HasSubstr("500.0 ms"));
  EXPECT_FALSE(worker.alive());
}

TEST(WorkerProcess, StopInterruptsAHang) {
  std::atomic<bool> stop{false};
  WorkerProcess worker(fake_worker({.hang = 2}));
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop = true;
  });
  EXPECT_THROW(worker.run(worker_cell(2), plenty, stop), Interrupted);
  later.join();
}

TEST(WorkerRunner, ReplacesAWorkerThatDied) {
  const std::atomic<bool> stop{false};
  WorkerRunner runner(fake_worker({.crash = 2}), plenty, stop);
  EXPECT_EQ(runner.run(worker_cell(2), nullptr).result.status, "failed");
  EXPECT_EQ(runner.run(worker_cell(3), nullptr).result.status, "ok");
}

// The state letter of a process: "" when it is gone, "Z" when only its parent has not heard yet.
std::string state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  file >> number >> name >> state;
  return state;
}

TEST(WorkerProcess, AKilledStudyLeavesNoOrphan) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t study = fork();
  ASSERT_GE(study, 0);
  if (study == 0) {
    const std::atomic<bool> stop{false};
    WorkerProcess worker(fake_worker({.hang = 2}));
    const pid_t pid = worker.pid();
    if (write(ends[1], &pid, sizeof pid) != sizeof pid) _exit(1);
    worker.run(worker_cell(2), plenty, stop);
    _exit(0);
  }
  pid_t worker = 0;
  ASSERT_EQ(read(ends[0], &worker, sizeof worker), static_cast<ssize_t>(sizeof worker));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  kill(study, SIGKILL);
  waitpid(study, nullptr, 0);
  for (int i = 0; i < 200 && !state_of(worker).empty() && state_of(worker) != "Z"; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(state_of(worker).empty() || state_of(worker) == "Z") << state_of(worker);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace batchscope
