// Tests of `overhead` by the program itself: what it runs, and how it ends. What it makes of times is tested without
// running anything (analysis/overhead_test.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/virtual_page.h"
#include "cli/test_program.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

class OverheadTest : public testing::Test {
 protected:
  Ended run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "overhead");
    return run_program(arguments, folder_.path(), [this] {
      setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1);
      setenv("TMPDIR", folder_.path().c_str(), 1);
      unsetenv("BATCHSCOPE_MARKS");
      unsetenv("NVTX_INJECTION64_PATH");
    });
  }
  std::string folder() const { return folder_.path(); }
  TestFolder folder_;
};

TEST_F(OverheadTest, RunsWithAndWithout) {
  const std::string log = folder() + "/log";
  const Ended ended =
      run({"--pairs", "3", "--json", "-", "--", "sh", "-c", "echo run ${BATCHSCOPE_MARKS:+profiled} >>" + log});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const auto json = nlohmann::json::parse(ended.output);
  EXPECT_EQ(json["pairs"], 3);
  EXPECT_EQ(json["measure"], "seconds");
  ASSERT_EQ(json["arms"].size(), 1U);
  EXPECT_EQ(json["arms"][0]["values"].size(), 3U);
  EXPECT_GT(json["without"]["values"][0].get<double>(), 0.0);
  const std::string lines = read_file(log);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 7);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), 'p'), 3);  // of "profiled"
  EXPECT_TRUE(std::filesystem::is_empty(folder() + "/batchscope"));
}

TEST_F(OverheadTest, TakesANumberFromTheOutput) {
  const Ended ended = run({"--pairs", "2", "--metric", "([0-9.]+) tokens/s", "--higher-is-better", "--json",
                           folder() + "/o.json", "--", "sh", "-c",
                           "echo 1 tokens/s; if [ -n \"$BATCHSCOPE_MARKS\" ]; then echo 50 tokens/s; else echo 75 "
                           "tokens/s >&2; fi"});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.output, HasSubstr("slower by 50.0 %"));
  const auto json = nlohmann::json::parse(read_file(folder() + "/o.json"));
  EXPECT_EQ(json["measure"], "metric");
  EXPECT_NEAR(json["arms"][0]["ratio"].get<double>(), 1.5, 1e-9);
  EXPECT_EQ(json["without"]["values"], nlohmann::json({75.0, 75.0}));
}

TEST_F(OverheadTest, ComparesWithAnotherMonitor) {
  const std::string log = folder() + "/log";
  const Ended ended =
      run({"--pairs", "1", "--compare", "trap : TERM; sleep 100 & echo $! >" + log + "; wait; sleep 100", "--json", "-",
           "--", "true"});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  EXPECT_EQ(nlohmann::json::parse(ended.output)["arms"][1]["arm"], "compare");
  const pid_t descendant = std::stoi(read_file(log));  // all of it is to be gone, though its shell did not want to
  const Nanoseconds deadline = monotonic_clock().now() + std::chrono::seconds(5);
  while (process_start_ticks(descendant) && monotonic_clock().now() < deadline) usleep(1000);
  EXPECT_EQ(process_start_ticks(descendant), std::nullopt);
}

TEST_F(OverheadTest, TheCommandsExitCodeIsPassedOn) {
  const Ended ended = run({"--", "sh", "-c", "echo first; echo why >&2; exit 7"});
  EXPECT_EQ(ended.code, 7);
  EXPECT_THAT(ended.errors, HasSubstr("exit code 7 in run 1; its last line: \"why\""));
  EXPECT_EQ(run({"--", "sh", "-c", "test -z \"$BATCHSCOPE_MARKS\" || exit 9"}).code, 9);
  EXPECT_EQ(run({"--", "/no/such/command"}).code, 125);
}

TEST_F(OverheadTest, ErrorsAreOneLine) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{}, "give the command"},
      {{"--pairs", "0", "--", "true"}, "--pairs"},
      {{"--period", "1us", "--", "true"}, "too short"},
      {{"--metric", "(", "--", "true"}, "not a regular expression"},
      {{"--metric", "x", "--", "true"}, "nothing in the output of run 1"},
      {{"--metric", "x.*", "--", "echo", "xyz"}, "--metric"},
      {{"--higher-is-better", "--", "true"}, "belongs to --metric"},
      {{"--compare", "true", "--pairs", "1", "--", "sleep", "0.1"}, "ended before"}};
  for (const auto& [arguments, expected] : cases) {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 2) << expected;
    EXPECT_THAT(ended.errors, HasSubstr(expected));
    EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
  }
}

}  // namespace
}  // namespace batchscope
