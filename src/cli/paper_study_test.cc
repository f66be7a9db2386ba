// The paper's studies at toy size, on virtual devices, by the real program: run, reported, planned.
#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/test_program.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class PaperStudyTest : public testing::Test {
 protected:
  static std::string toml(const std::string& name) { return BATCHSCOPE_SOURCE_DIR "/studies/" + name + ".toml"; }
  Ended run(const std::vector<std::string>& arguments) const { return run_program(arguments, folder_.path()); }
  // The study's own file at toy size.
  Ended study(const std::string& name, std::vector<std::string> settings,
              const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"study", toml(name), "-o", folder_ / (name + ".bscope")};
    for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  nlohmann::json report(const std::string& name) const {
    const Ended ended = run({"report", folder_ / (name + ".bscope"), "--json"});
    EXPECT_EQ(ended.code, 0) << ended.errors;
    return nlohmann::json::parse(ended.output);
  }

  TestFolder folder_;
};

const std::vector<std::string> toy{"device=cpu:4",
                                   "random-weights=",
                                   "task=",
                                   "dtype=f32",
                                   "sample=16",
                                   "batch=[1,8,64]",
                                   "device-memory=24MiB/devices",
                                   "link=['4GB/s,5us', '400MB/s,20us']"};

TEST_F(PaperStudyTest, HasTable2AndFigures4To6) {
  const Ended ended = study("paper", toy);
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const nlohmann::json json = report("paper");
  int out_of_memory = 0, extrapolated = 0;
  for (const nlohmann::json& cell : json.at("cells")) {
    const std::string status = cell.at("status");
    EXPECT_TRUE(status == "ok" || status == "out_of_memory") << cell.at("key") << cell.at("reason");
    out_of_memory += status == "out_of_memory" ? 1 : 0;
    if (status == "ok" && cell.at("batch") != 64)
      extrapolated += cell.at("result").at("whole_task").at("high").is_number() ? 1 : 0;
  }
  EXPECT_EQ(json.at("cells").size(), 36u);
  EXPECT_GT(out_of_memory, 0);
  EXPECT_EQ(extrapolated, 24);

  // From the file alone, one link and number format at a time.
  const std::string file = folder_ / "paper.bscope", figures = folder_ / "figures", page = folder_ / "paper.html";
  const Ended part = run({"report", file, "--where", "link=4GB/s,5us", "--where", "weights-dtype=auto", "--figures",
                          figures, "--html", page});
  ASSERT_EQ(part.code, 0) << part.errors;
  for (const char* figure :
       {"time", "traffic_tx", "traffic_rx", "traffic_utilisation", "memory", "frontier", "accuracy"})
    EXPECT_TRUE(std::filesystem::exists(folder_ / "figures" / (std::string(figure) + ".svg"))) << figure;
  const Ended tables = run({"report", file, "--where", "link=4GB/s,5us", "--where", "weights-dtype=auto"});
  EXPECT_THAT(tables.output, AllOf(HasSubstr("MP4"), HasSubstr("TP4 fused"), HasSubstr("Whole task, extrapolated"),
                                   HasSubstr("out of memory"), HasSubstr("by the plan")));
  EXPECT_THAT(tables.output, testing::Not(HasSubstr("400MB/s")));
  EXPECT_EQ(run({"report", file, "--where", "batch=7"}).code, 2);
  EXPECT_EQ(run({"report", file, "--where", "bacth=8"}).code, 2);

  // What is finished needs no time.
  std::vector<std::string> arguments{"study", toml("paper"), "-o", file, "--dry-run", "--json"};
  for (const std::string& setting : toy) arguments.insert(arguments.end(), {"--set", setting});
  const Ended dry = run(arguments);
  ASSERT_EQ(dry.code, 0) << dry.errors;
  const nlohmann::json needed = nlohmann::json::parse(dry.output).at("time_needed");
  EXPECT_EQ(needed.at("finished"), 36);
  EXPECT_EQ(needed.at("seconds"), 0.0);
  EXPECT_GT(needed.at("measured_to_estimated"), 0.0);
}

