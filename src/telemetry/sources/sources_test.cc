// Sources: the host's files as they are and as they should not be; pages of virtual devices, live, ended, killed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/procfs.h"
#include "base/virtual_page.h"
#include "store/test_folder.h"
#include "telemetry/collected_rows.h"
#include "telemetry/recording.h"
#include "telemetry/sources/host.h"
#include "telemetry/sources/virtual_devices.h"

namespace batchscope {
namespace {

TEST(Procfs, ReadsWhatTheKernelWrites) {
  const auto times = parse_cpu_times("cpu  10 2 30 400 5 1 1 2 0 0\ncpu0 1 2\n");
  ASSERT_TRUE(times);
  EXPECT_EQ(times->busy, 46);
  EXPECT_EQ(times->total, 451);
  const auto memory = parse_meminfo("MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:  40 kB\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->available_bytes, 40 * 1024);
  const auto disks = parse_diskstats("   8   0 sda 10 2 300 4 5 6 700 8 0 9 9\nnonsense\n");
  ASSERT_EQ(disks.size(), 1U);
  EXPECT_EQ(disks[0].written_bytes, 700 * 512);
  const auto networks = parse_net_dev("h\nh2\n  eth0:1 2 3 4 5 6 7 8 99 1 0 0 0 0 0 0\n");
  ASSERT_EQ(networks.size(), 1U);
  EXPECT_EQ(networks[0].name, "eth0");
  EXPECT_EQ(networks[0].received_bytes, 1);
  EXPECT_EQ(networks[0].transmitted_bytes, 99);
  const auto process = parse_process_stat("42 (a) (b c) S 7 1 2 3 4 5 6 7 8 9 11 22 33 44 20 0 3 0 12345 100 250 1\n");
  ASSERT_TRUE(process);
  EXPECT_EQ(process->name, "a) (b c");
  EXPECT_EQ(process->parent, 7);
  EXPECT_EQ(process->cpu_ticks, 33);
  EXPECT_EQ(process->children_cpu_ticks, 77);
  EXPECT_EQ(process->start_ticks, 12345U);
  EXPECT_EQ(process->resident_pages, 250);
  EXPECT_EQ(parse_schedstat("123 4 5\n"), 123);
  EXPECT_EQ(parse_keyed_number("oom 1\noom_kill 7\n", "oom_kill"), 7);
  EXPECT_EQ(parse_keyed_number("oom_kill_disable 1\n", "oom_kill"), std::nullopt);
  EXPECT_EQ(count_cpus("cpu  1 2\ncpu0 1\ncpu11 1\nintr 5\n"), 2);
  EXPECT_EQ(parse_children("1 22 \n"), (std::vector<std::int64_t>{1, 22}));
}

TEST(Procfs, OtherBytesAreAbsent) {
  for (const char* bad : {"", "\n", "cpu", "cpu 1 2 3", "cpu a b c d e f g h", "cpu -1 2 3 4 5 6 7 8",
                          "cpu 9223372036854775807 9223372036854775807 1 1 1 1 1 1", "99999999999999999999"}) {
    EXPECT_FALSE(parse_cpu_times(bad)) << bad;
    EXPECT_FALSE(parse_meminfo(bad)) << bad;
    EXPECT_FALSE(parse_process_stat(bad)) << bad;
    EXPECT_FALSE(parse_schedstat(bad)) << bad;
    EXPECT_TRUE(parse_diskstats(bad).empty()) << bad;
    EXPECT_TRUE(parse_net_dev(bad).empty()) << bad;
  }
  EXPECT_FALSE(parse_meminfo("MemTotal: 9223372036854775807 kB\nMemAvailable: 1 kB\n"));
}

void put(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

// Counter and device -> reading.
std::map<std::string, Reading> read_all(Source& source) {
  std::map<std::string, Reading> all;
  for (std::size_t g = 0; g < source.groups().size(); ++g) {
    const auto& counters = source.groups()[g].counters;
    const std::vector<Reading> readings = read_rows(source, g, monotonic_clock()).at(0).readings;
    for (std::size_t i = 0; i < counters.size(); ++i)
      all[counters[i].name + " of " + counters[i].device.substr(0, counters[i].device.find(" (pid"))] = readings[i];
  }
  return all;
}

TEST(HostSource, ReadsEachFileOrSaysWhyNot) {
  const TestFolder folder;
  put(folder / "proc/stat", "cpu  100 0 100 1 1 0 0 0 0 0\n");
  put(folder / "proc/net/dev", "h\n eth0: 5 0 0 0 0 0 0 0 6 0 0 0 0 0 0 0\n");
  put(folder / "sys/block/sda/size", "1\n");
  put(folder / "sys/class/infiniband/mlx5_0/ports/1/counters/port_rcv_data", "10\n");
  HostSource source({.files = folder.path().string() + "/"});
  EXPECT_TRUE(source.discover(monotonic_clock()));
  const auto all = read_all(source);
  EXPECT_DOUBLE_EQ(all.at("host_cpu_seconds_total of host").real, 200.0 / static_cast<double>(sysconf(_SC_CLK_TCK)));
  EXPECT_STREQ(all.at("host_memory_used_bytes of host").absent, "No such file or directory");
  EXPECT_EQ(all.at("network_transmit_bytes_total of eth0").integer, 6);
  EXPECT_STREQ(all.at("disk_read_bytes_total of sda").absent, "No such file or directory");
  EXPECT_EQ(all.at("infiniband_receive_bytes_total of mlx5_0 port 1").integer, 40);
  EXPECT_NE(all.at("infiniband_transmit_bytes_total of mlx5_0 port 1").absent, nullptr);
}

// A container of two CPUs and 8 GiB on a host of four and 64 GiB.
void put_host(const std::filesystem::path& root) {
  put(root / "proc/stat", "cpu  100 0 100 1 1 0 0 0 0 0\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\n");
  put(root / "proc/meminfo", "MemTotal: 67108864 kB\nMemAvailable: 1048576 kB\n");
}

TEST(HostSource, TheUseAndLimitsOfAControlGroup) {
  const TestFolder folder;
  put_host(folder.path());
  const auto groups = folder.path() / "sys/fs/cgroup";
  put(folder / "proc/self/cgroup", "0::/pod/box\n");
  put(groups / "pod/cpu.max", "200000 100000\n");
  put(groups / "pod/cpu.stat", "usage_usec 2500000\nuser_usec 1\nnr_throttled 7\nthrottled_usec 500000\n");
  put(groups / "pod/box/cpu.max", "max 100000\n");
  put(groups / "pod/box/cpu.stat", "usage_usec 1\n");
  put(groups / "pod/memory.max", "max\n");
  put(groups / "pod/box/memory.max", "8589934592\n");
  put(groups / "pod/box/memory.current", "5000\n");
  put(groups / "pod/box/memory.stat", "anon 1000\ninactive_file 3000\n");
  put(groups / "pod/box/memory.events", "low 0\noom 4\noom_kill 3\n");
  HostSource source({.files = folder.path().string() + "/"});
  source.discover(monotonic_clock());
  const auto all = read_all(source);
  EXPECT_DOUBLE_EQ(all.at("cgroup_cpu_seconds_total of cgroup").real, 2.5);
  EXPECT_DOUBLE_EQ(all.at("cgroup_cpu_throttled_seconds_total of cgroup").real, 0.5);
  EXPECT_DOUBLE_EQ(all.at("cgroup_cpu_limit_cores of cgroup").real, 2);
  EXPECT_EQ(all.at("cgroup_memory_used_bytes of cgroup").integer, 2000);
  EXPECT_EQ(all.at("cgroup_memory_limit_bytes of cgroup").integer, 8589934592);
  EXPECT_EQ(all.at("cgroup_oom_kills_total of cgroup").integer, 3);
  put(groups / "pod/box/memory.max", "max\n");  // a limit that is lifted while it is read
  EXPECT_STREQ(read_all(source).at("cgroup_memory_limit_bytes of cgroup").absent, "the group has no limit");
}

TEST(HostSource, ControlGroupsOfVersionOne) {
  const TestFolder folder;
  put_host(folder.path());
  const auto groups = folder.path() / "sys/fs/cgroup";
  // As in a container without a namespace of its own: the path is the host's, the mount the container's.
  put(folder / "proc/42/cgroup", "9:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n");
  put(folder / "proc/42/stat", "42 (x) S 1 1 1 0 0 0 0 0 0 0 1 1 0 0 20 0 1 0 5 1 1 1\n");
  put(groups / "cpu/cpu.cfs_quota_us", "150000\n");
  put(groups / "cpu/cpu.cfs_period_us", "100000\n");
  put(groups / "cpu/cpu.stat", "nr_periods 1\nnr_throttled 1\nthrottled_time 2000000000\n");
  put(groups / "cpu/cpuacct.usage", "3000000000\n");
  put(groups / "memory/memory.limit_in_bytes", "9223372036854771712\n");
  put(groups / "memory/memory.usage_in_bytes", "5000\n");
  put(groups / "memory/memory.stat", "inactive_file 1\ntotal_inactive_file 4000\n");
  put(groups / "memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
  HostSource source({.root = 42, .files = folder.path().string() + "/"});
  source.discover(monotonic_clock());
  const auto all = read_all(source);
  EXPECT_DOUBLE_EQ(all.at("cgroup_cpu_seconds_total of cgroup").real, 3);
  EXPECT_DOUBLE_EQ(all.at("cgroup_cpu_throttled_seconds_total of cgroup").real, 2);
  EXPECT_DOUBLE_EQ(all.at("cgroup_cpu_limit_cores of cgroup").real, 1.5);
  EXPECT_EQ(all.at("cgroup_memory_used_bytes of cgroup").integer, 1000);
  EXPECT_STREQ(all.at("cgroup_memory_limit_bytes of cgroup").absent, "the group has no limit");
  EXPECT_EQ(all.at("cgroup_oom_kills_total of cgroup").integer, 2);
}

TEST(HostSource, AGroupThatMayUseAllOfTheHostIsNone) {
  const TestFolder folder;
  put_host(folder.path());
  put(folder / "proc/self/cgroup", "0::/user.slice\n");
  put(folder / "sys/fs/cgroup/user.slice/cpu.max", "400000 100000\n");
  put(folder / "sys/fs/cgroup/user.slice/memory.max", "99999999999999\n");
  HostSource source({.files = folder.path().string() + "/"});
  source.discover(monotonic_clock());
  EXPECT_FALSE(read_all(source).contains("cgroup_cpu_limit_cores of cgroup"));
}

TEST(HostSource, CountsAProcessAndItsChildren) {
  HostSource source({.root = getpid()});
  source.discover(monotonic_clock());
  const auto all = read_all(source);
  const std::string device = " of pid " + std::to_string(getpid()) + " and descendants";
  EXPECT_GE(all.at("process_count" + device).integer, 1);
  EXPECT_GT(all.at("process_resident_memory_bytes" + device).integer, 0);
}

TEST(VirtualDevices, AreReadAsTheyAreWritten) {
  VirtualDevicePage page(2);
  page.device(1).memory_capacity_bytes = 64 << 20;
  page.device(1).memory_used_bytes = 5;
  page.device(1).link_tx_bytes = 7;
  page.device(1).thread_id = gettid();
  VirtualDeviceSource source(getpid());
  EXPECT_TRUE(source.discover(monotonic_clock()));
  EXPECT_FALSE(source.discover(monotonic_clock()));
  ASSERT_EQ(source.groups().size(), 1U);
  for (const Counter& counter : source.groups()[0].counters) EXPECT_TRUE(counter.is_virtual);
  const auto all = read_all(source);
  EXPECT_EQ(all.at("link_tx_bytes_total of cpu:1").integer, 7);
  EXPECT_EQ(all.at("gpu_memory_used_bytes of cpu:1").integer, 5);
  EXPECT_EQ(all.at("gpu_memory_capacity_bytes of cpu:1").integer, 64 << 20);
  EXPECT_EQ(all.at("gpu_busy_seconds_total of cpu:1").absent, nullptr);
  EXPECT_NE(all.at("gpu_memory_capacity_bytes of cpu:0").absent, nullptr);
  EXPECT_NE(all.at("gpu_busy_seconds_total of cpu:0").absent, nullptr);
}

// The phases of that process's devices; "" for one that does nothing.
std::vector<std::string> phases_of(pid_t pid) {
  std::vector<std::string> phases;
  for (const VirtualDevice& device : virtual_devices_now())
    if (device.pid == pid) phases.push_back(device.phase ? device.phase->name + ": " + device.phase->detail : "");
  return phases;
}

TEST(VirtualDevices, SayWhatTheyDo) {
  VirtualDevicePage page(3);
  page.phase(1).show("decode", "4 sequences", Nanoseconds(7));
  page.phase(2).show("prefill", "1 prompts, 8 tokens", Nanoseconds(9));
  page.device(2).link_tx_bytes = INT64_MAX;  // its counters are elsewhere
  EXPECT_THAT(phases_of(getpid()), testing::ElementsAre("", "decode: 4 sequences", "prefill: 1 prompts, 8 tokens"));
  page.phase(1).clear();
  EXPECT_THAT(phases_of(getpid()), testing::ElementsAre("", "", "prefill: 1 prompts, 8 tokens"));
}

TEST(VirtualDevices, PageEndsWithItsObject) {
  VirtualDeviceSource source(getpid());
  {
    const VirtualDevicePage page(1);
    EXPECT_TRUE(source.discover(monotonic_clock()));
    EXPECT_EQ(source.groups().size(), 1U);
  }
  EXPECT_TRUE(source.discover(monotonic_clock()));
  EXPECT_TRUE(source.groups().empty());
}

// A child with one device, until it is told to end.
struct ChildWithPage {
  int pipe_in[2], pipe_out[2];
  pid_t pid = -1;

  explicit ChildWithPage(std::int64_t tx_bytes) {
    if (pipe(pipe_in) != 0 || pipe(pipe_out) != 0) return;
    pid = fork();
    if (pid != 0) {
      char ready = 0;
      EXPECT_EQ(read(pipe_out[0], &ready, 1), 1);
      return;
    }
    {
      VirtualDevicePage page(1);
      page.device(0).link_tx_bytes = tx_bytes;
      page.phase(0).show("batch", "batch 1", Nanoseconds(1));
      char byte = 'r';
      if (write(pipe_out[1], &byte, 1) != 1 || read(pipe_in[0], &byte, 1) != 1) _exit(1);
      page.device(0).link_tx_bytes = 2 * tx_bytes;
    }
    _exit(0);
  }
  ~ChildWithPage() {
    for (const int end : {pipe_in[0], pipe_in[1], pipe_out[0], pipe_out[1]}) close(end);
  }
  void end() const {
    EXPECT_EQ(write(pipe_in[1], "e", 1), 1);
    waitpid(pid, nullptr, 0);
  }
  void kill_it() const {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
};

TEST(VirtualDevices, LastBytesOfAnEndedProcessAreSeen) {
  const ChildWithPage child(100);
  VirtualDeviceSource source(child.pid);
  source.discover(monotonic_clock());
  EXPECT_EQ(read_all(source).at("link_tx_bytes_total of cpu:0").integer, 100);
  child.end();
  const auto last = read_all(source);
  EXPECT_EQ(last.at("link_tx_bytes_total of cpu:0").integer, 200);
  EXPECT_NE(last.at("gpu_memory_used_bytes of cpu:0").absent, nullptr);
  source.discover(monotonic_clock());
  EXPECT_TRUE(source.groups().empty());
}

std::vector<std::string> pages_of(pid_t pid) {
  auto names = virtual_page_names();
  std::erase_if(
      names, [&](const std::string& name) { return name.find("-" + std::to_string(pid) + "-") == std::string::npos; });
  return names;
}

TEST(VirtualDevices, PagesOfTheKilledAreSwept) {
  const ChildWithPage child(1);
  EXPECT_EQ(pages_of(child.pid).size(), 1U);  // once it is dead any process may sweep it
  child.kill_it();
  const VirtualDevicePage page(1);
  EXPECT_TRUE(pages_of(child.pid).empty());
}

TEST(VirtualDevices, TheKilledDoNothing) {
  const ChildWithPage child(1);
  EXPECT_THAT(phases_of(child.pid), testing::ElementsAre("batch: batch 1"));
  child.kill_it();
  EXPECT_THAT(phases_of(child.pid), testing::IsEmpty());
}

TEST(VirtualDevices, ForkedCopyLeavesThePageToItsOwner) {
  auto page = std::make_unique<VirtualDevicePage>(1);
  const pid_t child = fork();
  if (child == 0) {
    page.reset();
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  EXPECT_EQ(pages_of(getpid()).size(), 1U);
}

TEST(VirtualDevices, ForeignPagesAreIgnored) {
  const std::string name = "batchscope-" + std::to_string(geteuid()) + "-1-99999";
  for (const std::size_t size : {0UL, 8UL, 80UL, 4096UL}) {
    const int file = shm_open(("/" + name).c_str(), O_CREAT | O_RDWR, 0600);
    ASSERT_EQ(write(file, std::string(size, 'x').data(), size), static_cast<ssize_t>(size));
    close(file);
    EXPECT_EQ(VirtualPageView::open(name), nullptr) << size;
    shm_unlink(("/" + name).c_str());
  }
}

// Whoever may write to /dev/shm can put a pipe there by a name of ours; opening one waits for its writer.
TEST(VirtualDevices, WhatIsNoFileOfOursIsNeitherOpenedNorWaitedFor) {
  const std::string name = "batchscope-" + std::to_string(geteuid()) + "-x", path = "/dev/shm/" + name;
  ASSERT_EQ(mkfifo(path.c_str(), 0666), 0);
  EXPECT_EQ(VirtualPageView::open(name), nullptr);
  EXPECT_NO_THROW(virtual_devices_now());
  EXPECT_NO_THROW(VirtualDevicePage(1));
  unlink(path.c_str());
  ASSERT_EQ(symlink("/dev/zero", path.c_str()), 0);
  EXPECT_EQ(VirtualPageView::open(name), nullptr);
  unlink(path.c_str());
  if (geteuid() != 0) return;  // nobody else can give a file away
  VirtualDevicePage page(1);
  const std::string of_page = pages_of(getpid()).at(0);
  ASSERT_NE(VirtualPageView::open(of_page), nullptr);
  ASSERT_EQ(chown(("/dev/shm/" + of_page).c_str(), 65534, 65534), 0);
  EXPECT_EQ(VirtualPageView::open(of_page), nullptr);
}

TEST(VirtualDevices, ATruncatedPageIsAbsent) {
  const VirtualDevicePage page(1);
  VirtualDeviceSource source(getpid());
  source.discover(monotonic_clock());
  EXPECT_EQ(read_all(source).at("link_tx_bytes_total of cpu:0").absent, nullptr);
  const auto view = VirtualPageView::open(pages_of(getpid()).at(0));
  ASSERT_EQ(truncate(("/dev/shm/" + pages_of(getpid()).at(0)).c_str(), 0), 0);
  EXPECT_STREQ(read_all(source).at("link_tx_bytes_total of cpu:0").absent, "the device's page was removed");
  EXPECT_EQ(view->phase(0), std::nullopt);
}

TEST(Recording, WritesWhatItSaw) {
  const TestFolder folder;
  VirtualDevicePage page(1);
  page.device(0).link_tx_bytes = 11;
  {
    StoreWriter writer(folder / "r.bscope", OpenMode::create);
    const auto session = writer.begin_session("record");
    Recording recording(virtual_sources(getpid()), {.period = shortest_period}, &writer, session);
    page.device(0).link_tx_bytes = 44;
    recording.stop();
    EXPECT_EQ(recording.write_error(), std::nullopt);
  }
  const StoreReader reader(folder / "r.bscope");
  bool found = false;
  for (const auto& series : reader.series()) {
    if (series.name != "link_tx_bytes_total") continue;
    found = true;
    EXPECT_TRUE(series.is_virtual);
    EXPECT_EQ(reader.samples(series).integers.back(), 44);
    EXPECT_EQ(reader.summary(series.id).last, 44.0);
  }
  EXPECT_TRUE(found);
  std::vector<std::string> sources;
  for (const SamplerRecord& sampler : reader.samplers()) sources.push_back(sampler.source);
  EXPECT_THAT(sources, testing::UnorderedElementsAre("host", "virtual", "writing"));
}

}  // namespace
}  // namespace batchscope
