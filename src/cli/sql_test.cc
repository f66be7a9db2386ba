// `sql` and `merge` as a user meets them: what is printed, files, codes, and Ctrl-C.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "cli/test_program.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

class SqlVerb : public testing::Test {
 protected:
  SqlVerb() {
    for (const char* name : {"a.bscope", "b.bscope"}) {
      StoreWriter writer(folder_ / name, OpenMode::create);
      writer.begin_session("study");
      writer.add_study("demo", std::string("{\"of\":\"") + name + "\"}");
    }
  }
  Ended run(const std::vector<std::string>& arguments) const { return run_program(arguments, folder_.path()); }

  TestFolder folder_;
};

TEST_F(SqlVerb, PrintsOrWritesRows) {
  const std::string file = folder_ / "a.bscope", csv = folder_ / "rows.csv";
  EXPECT_EQ(run({"sql", file, "SELECT name, 1 AS one FROM studies"}).output, "name  one\ndemo    1\n");
  EXPECT_EQ(run({"sql", file, "SELECT name FROM studies", "--format", "csv", "-o", csv}).code, 0);
  EXPECT_EQ(read_file(csv), "name\ndemo\n");
}

// Names in a file of anybody's, in whatever a verb prints for people.
TEST_F(SqlVerb, NoNameOfAFileReachesTheTerminalAsItIs) {
  const std::string file = folder_ / "hostile.bscope", hostile = "\x1b]0;PWNED\x07\x1b[31m\u202e\nforged: line";
  {
    StoreWriter writer(file, OpenMode::create);
    const auto session = writer.begin_session("record");
    const auto id = writer.add_series({.session = session,
                                       .name = "x" + hostile,
                                       .unit = "bytes",
                                       .kind = "gauge",
                                       .device = "d" + hostile,
                                       .source = "s" + hostile});
    SampleBlock block{
        .before = {Nanoseconds(1), Nanoseconds(2)}, .after = {Nanoseconds(1), Nanoseconds(2)}, .columns = {}};
    block.columns.push_back({.series = id, .integers = {1, 2}});
    writer.append_samples(
        {{block}}, {{{.series = id, .begin = Nanoseconds(1), .end = Nanoseconds(2), .ticks = 1, .reason = hostile}}});
  }
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"report", file},
                                                    {"replay", file},
                                                    {"sql", file, "SELECT * FROM series"},
                                                    {"report", file, "--study", hostile},
                                                    {"report", folder_ / hostile}}) {
    const Ended ended = run(arguments);
    for (const std::string& text : {ended.output, ended.errors}) {
      EXPECT_EQ(text.find_first_of("\x1b\x07"), std::string::npos) << arguments[0] << text;
      EXPECT_EQ(text.find("\u202e"), std::string::npos) << arguments[0] << text;
      EXPECT_EQ(text.find("\nforged"), std::string::npos) << arguments[0] << text;
    }
  }
}

TEST_F(SqlVerb, BadQueriesAreOneLineAndCode2) {
  for (const std::string sql : {"SELECT", "DELETE FROM studies", "SELECT 1; SELECT 2", ""}) {
    const Ended ended = run({"sql", folder_ / "a.bscope", sql});
    EXPECT_EQ(ended.code, 2) << sql;
    EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
  }
  EXPECT_EQ(run({"sql", folder_ / "none.bscope", "SELECT 1"}).code, 2);
  EXPECT_EQ(run({"sql", folder_ / "a.bscope", "SELECT 1", "--format", "xml"}).code, 2);
}

TEST_F(SqlVerb, EndlessQueryEndsAtCtrlC) {
  const pid_t endless =
      start_program({"sql", folder_ / "a.bscope",
                     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"},
                    folder_ / "output.txt", folder_ / "errors.txt");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(waitpid(endless, nullptr, WNOHANG), 0);
  kill(endless, SIGINT);
  EXPECT_EQ(wait_for_program(endless), 130);
}

TEST_F(SqlVerb, MergedStudiesAreReportedByName) {
  const std::string both = folder_ / "c.bscope";
  const Ended merged = run({"merge", folder_ / "a.bscope", folder_ / "b.bscope", "-o", both});
  EXPECT_EQ(merged.code, 0);
  EXPECT_THAT(merged.output, HasSubstr("2 sessions, 2 studies"));
  EXPECT_THAT(merged.errors, HasSubstr("it is now 'demo (2)'"));
  EXPECT_EQ(run({"merge", folder_ / "a.bscope", "-o", both}).code, 2);

  const Ended unnamed = run({"report", both});
  EXPECT_EQ(unnamed.code, 2);
  EXPECT_THAT(unnamed.errors, HasSubstr("\"demo\", \"demo (2)\""));
  EXPECT_THAT(run({"report", both, "--study", "none"}).errors, HasSubstr("holds no study \"none\""));
  const Ended named = run({"report", both, "--study", "demo (2)"});
  EXPECT_THAT(named.output, HasSubstr("demo (2)")) << named.errors;
}

}  // namespace
}  // namespace batchscope
