// The real program: an ablation, compared with itself and with copies in which something was made worse.
#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/test_program.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CompareTest : public testing::Test {
 protected:
  std::string in_folder(const std::string& name) const { return (folder_ / name).string(); }
  Ended run(const std::vector<std::string>& arguments) const { return run_program(arguments, folder_.path()); }
  Ended ablate(std::vector<std::string> more) const {
    more.insert(more.begin(), {"ablate", "--parallel", "tp2", "--limit", "4", "--batches", "2,4", "--repeats", "2"});
    return run(more);
  }
  // A copy of a.bscope after a statement of SQL.
  std::string plant(const std::string& copy, const std::string& sql) const {
    std::filesystem::copy_file(folder_ / "a.bscope", folder_ / copy);
    SQLite::Database(in_folder(copy), SQLite::OPEN_READWRITE).exec(sql);
    return in_folder(copy);
  }

  TestFolder folder_;
};

TEST_F(CompareTest, AblationsAreComparedByExitCode) {
  const std::string a = in_folder("a.bscope"), html = in_folder("a.html");
  const Ended ablation = ablate({"-o", a});
  ASSERT_EQ(ablation.code, 0) << ablation.errors;
  EXPECT_THAT(ablation.output,
              AllOf(HasSubstr("TP2, 4: on without norm"), HasSubstr("against on"), HasSubstr("VIRTUAL")));
  const Ended again = ablate({"-o", a, "--json"});  // all is there already
  EXPECT_EQ(nlohmann::json::parse(again.output).at("effects").size(), 2 * (11u + 10u));

  const Ended same = run({"compare", a, a, "--html", html});
  EXPECT_EQ(same.code, 0) << same.errors;
  EXPECT_THAT(same.output, HasSubstr("NO REGRESSION"));
  EXPECT_THAT(read_file(html), AllOf(HasSubstr("NO REGRESSION"), HasSubstr("time-ratio")));
  const std::string memory = plant("memory.bscope", "UPDATE devices SET peak_bytes = peak_bytes * 2");
  const Ended more = run({"compare", a, memory});
  EXPECT_EQ(more.code, 1) << more.errors;
  EXPECT_THAT(more.output, AllOf(HasSubstr("REGRESSION: 24 found"), HasSubstr("MORE")));
  EXPECT_EQ(run({"compare", memory, a}).code, 0);
  EXPECT_EQ(run({"compare", "--threshold", "memory=100%", a, memory}).code, 0);
}

TEST_F(CompareTest, StudiesOfAMergedFileAreChosenByName) {
  const std::string a = in_folder("a.bscope"), b = in_folder("b.bscope"), both = in_folder("both.bscope");
  ASSERT_EQ(ablate({"-o", a}).code, 0);
  ASSERT_EQ(ablate({"-o", b, "--packing", "prefix"}).code, 0);
  ASSERT_EQ(run({"merge", a, b, "-o", both}).code, 0);
  const Ended unnamed = run({"compare", both, a});
  EXPECT_EQ(unnamed.code, 2);
  EXPECT_THAT(unnamed.errors, AllOf(HasSubstr("--study"), HasSubstr("ablate (2)")));
  EXPECT_EQ(run({"compare", both, a, "--study", "ablate"}).code, 0);
  const Ended other = run({"compare", both, both, "--study", "ablate", "--study", "ablate (2)", "--json"});
  EXPECT_EQ(nlohmann::json::parse(other.output).at("settings").at(0).at("what"), "packing") << other.errors;
  EXPECT_EQ(run({"compare", both, a, "--study", "ablate (3)"}).code, 2);
}

TEST_F(CompareTest, JsonMayStandAnywhere) {
  const std::string a = in_folder("a.bscope");
  ASSERT_EQ(run({"eval", "--limit", "2", "-o", a}).code, 0);
  const std::string failed = plant("failed.bscope", "UPDATE attempts SET status = 'failed', reason = 'it broke'");
  for (const auto& arguments : {std::vector<std::string>{"compare", "--json", a, failed},
                                {"compare", a, "--json", failed},
                                {"compare", a, failed, "--json"}}) {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 1) << ended.errors;
    EXPECT_THAT(nlohmann::json::parse(ended.output).at("regressions").at(0).get<std::string>(), HasSubstr("it broke"));
  }
}

TEST_F(CompareTest, BadInputIsOneLine) {
  std::ofstream(folder_ / "text.bscope") << "no database";
  const std::vector<std::vector<std::string>> mistakes{{"compare"},
                                                       {"compare", "a.bscope"},
                                                       {"compare", "/nowhere/a.bscope", "b.bscope"},
                                                       {"compare", in_folder("text.bscope"), in_folder("text.bscope")},
                                                       {"compare", "a", "b", "c"},
                                                       {"compare", "a", "b", "--threshold", "5"},
                                                       {"compare", "a", "b", "--threshold", "speed=5%"},
                                                       {"compare", "a", "b", "--threshold", "5%,accuracy=-1%"},
                                                       {"ablate", "--repeats", "0"},
                                                       {"ablate", "--batches", "8,8"},
                                                       {"ablate", "--parallel", "tp3", "--device", "cpu:2"}};
  for (const auto& arguments : mistakes) {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 2) << testing::PrintToString(arguments);
    EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
  }
}

}  // namespace
}  // namespace batchscope
