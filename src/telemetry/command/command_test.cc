// Commands beside a recording: held until they are released, with their own exit code.
#include "telemetry/command/command.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "store/test_folder.h"
#include "telemetry/collected_rows.h"
#include "telemetry/sources/host.h"

namespace batchscope {
namespace {

TEST(HeldCommand, DoesNothingBeforeItIsReleased) {
  const TestFolder folder;
  const std::string file = (folder / "ran").string();
  HeldCommand held({"sh", "-c", "echo ran > " + file + "; exit 7"});
  EXPECT_EQ(kill(held.pid(), 0), 0);
  EXPECT_FALSE(std::filesystem::exists(file));
  ASSERT_TRUE(held.release());
  EXPECT_EQ(exit_code_of(held.pid()), 7);
  EXPECT_TRUE(std::filesystem::exists(file));
}

TEST(HeldCommand, NeverRunsWhenItIsLetGo) {
  const TestFolder folder;
  const std::string file = (folder / "ran").string();
  pid_t pid = 0;
  {
    const HeldCommand held({"sh", "-c", "echo ran > " + file});
    pid = held.pid();
  }
  EXPECT_NE(kill(pid, 0), 0);
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(HeldCommand, SaysWhyItCannotBegin) {
  HeldCommand held({"/nowhere/at/all"});
  EXPECT_FALSE(held.release());
  EXPECT_EQ(errno, ENOENT);
}

TEST(HeldCommand, RunsAsAnotherUserForGood) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may";
  const TestFolder folder;
  const std::string file = (folder / "ran").string();
  setenv("KEPT_OF_TEST", "kept", 1);
  HeldCommand held(
      {"sh", "-c", "echo $(id -u) $(id -G) $USER $HOME $KEPT_OF_TEST; grep -E '^(Uid|Groups)' /proc/self/status"},
      {.output = file, .user = command_user("nobody", "--user")});
  ASSERT_TRUE(held.release());
  EXPECT_EQ(exit_code_of(held.pid()), 0);
  const std::string out = read_file(file);
  EXPECT_TRUE(out.starts_with("65534 65534 nobody /nonexistent kept\n")) << out;
  EXPECT_NE(out.find("Uid:\t65534\t65534\t65534\t65534\n"), std::string::npos) << out;
  EXPECT_THROW(command_user("no such user", "--user"), InputError);
}

TEST(HeldCommand, ASignalEndsItWhileItWaits) {
  HeldCommand held({"true"});
  kill(held.pid(), SIGTERM);
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(held.pid()), &info, WEXITED | WNOWAIT);
  EXPECT_TRUE(held.release());
  EXPECT_EQ(exit_code_of(held.pid()), 128 + SIGTERM);
}

TEST(HeldCommand, WhatItUsesIsNotItsCommands) {
  HeldCommand held({"sleep", "100"});
  HostSource source({.root = held.pid()});
  source.discover(monotonic_clock());
  const auto process_rows = [&] {
    for (std::size_t i = 0; i < source.groups().size(); ++i)
      if (source.groups()[i].counters[0].name == "process_cpu_seconds_total")
        return read_rows(source, i, monotonic_clock()).size();
    return std::size_t{99};
  };
  EXPECT_EQ(process_rows(), 0U);
  ASSERT_TRUE(held.release());
  EXPECT_EQ(process_rows(), 1U);
  kill(held.pid(), SIGKILL);
  exit_code_of(held.pid());
}

}  // namespace
}  // namespace batchscope
