// `export` as a user runs it: files and folders that appear whole or not at all, and what it says when it cannot.
#include "report/export/export.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "cli/test_program.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string content(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::size_t files_in(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

class ExportVerbTest : public testing::Test {
 protected:
  ExportVerbTest() {
    StoreWriter writer(folder_ / "s.bscope", OpenMode::create);
    const auto session = writer.begin_session("record");
    const auto series = writer.add_series(
        {.session = session, .name = "x", .unit = "bytes", .kind = "gauge", .device = "host", .source = "test"});
    SampleBlock block{.before = {}, .after = {}, .columns = {{.series = series}}};
    for (int i = 0; i < 20'000; ++i) {
      block.before.push_back(Nanoseconds(i));
      block.after.push_back(Nanoseconds(i));
      block.columns[0].integers.push_back(i);
    }
    writer.append_samples({&block, 1}, {});
  }

  // The exit code; standard output and error go to files of these names.
  int run(const std::vector<std::string>& arguments, rlim_t largest_file = RLIM_INFINITY) const {
    const pid_t child = fork();
    if (child == 0) {
      if (chdir(folder_.path().c_str()) != 0) _exit(126);
      dup2(open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
      dup2(open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
      signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{largest_file, largest_file};
      setrlimit(RLIMIT_FSIZE, &limit);
      std::vector<char*> words{const_cast<char*>("batchscope"), const_cast<char*>("export"),
                               const_cast<char*>("s.bscope")};
      for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
      words.push_back(nullptr);
      execv(program().c_str(), words.data());
      _exit(125);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string out() const { return content(folder_ / "out"); }
  std::string err() const { return content(folder_ / "err"); }

  TestFolder folder_;
};

TEST_F(ExportVerbTest, OneTableGoesToAFileOrStandardOutput) {
  EXPECT_EQ(run({"--table", "series"}), 0);
  EXPECT_THAT(out(), StartsWith("series,session,name,"));
  EXPECT_EQ(run({"--table", "samples", "--format", "jsonl", "-o", "samples.jsonl"}), 0);
  EXPECT_THAT(content(folder_ / "samples.jsonl"), AllOf(StartsWith("{\"session\":1,"), HasSubstr("\"value\":19999}")));
  EXPECT_EQ(run({"--format", "perfetto", "-o", "trace"}), 0);
  EXPECT_GT(std::filesystem::file_size(folder_ / "trace"), 20'000U);
}

TEST_F(ExportVerbTest, SeveralTablesGoToAFolder) {
  EXPECT_EQ(run({"-o", "all/"}), 0);
  EXPECT_EQ(files_in(folder_ / "all"), export_tables().size());
  std::ofstream(folder_ / "all" / "mine.txt") << "kept";
  std::ofstream(folder_ / "all" / "series.csv") << "old";
  EXPECT_EQ(run({"-o", "all", "--table", "series,gaps"}), 0);
  EXPECT_EQ(files_in(folder_ / "all"), export_tables().size() + 1);
  EXPECT_THAT(content(folder_ / "all" / "series.csv"), StartsWith("series,"));
  EXPECT_EQ(content(folder_ / "all" / "mine.txt"), "kept");
}

TEST_F(ExportVerbTest, WhatDoesNotFitLeavesNothing) {
  const rlim_t limit = 64 << 10;
  std::filesystem::create_directory(folder_ / "there");
  std::ofstream(folder_ / "old") << "old";
  EXPECT_EQ(run({"--table", "samples", "-o", "old"}, limit), 4);
  EXPECT_THAT(err(), AllOf(StartsWith("batchscope: cannot write old: "), HasSubstr("nothing was written")));
  EXPECT_EQ(content(folder_ / "old"), "old");
  EXPECT_EQ(run({"--format", "perfetto", "-o", "old"}, limit), 4);
  EXPECT_EQ(run({"-o", "new"}, limit), 4);
  EXPECT_EQ(run({"-o", "there"}, limit), 4);
  EXPECT_EQ(files_in(folder_ / "there"), 0U);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    EXPECT_THAT((std::set<std::string>{"s.bscope", "there", "old", "out", "err"}),
                testing::Contains(entry.path().filename().string()));
}

TEST_F(ExportVerbTest, SaysWhatIsWrong) {
  const auto refused = [&](const std::vector<std::string>& arguments) {
    EXPECT_EQ(run(arguments), 2);
    EXPECT_EQ(out(), "");
    return err();
  };
  EXPECT_THAT(refused({}), HasSubstr("name it with -o"));
  EXPECT_THAT(refused({"--table", "sample"}), HasSubstr("did you mean samples?"));
  EXPECT_THAT(refused({"--format", "xml"}), HasSubstr("csv, jsonl, perfetto"));
  EXPECT_THAT(refused({"--format", "perfetto", "--table", "cells"}), HasSubstr("leave --table out"));
  EXPECT_THAT(refused({"-o", "none/all"}), HasSubstr("there is no folder"));
  EXPECT_THAT(refused({"-o", "s.bscope"}), HasSubstr("it is a file"));
}

}  // namespace
}  // namespace batchscope
