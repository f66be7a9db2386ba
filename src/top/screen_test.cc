// From counters to what they mean.
#include "top/screen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "top/test_machine.h"

namespace batchscope::top {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;
using testing::SizeIs;

auto roughly(double value) { return Optional(DoubleNear(value, 1e-6 * (1 + value))); }
constexpr double gib = 1 << 30;

TEST(Screen, OfAGpu) {
  const TestMachine machine(2);
  const Screen screen = machine.screen(30);
  EXPECT_EQ(screen.host.name, "node7");
  EXPECT_THAT(screen.host.cpus_busy, roughly(1.5));
  EXPECT_THAT(screen.host.cpus, roughly(4));
  EXPECT_EQ(screen.driver, "580.1");
  ASSERT_THAT(screen.boards, SizeIs(2));
  const Board& board = screen.boards[1];
  EXPECT_EQ(board.label, "gpu:1");
  EXPECT_EQ(board.name, "NVIDIA H200");
  EXPECT_FALSE(board.is_virtual);
  EXPECT_THAT(board.utilization.now, roughly(0.83));
  EXPECT_THAT(board.memory_used.now, roughly(60 * gib));
  EXPECT_THAT(board.power_limit, roughly(700));
  EXPECT_THAT(board.clock_limits, ElementsAre("power cap"));
  ASSERT_THAT(board.links, SizeIs(2));
  EXPECT_EQ(board.links[0].name, "PCIe");
  EXPECT_THAT(board.links[0].rx.now, roughly(50 * gib));
  EXPECT_THAT(board.links[1].tx.now, roughly(0));
  EXPECT_THAT(board.links[1].rx.history, SizeIs(30));
  EXPECT_THAT(board.links[1].rx.history.back(), roughly(100 * gib));
  EXPECT_THAT(board.errors, IsEmpty());
  EXPECT_EQ(board.trouble, "");
  ASSERT_THAT(screen.processes, SizeIs(2));
  EXPECT_EQ(screen.processes[1].board, "gpu:1");
  EXPECT_EQ(screen.processes[1].name, "python");
  EXPECT_EQ(screen.processes[1].pid, 43);
  EXPECT_THAT(screen.processes[1].memory_share, roughly(41.0 / 140));
}

TEST(Screen, OfVirtualDevicesAsLongAsTheyRun) {
  const TestMachine machine(0, 3);
  const Screen screen = machine.screen();
  ASSERT_THAT(screen.boards, SizeIs(3));
  EXPECT_EQ(screen.boards[2].label, "cpu:2");
  EXPECT_EQ(screen.boards[2].name, "virtual, pid 7");
  EXPECT_THAT(screen.boards[2].utilization.now, roughly(0.5));
  EXPECT_EQ(screen.boards[2].memory_capacity, std::nullopt);
  ASSERT_THAT(screen.boards[2].links, SizeIs(1));
  EXPECT_THAT(screen.boards[2].links[0].tx.now, roughly(3.0 * (1 << 20)));
  EXPECT_THAT(make_screen(machine.observation(70), 10).boards, IsEmpty());
}

TEST(Screen, BoardsAreInOrderWhateverTheOrderOfTheirCounters) {
  TestMachine machine(0);
  for (const char* device : {"cpu:1 (pid 9)", "cpu:0 (pid 10)", "cpu:10 (pid 9)", "cpu:2 (pid 9)"})
    machine.add(
        "gpu_memory_used_bytes", "bytes", device, CounterKind::gauge, [](double) { return 1.0; }, true);
  for (const int gpu : {10, 2})
    machine.add("gpu_memory_used_bytes", "bytes", TestMachine::gpu(gpu), CounterKind::gauge,
                [](double) { return 1.0; });
  std::vector<std::string> order;
  for (const Board& board : machine.screen().boards) order.push_back(board.label + board.name);
  EXPECT_THAT(order, ElementsAre("gpu:2", "gpu:10", "cpu:1virtual, pid 9", "cpu:2virtual, pid 9",
                                 "cpu:10virtual, pid 9", "cpu:0virtual, pid 10"));
}

TEST(Screen, ALostGpuSaysWhyAndStays) {
  TestMachine machine(2);
  for (const auto& device : machine.tracks.devices())
    if (device.name == TestMachine::gpu(1))
      for (const auto& [name, track] : device.by_name)
        track->add_absence(at_second(60), at_second(63), "the GPU is lost");
  const Screen screen = make_screen(machine.observation(63), 20);
  ASSERT_THAT(screen.boards, SizeIs(2));
  EXPECT_EQ(screen.boards[0].trouble, "");
  EXPECT_EQ(screen.boards[1].trouble, "the GPU is lost");
  EXPECT_EQ(screen.boards[1].utilization.now, std::nullopt);
  EXPECT_EQ(screen.boards[1].utilization.history.back(), std::nullopt);
  EXPECT_THAT(screen.boards[0].utilization.history.back(), roughly(0.83));
}

// Such a GPU has no UUID; when it comes it has one, and the board without is over.
TEST(Screen, AGpuThatIsMissingSaysWhyUntilItComes) {
  TestMachine machine(0);
  machine.tracks.add({.name = "gpu_memory_used_bytes", .unit = "bytes", .device = "gpu:1"})
      .add_absence(at_second(10), at_second(20), "the GPU is lost");
  const Screen missing = make_screen(machine.observation(20), 20);
  ASSERT_THAT(missing.boards, SizeIs(1));
  EXPECT_EQ(missing.boards[0].label, "gpu:1");
  EXPECT_EQ(missing.boards[0].trouble, "the GPU is lost");
  EXPECT_THAT(make_screen(machine.observation(40), 20).boards, IsEmpty());
}

// Never the host's use against the container's limit.
TEST(Screen, PartsOfAGpuStandBehindIt) {
  TestMachine machine(2);
  const std::string part = "gpu:0:1 (MIG-00000000)";
  machine.add("gpu_memory_used_bytes", "bytes", part, CounterKind::gauge, [](double) { return 3e9; });
  machine.add("gpu_memory_capacity_bytes", "bytes", part, CounterKind::gauge, [](double) { return 18e9; });
  machine.add("gpu_sm_active_ratio", "ratio", part, CounterKind::window, [](double) { return 0.5; });
  machine.add("gpu_process_memory_bytes", "bytes", "gpu:0:1 python (pid 77)", CounterKind::gauge,
              [](double) { return 2e9; });
  machine.add("gpu_process_utilization_ratio", "ratio", "gpu:1 python (pid 43)", CounterKind::window,
              [](double) { return 0.25; });
  machine.environment["gpu:0:1"] = "NVIDIA H200 MIG 1g.18gb, MIG-00000000-1, 0000:00:00.0";
  machine.environment["gpu:1"] += ", memory shared with the host";
  const Screen screen = machine.screen();
  ASSERT_THAT(screen.boards, SizeIs(3));
  EXPECT_EQ(screen.boards[0].label, "gpu:0");
  EXPECT_FALSE(screen.boards[0].is_part);
  const Board& board = screen.boards[1];
  EXPECT_EQ(board.label, "gpu:0:1");
  EXPECT_EQ(board.name, "NVIDIA H200 MIG 1g.18gb");
  EXPECT_TRUE(board.is_part);
  EXPECT_THAT(board.sm_active, roughly(0.5));
  EXPECT_THAT(board.absences, IsEmpty());
  EXPECT_TRUE(screen.boards[2].shares_host_memory);
  EXPECT_FALSE(board.shares_host_memory);
  for (const Process& process : screen.processes) {
    EXPECT_EQ(process.utilization.has_value(), process.pid == 43);
    if (process.pid == 77) {
      EXPECT_THAT(process.memory_share, roughly(2.0 / 18));
    }
  }
  EXPECT_TRUE(is_complete(screen));
}

TEST(Screen, IsCompleteWhenEveryMainCurveHasBegun) {
  const TestMachine machine(1);
  Observation observation = machine.observation(60);
  EXPECT_TRUE(is_complete(make_screen(observation, 10)));
  observation.sampling.has_begun = false;
  EXPECT_FALSE(is_complete(make_screen(observation, 10)));
}

TEST(Screen, AContainersUseIsOfItsOwnLimits) {
  TestMachine machine(0);
  machine.environment["cpus"] = "64";
  EXPECT_THAT(machine.screen().host.cpus, roughly(64));
  machine.add("cgroup_cpu_seconds_total", "seconds", "cgroup", CounterKind::cumulative,
              [](double t) { return 0.5 * t; });
  machine.add("cgroup_cpu_limit_cores", "cores", "cgroup", CounterKind::gauge, [](double) { return 2.0; });
  machine.add("cgroup_memory_used_bytes", "bytes", "cgroup", CounterKind::gauge, [](double) { return 1 * gib; });
  machine.add("cgroup_memory_limit_bytes", "bytes", "cgroup", CounterKind::gauge, [](double) { return 4 * gib; });
  const Host host = machine.screen().host;
  EXPECT_THAT(host.cpus_busy, roughly(0.5));
  EXPECT_THAT(host.cpus, roughly(2));
  EXPECT_THAT(host.memory_used, roughly(1 * gib));
  EXPECT_THAT(host.memory_total, roughly(4 * gib));
}

TEST(Screen, WhatIsMissingIsNamedOnce) {
  TestMachine machine(1);
  for (const char* name : {"gpu_memory_used_bytes", "gpu_temperature_celsius"})
    const_cast<Track*>(machine.tracks.device(TestMachine::gpu(0))->find(name))
        ->add_absence(at_second(60), at_second(61), "a call hangs");
  const Screen screen = make_screen(machine.observation(61), 20);
  EXPECT_EQ(screen.boards[0].trouble, "");
  EXPECT_THAT(screen.boards[0].absences, ElementsAre("no memory, temperature: a call hangs"));
}

TEST(Screen, ErrorsAreThereOnlyWhenThereAreSome) {
  TestMachine machine(2);
  const auto add = [&](const char* name, CounterKind kind, double value) {
    machine.add(name, "errors", TestMachine::gpu(1), kind, [value](double) { return value; });
  };
  add("gpu_xid_errors_total", CounterKind::cumulative, 2);
  add("gpu_last_xid", CounterKind::gauge, 79);
  add("gpu_ecc_uncorrected_errors_total", CounterKind::cumulative, 1);
  add("gpu_ecc_corrected_errors_total", CounterKind::cumulative, 0);
  const Screen screen = machine.screen();
  EXPECT_THAT(screen.boards[0].errors, IsEmpty());
  EXPECT_THAT(screen.boards[1].errors, ElementsAre("2 Xid errors, the last is 79", "1 ECC errors not corrected"));
}

TEST(Screen, WithoutExactBytesItTakesGpmsRates) {
  TestMachine machine(0);
  machine.add("gpu_pcie_tx_bytes_per_second", "bytes per second", TestMachine::gpu(0), CounterKind::window,
              [](double) { return 5.0; });
  const Screen screen = machine.screen();
  ASSERT_THAT(screen.boards.at(0).links, SizeIs(1));
  EXPECT_THAT(screen.boards[0].links[0].tx.now, roughly(5));
  EXPECT_EQ(screen.boards[0].links[0].rx.now, std::nullopt);
}

TEST(Screen, AProcessOfAnotherNamespace) {
  TestMachine machine(1);
  machine.add("gpu_process_memory_bytes", "bytes", "gpu:0 pid 4711 outside this PID namespace", CounterKind::gauge,
              [](double) { return 1.0; });
  const Screen screen = machine.screen();
  ASSERT_THAT(screen.processes, SizeIs(2));
  EXPECT_EQ(screen.processes[1].pid, 4711);
  EXPECT_EQ(screen.processes[1].name, "outside this PID namespace");
  EXPECT_THAT(make_screen(machine.observation(70), 20).processes, IsEmpty());  // ended
}

TEST(Screen, CountersThatAreReadForItAreAllThatItNeeds) {
  const TestMachine machine(2, 2);
  for (const auto& device : machine.tracks.devices())
    for (const auto& [name, track] : device.by_name) EXPECT_TRUE(is_on_screen(name)) << name;
  EXPECT_FALSE(is_on_screen("disk_read_bytes_total"));
  EXPECT_FALSE(is_on_screen("gpu_energy_joules_total"));
}

}  // namespace
}  // namespace batchscope::top
