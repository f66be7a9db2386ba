// The real program as one process a rank, by mpirun: the same answers as by threads, and what is left when a rank dies.
#include "cli/processes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "base/file.h"
#include "cli/test_program.h"
#include "store/store.h"

namespace batchscope {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* mpirun = "mpirun --bind-to none -n {ranks}";

class ProcessesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("command -v mpirun >/dev/null") != 0) GTEST_SKIP() << "there is no mpirun here";
    if (!fs::exists(program().parent_path() / "libbatchscope_mpi.so")) GTEST_SKIP() << "built without MPI";
    // More processes than CPUs, and as root, as containers run tests.
    for (const char* name :
         {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe"})
      setenv(name, "1", 1);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // mpirun with that many processes of the program; what it prints goes to output.txt and errors.txt.
  pid_t start(int ranks, const std::vector<std::string>& arguments) const {
    std::vector<std::string> words{"mpirun", "--bind-to", "none", "-n", std::to_string(ranks), program().string()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    const pid_t pid = fork();
    if (pid != 0) return pid;
    dup2(open(file("output.txt").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(open(file("errors.txt").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    std::vector<char*> raw;
    for (std::string& word : words) raw.push_back(word.data());
    raw.push_back(nullptr);
    execvp("mpirun", raw.data());
    _exit(125);
  }
  Ended run(int ranks, const std::vector<std::string>& arguments) const {
    const int code = wait_for_program(start(ranks, arguments));
    return {code, read_file(file("output.txt")), read_file(file("errors.txt"))};
  }
  fs::path file(const std::string& name) const { return folder_ / name; }

  fs::path folder_ = fs::temp_directory_path() / ("processes_test_" + std::to_string(getpid()));
};

// The lines that are the program's own, not mpirun's.
std::vector<std::string> own_lines(const std::string& text) {
  std::vector<std::string> own;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("batchscope: ")) own.push_back(line);
  return own;
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  for (pid_t child = 0; file >> child;) children.push_back(child);
  return children;
}

bool runs(pid_t pid) { return kill(pid, 0) == 0; }

// Whether they have by then.
bool all_end(const std::vector<pid_t>& processes, Nanoseconds deadline) {
  while (std::any_of(processes.begin(), processes.end(), runs)) {
    if (monotonic_clock().now() > deadline) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

TEST_F(ProcessesTest, EveryCellHasTheAnswersOfThreads) {
  std::ofstream(file("all.toml")) << R"(
name = "all"
limit = 2
threads = 1
batch = 6
frontier = { search = false }
[grid]
parallel = ["pp2", "tp4", "dp2.tp2"]
fusion = ["off", "on", "qkv", "swiglu", "norm", "attention", "comm"]
packing = ["padded", "packed", "prefix"]
)";
  const std::string study = file("all.toml").string();
  const Ended threads = run_program({"study", study, "-o", file("threads.bscope").string()}, folder_);
  ASSERT_EQ(threads.code, 0) << threads.errors;
  const Ended processes =
      run_program({"study", study, "-o", file("processes.bscope").string(), "--launcher", mpirun}, folder_);
  ASSERT_EQ(processes.code, 0) << processes.errors;
  // Everything but times.
  const auto cells_of = [&](const char* name) {
    const StoreReader reader(file(name));
    std::map<std::string, nlohmann::json> cells;
    for (const CellRecord& cell : reader.cells())
      for (const AttemptRecord& attempt : reader.attempts(cell.id)) {
        const auto result = nlohmann::json::parse(attempt.result_json);
        nlohmann::json& all = cells[cell.key];
        for (const char* key : {"status", "acc_norm", "tokens", "batches"}) all[key] = result.at(key);
        for (const auto& device : result.at("devices"))
          for (const char* key : {"name", "memory", "links"}) all["devices"].push_back(device.at(key));
        for (const ItemRecord& item : reader.items(attempt.id)) all["scores"].push_back(item.log_likelihoods);
        EXPECT_EQ(attempt.status, "ok") << cell.key << ": " << attempt.reason;
      }
    return cells;
  };
  EXPECT_EQ(cells_of("processes.bscope").size(), 3u * 7 * 3);
  EXPECT_EQ(cells_of("threads.bscope"), cells_of("processes.bscope"));
}

TEST_F(ProcessesTest, GeneratesTheTokensOfThreads) {
  for (const char* layout : {"pp2.tp2", "tp4", "dp2.tp2", "mp4"}) {
    const std::vector<std::string> arguments{"generate", "--parallel", layout, "--prompt", "Ana has", "--prompt", "Tom",
                                             "--prompt", "Kai lost a", "--new-tokens", "9", "--batch", "2", "--ids"};
    const Ended threads = run_program(arguments, folder_);
    const Ended processes = run(4, arguments);
    EXPECT_EQ(processes.code, 0) << processes.errors;
    EXPECT_EQ(processes.output, threads.output) << layout;
  }
}

TEST_F(ProcessesTest, OneSaysWhatAllMeet) {
  const auto said = [&](const std::vector<std::string>& arguments, int code) {
    const Ended ended = run(3, arguments);
    EXPECT_EQ(ended.code, code) << ended.errors;
    const auto lines = own_lines(ended.errors);
    EXPECT_EQ(lines.size(), 1u) << ended.errors;
    return lines.empty() ? "" : lines.front();
  };
  EXPECT_THAT(said({"eval", "--parallel", "tp2"}, 2), HasSubstr("2 ranks, but 3 processes were started"));
  EXPECT_THAT(said({"eval", "--parallel", "tp3", "--task", "/nowhere"}, 2), HasSubstr("cannot read /nowhere"));
  EXPECT_THAT(said({"eval", "--parallel", "tp3", "--devices", "cpu:3"}, 2), HasSubstr("--devices"));
  EXPECT_THAT(said({"eval", "--parallel", "tp3", "--device", "cpu:2"}, 2), HasSubstr("3 ranks are on one host"));
  EXPECT_THAT(said({"eval", "--parallel", "tp3", "--device-memory", "900KiB"}, 3), HasSubstr("out of memory"));
  EXPECT_THAT(said({"study", "demo.toml"}, 2), HasSubstr("--launcher"));
}

TEST_F(ProcessesTest, ARankThatIsKilledEndsAll) {
  std::mt19937 random(11);
  std::uniform_real_distribution<double> moment(0.2, 2.5);
  constexpr int ranks = 3;
  int killed = 0;
  for (int round = 0; round < 10; ++round) {
    const pid_t launcher = start(ranks, {"eval", "--parallel", "tp3", "--threads", "1", "--prompt-tokens", "20",
                                         "--output-tokens", "40", "--requests", "4000", "--batch", "4"});
    std::vector<pid_t> processes;
    while (processes.size() < ranks && runs(launcher)) processes = children_of(launcher);
    ASSERT_EQ(processes.size(), static_cast<std::size_t>(ranks));
    std::this_thread::sleep_for(from_seconds(moment(random)));
    const auto rank = static_cast<std::size_t>(random() % ranks);
    const Nanoseconds begin = monotonic_clock().now();
    kill(processes[rank], SIGKILL);
    EXPECT_NE(wait_for_program(launcher), 0);
    EXPECT_TRUE(all_end(processes, begin + 5s));
    // Before they have found each other only the launcher knows.
    const std::string errors = read_file(file("errors.txt"));
    const auto lines = own_lines(errors);
    EXPECT_LE(lines.size(), 1u) << errors;
    if (lines.empty()) continue;
    ++killed;
    EXPECT_THAT(lines.front(), HasSubstr("(process " + std::to_string(processes[rank]) + " on "));
    EXPECT_THAT(lines.front(), HasSubstr("has died: it was killed, or crashed"));
  }
  EXPECT_GE(killed, 5);
}

TEST_F(ProcessesTest, CtrlCEndsAll) {
  const pid_t launcher = start(3, {"eval", "--parallel", "tp3", "--threads", "1", "--prompt-tokens", "20",
                                   "--output-tokens", "40", "--requests", "4000", "--batch", "4"});
  std::vector<pid_t> processes;
  while (processes.size() < 3 && runs(launcher)) processes = children_of(launcher);
  std::this_thread::sleep_for(1500ms);
  const Nanoseconds begin = monotonic_clock().now();
  kill(launcher, SIGINT);
  EXPECT_NE(wait_for_program(launcher), 0);
  EXPECT_TRUE(all_end(processes, begin + 5s));
  // The launcher kills whoever has not ended a second later: a machine that is too busy for that says nothing.
  EXPECT_THAT(own_lines(read_file(file("errors.txt"))),
              testing::AnyOf(testing::IsEmpty(), testing::ElementsAre("batchscope: interrupted")));
}

// Ranks of a study's workers are killed: their cells fail with the reason, and the others run.
TEST_F(ProcessesTest, AStudyGoesOnAfterKilledRanks) {
  std::ofstream(file("tiny.toml")) << "name = \"tiny\"\nlimit = 40\nrepeats = 6\nthreads = 1\nfrontier = { search = false }\n"
                                      "[grid]\nparallel = [\"tp3\"]\nbatch = [1, 2, 4]\n";
  const pid_t study = start_program({"study", file("tiny.toml").string(), "-o", file("tiny.bscope").string(),
                                     "--launcher", mpirun},
                                    file("output.txt"), file("errors.txt"));
  std::mt19937 random(5);
  std::uniform_real_distribution<double> moment(0.3, 1.5);
  int kills = 0;
  std::vector<pid_t> seen;
  while (kills < 10 && waitpid(study, nullptr, WNOHANG) == 0) {
    std::this_thread::sleep_for(from_seconds(moment(random)));
    for (const pid_t launcher : children_of(study)) {
      const auto ranks = children_of(launcher);
      if (ranks.size() != 3) continue;
      kill(ranks[random() % 3], SIGKILL);
      seen.insert(seen.end(), ranks.begin(), ranks.end());
      ++kills;
    }
  }
  if (kills == 10) {
    EXPECT_EQ(wait_for_program(study), 0) << read_file(file("errors.txt"));
  }
  EXPECT_GT(kills, 0);
  EXPECT_TRUE(all_end(seen, monotonic_clock().now() + 5s));
  ASSERT_EQ(run_program({"study", file("tiny.toml").string(), "-o", file("tiny.bscope").string(), "--launcher", mpirun},
                        folder_)
                .code,
            0);
  const StoreReader reader(file("tiny.bscope"));
  int failed = 0;
  for (const CellRecord& cell : reader.cells()) {
    const auto attempts = reader.attempts(cell.id);
    ASSERT_EQ(attempts.size(), 1u) << cell.key;
    if (attempts.front().status == "ok") continue;
    ++failed;
    EXPECT_EQ(attempts.front().status, "failed") << attempts.front().reason;
    // The launcher's code says it where it ended the others before they could.
    EXPECT_THAT(attempts.front().reason, testing::AnyOf(HasSubstr("has died"), HasSubstr("exited on signal 9"),
                                                        HasSubstr("ended with code 137")));
  }
  EXPECT_LE(failed, kills);
  EXPECT_GT(failed, 0);
}

}  // namespace
}  // namespace batchscope
