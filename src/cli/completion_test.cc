// Completion in real shells: the script is sourced, and asked what can stand at the end of a line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "cli/test_program.h"
#include "store/test_folder.h"
#include "study/axes.h"

namespace batchscope {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

struct Ran {
  int status = 0;
  std::string output;
};

Ran run(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  Ran ran;
  std::array<char, 4096> buffer;
  for (std::size_t got = 0; (got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    ran.output.append(buffer.data(), got);
  ran.status = pclose(pipe);
  return ran;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class CompletionTest : public testing::Test {
 protected:
  CompletionTest() {
    for (const char* name : {"demo.bscope", "other file.bscope", "study.toml", "questions.jsonl"})
      std::ofstream(folder_ / name) << "";
    std::filesystem::create_directory(folder_ / "models");
    for (const std::string shell : {"bash", "zsh"})
      EXPECT_EQ(run(program().string() + " completion " + shell + " > " + script(shell)).status, 0);
  }
  std::string script(const std::string& shell) const { return (folder_ / ("completion." + shell)).string(); }

  // What bash offers behind these words, the last of which is begun ("" where it is not).
  std::vector<std::string> complete(const std::vector<std::string>& words) const {
    const auto test = folder_ / "complete.bash";
    std::ofstream out(test);
    out << "cd '" << folder_.path().string() << "'\nsource completion.bash\nCOMP_WORDS=(batchscope";
    for (const std::string& word : words) out << " '" << word << "'";
    out << ")\nCOMP_CWORD=" << words.size() << "\n_batchscope\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    out.close();
    auto lines = lines_of(run("bash --norc --noprofile " + test.string()).output);
    std::erase(lines, "");
    return lines;
  }

  TestFolder folder_;
};

TEST_F(CompletionTest, BashTakesTheScript) {
  EXPECT_EQ(run("bash -n " + script("bash") + " 2>&1").output, "");
  EXPECT_EQ(run("bash --norc --noprofile -c 'source " + script("bash") + "; complete -p batchscope'").output,
            "complete -F _batchscope batchscope\n");
}

TEST_F(CompletionTest, CompletesVerbsButNotHiddenOnes) {
  EXPECT_THAT(complete({"ev"}), ElementsAre("eval"));
  EXPECT_THAT(complete({""}), Contains("export"));
  EXPECT_THAT(complete({""}), Not(Contains("worker")));
  EXPECT_THAT(complete({"--v"}), ElementsAre("--version"));
}

TEST_F(CompletionTest, CompletesFlagsOfTheVerb) {
  EXPECT_THAT(complete({"eval", "--pa"}), UnorderedElementsAre("--packing", "--parallel"));
  EXPECT_THAT(complete({"study", "--d"}), ElementsAre("--dry-run"));
  EXPECT_THAT(complete({"devices", ""}), Contains("--json"));
}

TEST_F(CompletionTest, CompletesValuesAsTheParserKnowsThem) {
  for (const Axis& axis : axes()) {
    if (axis.values.empty()) continue;
    const std::vector<std::string> values(axis.values.begin(), axis.values.end());
    EXPECT_EQ(complete({"eval", axis.flag_name(), ""}), values) << axis.word;
  }
  EXPECT_THAT(complete({"eval", "--packing", "pre"}), ElementsAre("prefix"));
  EXPECT_THAT(complete({"plan", "--packing", "=", "pre"}), ElementsAre("prefix"));
  EXPECT_THAT(complete({"plan", "--when-too-long", "="}), ElementsAre("fail", "truncate"));
  EXPECT_THAT(complete({"eval", "--fusion", "qkv,sw"}), ElementsAre("qkv,swiglu"));
  EXPECT_THAT(complete({"export", "--format", "p"}), ElementsAre("perfetto"));
  EXPECT_THAT(complete({"export", "--table", "cells,sa"}), UnorderedElementsAre("cells,samples", "cells,samplers"));
  EXPECT_THAT(complete({"completion", ""}), ElementsAre("bash", "zsh"));
  EXPECT_THAT(complete({"eval", "--batch", ""}), IsEmpty());
}

TEST_F(CompletionTest, CompletesFilesOfTheRightKind) {
  EXPECT_THAT(complete({"report", ""}), UnorderedElementsAre("demo.bscope", "other file.bscope", "models"));
  EXPECT_THAT(complete({"study", ""}), UnorderedElementsAre("study.toml", "models"));
  EXPECT_THAT(complete({"eval", "--task", "q"}), ElementsAre("questions.jsonl"));
  EXPECT_THAT(complete({"eval", "--model", "mo"}), ElementsAre("models"));
  EXPECT_THAT(complete({"report", "--figures", ""}), ElementsAre("models"));
  EXPECT_THAT(complete({"study", "study.toml", "-o", "d"}), ElementsAre("demo.bscope"));
  EXPECT_THAT(complete({"study", "study.toml", "--json", "--d"}), ElementsAre("--dry-run"));
  EXPECT_THAT(complete({"record", "--", "batchscope", "study"}), ElementsAre("study.toml"));
  EXPECT_THAT(complete({"record", "--", "ech"}), Contains("echo"));
}

// Types each line into a zsh of its own, presses Tab, and prints between < and > what the line has become.
constexpr const char* zsh_test = R"zsh(
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1= PS2= RPS1=; cd ${(q)1}; autoload -Uz compinit && compinit -D; source completion.zsh
show() { zle complete-word; print -r -- \"<\$BUFFER>\"; BUFFER=; }; zle -N show; bindkey '^I' show"
for line in "${@:2}"; do zpty -n -w shell "$line"$'\t'; done
zpty -w shell $'\n exit'
while zpty -r shell piece; do print -rn -- "$piece"; done
)zsh";

TEST_F(CompletionTest, ZshTakesTheScriptAndCompletes) {
  if (run("command -v zsh").output.empty()) GTEST_SKIP() << "no zsh on this machine";
  EXPECT_EQ(run("zsh -n " + script("zsh") + " 2>&1").output, "");
  const auto test = folder_ / "complete.zsh";
  std::ofstream(test) << zsh_test;
  const std::string output =
      run("zsh -f " + test.string() + " " + folder_.path().string() +
          " 'batchscope ev' 'batchscope wor' 'batchscope eval --packi' 'batchscope eval --packing pre'"
          " 'batchscope plan --packing=pre' 'batchscope eval --fusion qkv,sw' 'batchscope report de' "
          "'batchscope study st'")
          .output;
  for (const char* line :
       {"<batchscope eval >", "<batchscope wor>", "<batchscope eval --packing=>", "<batchscope eval --packing prefix >",
        "<batchscope plan --packing=prefix >", "<batchscope eval --fusion qkv,swiglu",
        "<batchscope report demo.bscope >", "<batchscope study study.toml >"})
    EXPECT_THAT(output, testing::HasSubstr(line));
}

}  // namespace
}  // namespace batchscope
