// Tests of `mark`, and of `record` with what programs write into it, by the program itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/test_program.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::HasSubstr;
using testing::IsSupersetOf;

class MarkTest : public testing::Test {
 protected:
  Ended run(const std::vector<std::string>& arguments) {
    return run_program(arguments, folder_.path(), [this] { set_environment(); });
  }
  // Records a shell script, in which $B is the program.
  Ended record(const std::string& script, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"record", "--overwrite", "-o", file(), "--json", json()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    for (const std::string& word : {std::string("--"), std::string("sh"), std::string("-c"), script})
      arguments.push_back(word);
    return run(arguments);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    const StoreReader reader(file());
    for (const Phase& phase : reader.session_phases(reader.sessions().front().id))
      names.push_back(phase.name + (phase.detail.empty() ? "" : ": " + phase.detail));
    return names;
  }
  std::string file() const { return folder_ / "r.bscope"; }
  std::string json() const { return folder_ / "r.json"; }
  void set_environment() const {
    setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1);
    setenv("B", program().c_str(), 1);
    unsetenv("BATCHSCOPE_MARKS");
  }
  TestFolder folder_;
};

// Another user may have made the folder of marks first: what runs beside them goes on without.
TEST_F(MarkTest, AFolderOfOthersKeepsNoCommandFromRunning) {
  std::filesystem::create_directory(folder_ / "batchscope");
  chmod((folder_ / "batchscope").c_str(), 0777);
  for (const std::vector<std::string>& verb : {std::vector<std::string>{"mark", "--name", "x"},
                                               {"record", "--sources", "host"},
                                               {"overhead", "--pairs", "1"}}) {
    std::vector<std::string> arguments = verb;
    for (const char* word : {"--", "true"}) arguments.emplace_back(word);
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 0) << verb[0] << ended.errors;
    EXPECT_THAT(ended.errors, HasSubstr("is not a folder that only this user writes to")) << verb[0];
  }
  EXPECT_EQ(run({"mark", "a point"}).code, 4);
}

TEST_F(MarkTest, EveryFormLandsInTheRecording) {
  const Ended ended = record(
      "$B mark a point && $B mark --begin p && $B mark --end p && $B mark --begin open && "
      "$B mark --name around -- sh -c 'exit 3'");
  EXPECT_EQ(ended.code, 3) << ended.errors;
  EXPECT_THAT(names(), testing::UnorderedElementsAre("a point", "p", "around", "open: not ended before the recording"));
  EXPECT_THAT(ended.errors, HasSubstr("around"));
  const auto summary = nlohmann::json::parse(read_file(json()));
  EXPECT_EQ(summary["marks"]["received"], 6);
  EXPECT_EQ(summary["marks"]["lost"], 0);
  bool found = false;
  for (const auto& phase : summary["phases"]) {
    if (phase["name"] != "around") continue;
    found = true;
    EXPECT_EQ(phase["count"], 1);
    EXPECT_GT(phase["seconds"].get<double>(), 0.0);
  }
  EXPECT_TRUE(found);
  const Ended report = run({"report", file(), "--html", folder_ / "r.html"});
  EXPECT_THAT(report.output, Not(HasSubstr("slowed by")));  // a file does not say what would have been
  EXPECT_EQ(report.code, 0) << report.errors;
  EXPECT_THAT(report.output, HasSubstr("around"));
  EXPECT_THAT(read_file(folder_ / "r.html"), HasSubstr("\"around\""));
}

TEST_F(MarkTest, OtherShellsFindTheOnlyRecording) {
  const Ended ended = record(
      "unset BATCHSCOPE_MARKS; $B mark found && $B mark --record $PPID named && "
      "! $B mark --record 1 nobody 2>/dev/null");
  EXPECT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(names(), testing::ElementsAre("found", "named"));
}

TEST_F(MarkTest, OfSeveralRecordingsOneMustBeChosen) {
  const Ended ended = record("$B record -- sh -c 'unset BATCHSCOPE_MARKS; $B mark which' 2>&1; exit $?");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.output, HasSubstr("choose one with --record"));
}

TEST_F(MarkTest, EnginesPhasesLandInTheRecordingAroundThem) {
  const Ended ended = record("$B eval --limit 4 --batch 16 >/dev/null && $B generate --new-tokens 3 >/dev/null");
  EXPECT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(names(), IsSupersetOf({"load: tp1", "batch: batch 0, 16 sequences", "load: tp1"}));
}

TEST_F(MarkTest, NvtxOfAProgramIsOffered) {
  const Ended ended = record("echo $NVTX_INJECTION64_PATH");
  EXPECT_EQ(ended.output, (program().parent_path() / "libbatchscope_nvtx.so").native() + "\n");
  const Ended other = record("NVTX_INJECTION64_PATH=other $B record -- sh -c 'echo $NVTX_INJECTION64_PATH'");
  EXPECT_EQ(other.output, "other\n");
}

TEST_F(MarkTest, ErrorsAreOneLine) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"mark", "x"}, "no recording is running"},
      {{"mark"}, "give a name"},
      {{"mark", "--name", "x"}, "give the command"},
      {{"mark", "--begin", "--end", "x"}, "cannot be combined"},
      {{"mark", "--begin", "--name", "x", "--", "true"}, "leave out --begin"},
      {{"mark", "--record", "77777", "x"}, "none of your recordings"}};
  for (const auto& [arguments, expected] : cases) {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 2) << expected;
    EXPECT_THAT(ended.errors, HasSubstr(expected));
    EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
  }
}

TEST_F(MarkTest, ACommandRunsWithoutARecording) {
  const Ended ended = run({"mark", "--name", "x", "--", "sh", "-c", "echo out; exit 4"});
  EXPECT_EQ(ended.code, 4);
  EXPECT_EQ(ended.output, "out\n");
  EXPECT_THAT(ended.errors, HasSubstr("is not marked"));
}

TEST_F(MarkTest, WithoutAPlaceForTheSocketTheRecordingGoesOn) {
  std::ofstream(folder_ / "batchscope") << "not a folder";
  const Ended ended = record("echo out");
  EXPECT_EQ(ended.code, 0);
  EXPECT_EQ(ended.output, "out\n");
  EXPECT_THAT(ended.errors, HasSubstr("marks:"));
  EXPECT_TRUE(nlohmann::json::parse(read_file(json()))["marks"].is_null());
}

}  // namespace
}  // namespace batchscope
