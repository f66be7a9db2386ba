// The real program, killed at random moments: the same command goes on, no finished cell runs twice and none is lost.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "base/clock.h"
#include "cli/test_program.h"
#include "store/store.h"

namespace batchscope {
namespace {

constexpr const char* killed_study = R"(
name = "tiny"
limit = 12
repeats = 2
device-memory = "2200KiB"
[grid]
parallel = ["tp2", "mp2"]
batch = [1, 4, 16]
[frontier]
largest-batch = 16
)";

class StudyKillTest : public testing::Test {
 protected:
  StudyKillTest() : folder_(std::filesystem::temp_directory_path() / ("study_kill_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "tiny.toml") << killed_study;
  }
  ~StudyKillTest() override { std::filesystem::remove_all(folder_); }

  pid_t start(const std::string& store) const {
    const std::string study = folder_ / "tiny.toml", output = folder_ / store;
    const pid_t pid = fork();
    if (pid == 0) {
      const int nowhere = open("/dev/null", O_WRONLY);
      dup2(nowhere, STDOUT_FILENO);
      execl(program().c_str(), "batchscope", "study", study.c_str(), "-o", output.c_str(), nullptr);
      _exit(125);
    }
    return pid;
  }
  static int wait_for(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::filesystem::path folder_;
};

// How often each cell ended, by its key; what a kill cut off does not count.
std::map<std::string, int> ends_of_cells(const std::filesystem::path& path) {
  const StoreReader reader(path);
  std::map<std::string, int> ends;
  for (const CellRecord& cell : reader.cells()) {
    int& count = ends[cell.key];
    for (const AttemptRecord& attempt : reader.attempts(cell.id))
      count += attempt.status != "running" && attempt.status != "interrupted" ? 1 : 0;
  }
  return ends;
}

TEST_F(StudyKillTest, GoesOnAfterKillsAtAnyMoment) {
  const Nanoseconds begin = monotonic_clock().now();
  ASSERT_EQ(wait_for(start("whole.bscope")), 0);
  const double whole_s = to_seconds(monotonic_clock().now() - begin);

  std::mt19937 random(20240511);
  for (int kills = 0; kills < 10; ++kills) {
    const pid_t study = start("killed.bscope");
    std::uniform_real_distribution<double> moment(0, whole_s * 0.6);
    std::this_thread::sleep_for(from_seconds(moment(random)));
    kill(study, SIGKILL);
    wait_for(study);
    const bool exists = std::filesystem::exists(folder_ / "killed.bscope");
    EXPECT_EQ(exists ? StoreReader(folder_ / "killed.bscope").check_integrity() : "ok", "ok");
  }
  ASSERT_EQ(wait_for(start("killed.bscope")), 0);

  const auto whole = ends_of_cells(folder_ / "whole.bscope"), killed = ends_of_cells(folder_ / "killed.bscope");
  EXPECT_EQ(whole, killed);
  EXPECT_EQ(killed.size(), 12u);
  for (const auto& [key, ends] : killed) EXPECT_EQ(ends, 1) << key;
  EXPECT_EQ(StoreReader(folder_ / "killed.bscope").check_integrity(), "ok");
}

TEST_F(StudyKillTest, CtrlCEndsIt130AndLeavesTheRest) {
  const pid_t study = start("stopped.bscope");
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  kill(study, SIGINT);
  const int code = wait_for(study);
  EXPECT_TRUE(code == 130 || code == 0) << code;  // 0: it was done already
  ASSERT_EQ(wait_for(start("stopped.bscope")), 0);
  for (const auto& [key, ends] : ends_of_cells(folder_ / "stopped.bscope")) EXPECT_EQ(ends, 1) << key;
}

}  // namespace
}  // namespace batchscope
