// Tests of the count of usable CPUs, against control groups written into a folder.
#include "base/cpus.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace batchscope {
namespace {

class CpusTest : public testing::Test {
 protected:
  CpusTest() : root_(std::filesystem::temp_directory_path() / ("batchscope_cpus_test." + std::to_string(getpid()))) {
    std::filesystem::create_directories(root_);
  }
  ~CpusTest() override { std::filesystem::remove_all(root_); }
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  int count() const { return usable_cpus(root_, root_ / "membership"); }
  static int affinity() {
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    return CPU_COUNT(&set);
  }

  std::filesystem::path root_;
};

TEST_F(CpusTest, WithoutControlGroupsTheAffinityCounts) {
  EXPECT_EQ(count(), affinity());
  write("membership", "0::/\n");
  write("cpu.max", "max 100000\n");
  EXPECT_EQ(count(), affinity());
}

TEST_F(CpusTest, TheSmallestQuotaOnTheWayToTheGroupCounts) {
  write("membership", "0::/pod/container\n");
  write("pod/container/cpu.max", "max 100000\n");
  write("pod/cpu.max", "50000 100000\n");  // half a CPU still is one
  EXPECT_EQ(count(), 1);
  write("pod/cpu.max", "900000000 100000\n");
  EXPECT_EQ(count(), affinity());
}

TEST_F(CpusTest, ReadsVersionOne) {
  write("membership", "7:memory:/job\n4:cpu,cpuacct:/job\n");
  write("cpu/job/cpu.cfs_quota_us", "100000\n");
  write("cpu/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(count(), 1);
  write("cpu/job/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(count(), affinity());
}

}  // namespace
}  // namespace batchscope
