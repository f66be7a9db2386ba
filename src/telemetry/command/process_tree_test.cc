// Processes whose parents end before them: what they use stays in the sum, or is said to be lost.
#include "telemetry/command/process_tree.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/clock.h"

namespace batchscope {
namespace {

using std::chrono::milliseconds;

void use_cpu(Nanoseconds time) {
  for (const Nanoseconds end = thread_cpu_time() + time; thread_cpu_time() < end;) {
  }
}

// A child that starts a grandchild and waits for a byte to end before it.
class ProcessTreeTest : public testing::Test {
 protected:
  ProcessTreeTest() {
    EXPECT_EQ(pipe(gate_.data()), 0);
    child_ = fork();
    if (child_ != 0) return;
    if (fork() == 0) {
      use_cpu(milliseconds(300));
      std::this_thread::sleep_for(milliseconds(700));
      use_cpu(milliseconds(100));
      _exit(0);
    }
    char byte = 0;
    [[maybe_unused]] const auto got = read(gate_[0], &byte, 1);
    _exit(0);
  }
  ~ProcessTreeTest() override {
    close(gate_[0]);
    close(gate_[1]);
  }
  void end_child() {
    EXPECT_EQ(write(gate_[1], "x", 1), 1);
    waitpid(child_, nullptr, 0);
  }
  std::array<int, 2> gate_{};
  pid_t child_ = -1;
};

TEST_F(ProcessTreeTest, CountsOnWhoseParentHasEnded) {
  ProcessTree tree("/proc", child_);
  std::this_thread::sleep_for(milliseconds(500));
  const auto before = tree.use();
  EXPECT_EQ(before.processes, 2U);
  EXPECT_GE(before.cpu_ticks, 10);
  end_child();
  const auto orphaned = tree.use();
  EXPECT_EQ(orphaned.processes, 1U);
  EXPECT_GE(orphaned.cpu_ticks, before.cpu_ticks);
  EXPECT_EQ(orphaned.lost, nullptr);
  std::this_thread::sleep_for(milliseconds(1500));
  const auto ended = tree.use();
  EXPECT_EQ(ended.processes, 0U);
  // Whoever has it now may not have waited for it yet: else nobody tells what it used in the end.
  EXPECT_TRUE(ended.lost != nullptr || ended.cpu_ticks >= orphaned.cpu_ticks + 8);
  EXPECT_GE(ended.cpu_ticks, orphaned.cpu_ticks);
  EXPECT_EQ(tree.use().lost, nullptr);
}

}  // namespace
}  // namespace batchscope
