// The real program: an ablation, compared with itself and with copies in which something was made worse.
#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CompareTest : public testing::Test {
 protected:
  // The exit code; what was printed and complained is in `said`.
  int run(const std::string& arguments) {
    const auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "batchscope";
    const std::filesystem::path log = folder_ / "said";
    const int status = std::system(fmt::format("cd '{}' && '{}' {} >'{}' 2>&1 </dev/null", folder_.path().string(),
                                               program.string(), arguments, log.string())
                                       .c_str());
    std::ifstream file(log);
    said = std::string(std::istreambuf_iterator<char>(file), {});
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  // A copy of a.bscope after a statement of SQL.
  void plant(const std::string& copy, const std::string& sql) const {
    std::filesystem::copy_file(folder_ / "a.bscope", folder_ / copy);
    SQLite::Database(folder_ / copy, SQLite::OPEN_READWRITE).exec(sql);
  }

  TestFolder folder_;
  std::string said;
};

TEST_F(CompareTest, AblationsAreComparedByExitCode) {
  ASSERT_EQ(run("ablate --parallel tp2 --limit 4 --batches 2,4 --repeats 2 -o a.bscope"), 0) << said;
  EXPECT_THAT(said, AllOf(HasSubstr("TP2, 4: on without norm"), HasSubstr("against on"), HasSubstr("VIRTUAL")));
  EXPECT_EQ(run("ablate --parallel tp2 --limit 4 --batches 2,4 --repeats 2 -o a.bscope --json"), 0);  // all is there
  EXPECT_EQ(nlohmann::json::parse(said).at("effects").size(), 2 * (11u + 10u));

  EXPECT_EQ(run("compare a.bscope a.bscope"), 0) << said;
  EXPECT_THAT(said, HasSubstr("NO REGRESSION"));
  plant("memory.bscope", "UPDATE devices SET peak_bytes = peak_bytes * 2");
  EXPECT_EQ(run("compare a.bscope memory.bscope"), 1) << said;
  EXPECT_THAT(said, AllOf(HasSubstr("REGRESSION: 24 found"), HasSubstr("MORE")));
  EXPECT_EQ(run("compare memory.bscope a.bscope"), 0) << said;
  EXPECT_EQ(run("compare a.bscope memory.bscope --threshold memory=100%"), 0) << said;
  plant("failed.bscope", "UPDATE attempts SET status = 'failed', reason = 'it broke' WHERE id = 3");
  EXPECT_EQ(run("compare --json a.bscope failed.bscope"), 1) << said;
  EXPECT_THAT(nlohmann::json::parse(said).at("regressions").at(0).get<std::string>(), HasSubstr("it broke"));
}

TEST_F(CompareTest, BadInputIsOneLine) {
  std::ofstream(folder_ / "text.bscope") << "no database";
  for (const char* arguments : {"compare", "compare a.bscope", "compare a.bscope b.bscope", "compare text.bscope x",
                                "compare a b --threshold 5", "compare a b --threshold speed=5%",
                                "compare a b --threshold -5%", "ablate --repeats 0", "ablate --batches 8,8"}) {
    EXPECT_EQ(run(arguments), 2) << arguments;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  }
}

}  // namespace
}  // namespace batchscope
