// Programs as engines: one that works, and every way of going wrong, each an error of one line with the reason in it.
#include "engine/command/command_engine.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/phase_list.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr EngineLimits short_limits{.start = std::chrono::seconds(20),
                                    .silence = std::chrono::seconds(1),
                                    .end = std::chrono::milliseconds(200),
                                    .line_bytes = 1 << 20,
                                    .noise_bytes = 1 << 16};

std::string source(const std::string& name) { return std::string(BATCHSCOPE_SOURCE_DIR) + "/" + name; }
EngineSpec letters(const std::string& more = "") {
  return {EngineSpec::Kind::command, "python3 '" + source("tools/engines/letters_engine.py") + "' " + more};
}
EngineSpec faulty(const std::string& fault, const std::string& step, const std::string& more = "") {
  return {EngineSpec::Kind::command,
          fmt::format("python3 '{}' {} {} {}", source("src/engine/command/testdata/faulty_engine.py"), fault, step, more)};
}

std::vector<ScoreRequest> requests() {
  std::vector<ScoreRequest> all;
  for (const char* ending : {" the mat", " xqzv", " the \"h\xc3\xa4t\"\n"})
    all.push_back({.group = 0, .context = "the cat sat on the mat; the hat", .continuation = ending});
  return all;
}

bool has_python() {
  static const bool found = std::system("python3 -c 'import json' 2>/dev/null") == 0;
  return found;
}

class CommandEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_python()) GTEST_SKIP() << "no python3 to run engines with";
  }
  // What a run with that fault throws; "" for nothing.
  static std::string error(const std::string& fault, const std::string& step, ExitCode code,
                           const EngineLimits& limits = short_limits) {
    try {
      CommandEngine engine(faulty(fault, step), limits);
      engine.load({.path = "m"}, {});
      engine.score(requests(), {}, nullptr);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
      return error.what();
    }
    return "";
  }
};

TEST_F(CommandEngineTest, ScoresTextAndTellsWhatItKnows) {
  CommandEngine engine(letters());
  EXPECT_GT(engine.load({}, {}), Nanoseconds(0));
  EXPECT_EQ(engine.describe(), "letters 1");
  EXPECT_FALSE(engine.capabilities().plans);
  ASSERT_EQ(engine.processes().size(), 1u);
  PhaseList phases;
  const ScoreReport run = engine.score(requests(), {.batch = 2}, &phases);
  ASSERT_EQ(run.log_likelihoods.size(), 3u);
  for (const double value : run.log_likelihoods) EXPECT_LT(value, -1);
  EXPECT_NE(run.log_likelihoods[0], run.log_likelihoods[1]);
  EXPECT_EQ(run.batches, 2);
  EXPECT_EQ(run.batch_times.size(), 2u);
  EXPECT_GT(run.tokens.requested.value(), 0);
  EXPECT_TRUE(run.devices.empty());
  const std::vector<Phase> all = phases.take();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "warm-up");
  EXPECT_EQ(all[1].name, timed_phase);
  EXPECT_EQ(all[1].end - all[1].begin, run.time);
  EXPECT_GE(all[1].begin, all[0].end);
  // The same again, and another batch; what it does not know is refused before it is asked.
  EXPECT_EQ(engine.score(requests(), {.batch = 3}, nullptr).log_likelihoods, run.log_likelihoods);
  EXPECT_THROW(engine.score(requests(), {.packing = Packing::prefix}, nullptr), InputError);
  EXPECT_THROW(engine.generate({}, {}, nullptr, {}), InputError);
  EXPECT_THROW(engine.load({.random_shape = "llama-7b"}, {}), InputError);
  EXPECT_THROW(engine.load({}, {.dtype = DType::bf16}), InputError);
}