TEST_F(PaperStudyTest, Decodes) {
  const Ended ended = study("paper_decode", {"device=cpu:4", "random-weights=", "dtype=f32", "link=unpaced",
                                             "prompt-tokens=[8,32]", "output-tokens=4", "batch=[1,8]"});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.output, AllOf(HasSubstr("TPOT"), HasSubstr("8+4 tok"), HasSubstr("least time a request")));
  const nlohmann::json json = report("paper_decode");
  EXPECT_EQ(json.at("cells").size(), 12u);
  for (const nlohmann::json& cell : json.at("cells")) {
    EXPECT_EQ(cell.at("status"), "ok") << cell.at("reason");
    EXPECT_EQ(cell.at("result").at("requests"), cell.at("batch"));
  }
}

TEST_F(PaperStudyTest, AnswersAreTheSameAndCutOnesFallToChance) {
  const Ended ended = study("paper_accuracy", {"sample=100", "max-tokens-per-sequence=[4,16,48]"});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const nlohmann::json json = report("paper_accuracy");
  double uncut = 0, least = 1;
  for (const nlohmann::json& cell : json.at("cells")) {
    const std::string status = cell.at("status");
    EXPECT_TRUE(status == "ok" || status == "truncated") << cell.at("key") << cell.at("reason");
    const double right = cell.at("result").at("acc_norm");
    if (status == "ok") uncut = right;
    least = std::min(least, right);
  }
  EXPECT_GT(uncut, 0.6);
  EXPECT_LT(least, 0.35);
  const std::string text = run({"report", folder_ / "paper_accuracy.bscope"}).output;
  EXPECT_LT(text.find("≤4 tok"), text.find("≤16 tok"));
  const std::string figures = folder_ / "figures";
  ASSERT_EQ(run({"report", folder_ / "paper_accuracy.bscope", "--figures", figures}).code, 0);
  EXPECT_THAT(read_file(folder_ / "figures" / "accuracy_kept.svg"),
              AllOf(HasSubstr("tokens kept"), HasSubstr("chance")));
}

TEST_F(PaperStudyTest, ACollapseIsSeen) {
  if (std::system("python3 -c 'import json' 2>/dev/null") != 0) GTEST_SKIP() << "no python3 to run engines with";
  const std::string engine =
      "command:python3 '" BATCHSCOPE_SOURCE_DIR "/tools/engines/letters_engine.py' --workspace 4096";
  const Ended ended = study("collapse", {"engine=" + engine});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  for (const nlohmann::json& cell : report("collapse").at("cells")) {
    const bool has_room = cell.at("batch") <= 16;
    EXPECT_EQ(cell.at("status"), has_room ? "ok" : "degraded") << cell.at("key") << cell.at("reason");
    EXPECT_EQ(cell.at("result").at("tokens").at("truncated"), 0);  // nothing is cut, and counting sees nothing
  }
}

// What it says of every second run when the others are finished, and what these took.
TEST_F(PaperStudyTest, TheRestTakesAsLongAsItSays) {
  const std::vector<std::string> settings{"device=cpu:2",
                                          "random-weights=",
                                          "task=",
                                          "dtype=f32",
                                          "sample=40",
                                          "batch=[1,8]",
                                          "device-memory=24MiB/devices",
                                          "link=unpaced",
                                          "search=false"};
  ASSERT_EQ(study("paper", settings).code, 0);
  double took = 0;
  {
    SQLite::Database file(folder_ / "paper.bscope", SQLite::OPEN_READWRITE);
    SQLite::Statement sum(file, "SELECT sum(end_ns - begin_ns) / 1e9 FROM attempts WHERE id % 2 = 0");
    ASSERT_TRUE(sum.executeStep());
    took = sum.getColumn(0).getDouble();
    file.exec("DELETE FROM attempts WHERE id % 2 = 0");
  }
  const Ended ended = study("paper", settings, {"--dry-run", "--json"});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const nlohmann::json needed = nlohmann::json::parse(ended.output).at("time_needed");
  EXPECT_EQ(needed.at("finished"), 6);
  EXPECT_EQ(needed.at("runs"), 12);
  const double said = needed.at("seconds"), low = needed.at("low"), high = needed.at("high");
  EXPECT_GT(said, took / 10) << took;
  EXPECT_LT(said, took * 10) << took;
  EXPECT_LT(low, said);
  EXPECT_GT(high, said);
}

}  // namespace
}  // namespace batchscope
