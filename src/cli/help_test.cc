// --help of every verb: within 80 columns, and as a person writes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/test_program.h"
#include "report/text.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::HasSubstr;
using testing::Not;

// The first words of lines that are indented by two.
std::vector<std::string> verbs_in(const std::string& help) {
  std::vector<std::string> verbs;
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("  ") && line.size() > 2 && line[2] >= 'a' && line[2] <= 'z' && line.find("batchscope") != 2)
      verbs.push_back(line.substr(2, line.find(' ', 2) - 2));
  return verbs;
}

TEST(Help, ReadsLikeWrittenByAPerson) {
  const TestFolder folder;
  const Ended all = run_program({"--help"}, folder.path());
  EXPECT_EQ(all.code, 0);
  const auto verbs = verbs_in(all.output);
  EXPECT_GE(verbs.size(), 20U);
  EXPECT_EQ(run_program({"help"}, folder.path()).output, all.output);
  std::istringstream all_lines(all.output);
  for (std::string line; std::getline(all_lines, line);) EXPECT_LE(text_width(line), 80U) << line;
  for (const std::string& verb : verbs) {
    const Ended help = run_program({verb, "--help"}, folder.path());
    EXPECT_EQ(help.code, 0) << verb;
    EXPECT_EQ(run_program({"help", verb}, folder.path()).output, help.output) << verb;
    EXPECT_THAT(help.output, HasSubstr("Usage: batchscope " + verb)) << verb;
    for (const char* machine : {"(0x)", "Excludes", "Needs:", "=[", " ...", "REQUIRED", "Print this help"})
      EXPECT_THAT(help.output, Not(HasSubstr(machine))) << verb;
    std::istringstream lines(help.output);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(text_width(line), 80U) << verb << ": " << line;
  }
  EXPECT_THAT(run_program({"record", "--help"}, folder.path()).output, HasSubstr("gpm-engine"));
  EXPECT_EQ(run_program({"help", "evla"}, folder.path()).code, 2);
}

// As others spell them; --help is never what somebody meant.
TEST(ForeignFlags, AreUnderstoodOrPutRight) {
  const TestFolder folder;
  const auto run = [&](std::vector<std::string> words) { return run_program(words, folder.path()); };
  const std::vector<std::string> plan{"plan", "--random-weights",  "llama-7b", "--batch",
                                      "1",    "--sequence-length", "10"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> words = plan;
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  };
  // Of the plan all but its time, which is measured.
  const auto planned = [&](std::vector<std::string> more) {
    const std::string output = with(std::move(more)).output;
    return output.substr(0, output.find("time: "));
  };
  EXPECT_EQ(planned({"--tensor-parallel-size", "4", "--dtype", "bfloat16"}),
            planned({"--parallel", "tp4", "--dtype", "bf16"}));
  EXPECT_EQ(planned({"--tensor-parallel-size=4"}), planned({"--parallel", "tp4"}));
  EXPECT_THAT(with({"--device-memory", "80G"}).errors, HasSubstr("write 80GB (powers of 1000) or 80GiB"));
  const std::vector<std::string> eval{"eval", "--prompt-tokens", "4", "--output-tokens", "2", "--num-prompts", "2"};
  EXPECT_EQ(run(eval).code, 0);
  EXPECT_THAT(run({"eval", "--tasks", "hellaswag"}).errors, HasSubstr("did you mean --task FILE.jsonl?"));
  EXPECT_THAT(run({"eval", "--enable-prefix-caching"}).errors, HasSubstr("did you mean --packing prefix?"));
  EXPECT_THAT(run({"serve", "--port", "8000"}).errors, HasSubstr("did you mean --listen HOST:PORT?"));
  for (const char* flag : {"--hepl", "--port", "-x", "--host"})
    EXPECT_THAT(run({"eval", flag, "1"}).errors, Not(HasSubstr("did you mean --help"))) << flag;
  EXPECT_THAT(run({"eval", "--limit", "1", "--seed", "3"}).errors, HasSubstr("--seed belongs to --random-weights"));
  EXPECT_THAT(run({"eval", "--limit", "1", "-o", folder / "out.json"}).errors, HasSubstr(".json is written by --json"));
}

}  // namespace
}  // namespace batchscope