TEST_F(CommandEngineTest, EveryFaultIsOneLineWithItsReason) {
  EXPECT_THAT(error("dies", "load", ExitCode::failed),
              AllOf(HasSubstr("ended with code 3 while loading"), HasSubstr("first words | ModuleNotFoundError")));
  EXPECT_THAT(error("dies", "hello", ExitCode::failed), HasSubstr("while starting"));
  EXPECT_THAT(error("crashes", "score", ExitCode::failed), HasSubstr("killed by SIGABRT while scoring"));
  EXPECT_THAT(error("hangs", "score", ExitCode::failed), HasSubstr("while scoring, nothing was heard of it for 1.00 s"));
  EXPECT_THAT(error("deaf", "prepare", ExitCode::failed), HasSubstr("while preparing, nothing was heard"));
  EXPECT_THAT(error("rubbish", "load", ExitCode::failed), HasSubstr("answer to load:1:3"));
  EXPECT_THAT(error("huge", "score", ExitCode::failed), HasSubstr("a line of more than 1048576 bytes"));
  EXPECT_THAT(error("chatters", "score", ExitCode::failed), HasSubstr("no answers, beginning with"));
  EXPECT_THAT(error("short", "score", ExitCode::failed), HasSubstr("3 were asked for, 1 came"));
  EXPECT_THAT(error("text", "score", ExitCode::failed), HasSubstr("log_likelihoods: expected numbers"));
  EXPECT_THAT(error("not_done", "warm_up", ExitCode::failed), HasSubstr("answer to warm_up: done"));
  EXPECT_THAT(error("fails", "score", ExitCode::failed), HasSubstr("something broke"));
  EXPECT_THAT(error("memory", "load", ExitCode::out_of_memory), HasSubstr("11 GiB are not there"));
  EXPECT_THAT(error("refuses", "load", ExitCode::bad_input), HasSubstr("no such model"));
  // These do no harm.
  EXPECT_EQ(error("noise", "load", ExitCode::ok), "");
  EXPECT_EQ(error("progress", "score", ExitCode::ok), "");
}

TEST_F(CommandEngineTest, WhatIsNoNumberComesAsSuch) {
  CommandEngine engine(faulty("nan", "score"));
  engine.load({.path = "m"}, {});
  for (const double value : engine.score(requests(), {}, nullptr).log_likelihoods) EXPECT_TRUE(std::isnan(value));
}

TEST(CommandEngine, AProgramThatIsNotThereIsBadInput) {
  CommandEngine engine({EngineSpec::Kind::command, "/no/such/engine"});
  try {
    engine.load({}, {});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("/no/such/engine"), HasSubstr("No such file")));
  }
  EXPECT_THROW(engine.score({}, {}, nullptr), Failure);
}

// Gone, or a zombie that nobody has waited for yet.
bool is_alive(pid_t pid) {
  std::ifstream stat(fmt::format("/proc/{}/stat", pid));
  std::string text;
  if (!std::getline(stat, text)) return false;
  const char state = text[text.rfind(')') + 2];
  return state != 'Z' && state != 'X';
}

// The engine and the child that it started; waits until they are known.
std::pair<pid_t, pid_t> family(const std::filesystem::path& file) {
  for (int i = 0; i < 2000; ++i) {
    std::ifstream pids(file);
    pid_t engine = 0, child = 0;
    if (pids >> engine >> child) return {engine, child};
    usleep(5000);
  }
  return {0, 0};
}

bool ends_soon(pid_t pid) {
  for (int i = 0; i < 1000 && is_alive(pid); ++i) usleep(5000);
  return !is_alive(pid);
}

TEST_F(CommandEngineTest, LeavesNoProcessBehind) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("engine_family_{}", getpid());
  std::filesystem::remove(file);
  auto engine = std::make_unique<CommandEngine>(faulty("child", "load", file.string()), short_limits);
  engine->load({.path = "m"}, {});
  const auto [pid, child] = family(file);
  ASSERT_GT(child, 0);
  EXPECT_TRUE(is_alive(pid) && is_alive(child));
  engine.reset();
  EXPECT_FALSE(is_alive(pid));
  EXPECT_TRUE(ends_soon(child));
  std::filesystem::remove(file);
}

TEST_F(CommandEngineTest, EndsWithAProgramThatIsKilled) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("engine_killed_{}", getpid());
  std::filesystem::remove(file);
  const pid_t program = fork();
  if (program == 0) {
    CommandEngine engine(faulty("child", "load", file.string()), short_limits);
    engine.load({.path = "m"}, {});
    pause();
    _exit(0);
  }
  const auto [pid, child] = family(file);
  ASSERT_GT(child, 0);
  kill(program, SIGKILL);
  waitpid(program, nullptr, 0);
  EXPECT_TRUE(ends_soon(pid));
  EXPECT_TRUE(ends_soon(child));
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace batchscope
