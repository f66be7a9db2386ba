// Screens of many sizes: what must be on them, and what must never be.
#include "top/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "top/test_machine.h"

namespace batchscope::top {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const Caption live{.title = "batchscope top", .when = "2026-11-24 13:45:02", .no_boards = "No GPU here."};

Caption replay() {
  Caption caption = live;
  caption.bar = TimeBar{.position = seconds(725), .length = seconds(28800), .speed = 4};
  return caption;
}

std::string shown(const Screen& screen, std::size_t width, std::size_t height, const View& view = {},
                  const Caption& caption = live) {
  return layout(screen, view, caption, width, height).grid.text();
}

std::string line_with(const std::string& text, const std::string& part) {
  const auto at = text.find(part);
  if (at == std::string::npos) return "";
  const auto begin = text.rfind('\n', at) + 1;
  return text.substr(begin, text.find('\n', at) - begin);
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

struct Size {
  std::size_t width, height;
};
constexpr Size sizes[] = {{80, 24}, {120, 40}, {200, 50}};

TEST(Layout, EveryGpuIsThereInEverySize) {
  for (const int gpus : {1, 2, 8, 16}) {
    const Screen screen = TestMachine(gpus).screen();
    for (const Size size : sizes) {
      const Frame frame = layout(screen, {}, live, size.width, size.height);
      ASSERT_EQ(frame.grid.width(), size.width);
      ASSERT_EQ(frame.grid.height(), size.height);
      const std::string text = frame.grid.text();
      for (int gpu = 0; gpu < gpus; ++gpu) EXPECT_THAT(text, HasSubstr("gpu:" + std::to_string(gpu)));
      EXPECT_EQ(count_of(text, "83 %"), static_cast<std::size_t>(gpus)) << text;
      EXPECT_THAT(text, AllOf(HasSubstr("batchscope top"), HasSubstr("node7"), HasSubstr("2026-11-24 13:45:02"),
                              HasSubstr("1.50 of 4 CPUs"), HasSubstr("6.0 of 16.0 GiB"), HasSubstr("F10"),
                              HasSubstr("Sampling")));
      EXPECT_THAT(text, HasSubstr("python")) << size.width;
    }
  }
}

TEST(Layout, OneGpuOnASmallScreen) {
  const std::string text = shown(TestMachine(1).screen(), 80, 24);
  EXPECT_THAT(line_with(text, "H200"), AllOf(HasSubstr("62C"), HasSubstr("SM 1980 MHz"), HasSubstr("power cap")));
  EXPECT_THAT(line_with(text, "Util"),
              AllOf(HasSubstr("83 %"), HasSubstr("SM  71 %"), HasSubstr("tensor  45 %"), HasSubstr("DRAM  30 %")));
  EXPECT_THAT(line_with(text, "Memory "), AllOf(HasSubstr("60.0 of 140.0 GiB"), HasSubstr("reserved"), HasSubstr("▒")));
  EXPECT_THAT(line_with(text, "Power"), HasSubstr("412 of 700 W"));
  EXPECT_THAT(line_with(text, "PCIe"), AllOf(HasSubstr("2.0 GiB/s"), HasSubstr("50.0 GiB/s"), HasSubstr("█")));
  EXPECT_THAT(line_with(text, "NVLink"), AllOf(HasSubstr("0 B/s"), HasSubstr("100.0 GiB/s")));
}

// Less than 80 columns: everything that matters is whole.
TEST(Layout, OnASmallTerminal) {
  for (const int gpus : {1, 2, 15, 16}) {
    const std::string text = shown(TestMachine(gpus).screen(), 60, 20);
    for (int gpu = 0; gpu < gpus; ++gpu) EXPECT_THAT(text, HasSubstr("gpu:" + std::to_string(gpu))) << text;
    EXPECT_EQ(count_of(text, "83 %"), static_cast<std::size_t>(gpus)) << text;
  }
  const std::string line = line_with(shown(TestMachine(16).screen(), 60, 20), "gpu:3 ");
  EXPECT_THAT(line, AllOf(HasSubstr("60.0G/140G"), HasSubstr("412/700W"), HasSubstr("50.0G"), HasSubstr("100G")));
}

TEST(Layout, WhoRunsAProcessAndWhichIsToBeEnded) {
  Screen screen = TestMachine(2).screen();
  for (Process& process : screen.processes) {
    process.user = "alice";
    process.command = "/usr/bin/python serve.py --port 8000";
  }
  EXPECT_THAT(shown(screen, 120, 40), AllOf(HasSubstr("alice"), HasSubstr("serve.py --port 8000")));
  View view;
  view.ending = EndingQuestion{.row = 1, .pid = std::nullopt};
  EXPECT_THAT(shown(screen, 80, 24, view), HasSubstr("End python (pid 42, alice)?"));
  view.ending->pid = 43;
  EXPECT_THAT(shown(screen, 80, 24, view), HasSubstr("Send SIGTERM to python (pid 43, alice)? y once more"));
}

TEST(Layout, ATitleThatDoesNotFitIsShorter) {
  EXPECT_THAT(shown(TestMachine(1).screen(), 80, 24), HasSubstr(" batchscope top · node7 · driver 580.1 "));
  EXPECT_THAT(shown(TestMachine(1).screen(), 60, 20), HasSubstr(" batchscope top · node7  "));
}

// Where the line of keys would take that of a GPU, there is none.
TEST(Layout, ASmallTerminalHasKeysUnlessAGpuNeedsTheirLine) {
  EXPECT_THAT(shown(TestMachine(15).screen(), 60, 20), HasSubstr("F10"));
  EXPECT_THAT(shown(TestMachine(16).screen(), 60, 20), Not(HasSubstr("F10")));
  EXPECT_THAT(shown(TestMachine(16, 4).screen(), 60, 20), AllOf(HasSubstr("gpu:15"), Not(HasSubstr("F10"))));
  EXPECT_THAT(shown(TestMachine(16).screen(), 60, 20, {.only_board = 3}), HasSubstr("F10"));
  EXPECT_THAT(shown(TestMachine(16).screen(), 60, 21), HasSubstr("F10"));
}

TEST(Layout, HowBusyAProcessKeepsItsGpu) {
  Screen screen = TestMachine(2).screen();
  EXPECT_EQ(line_with(shown(screen, 80, 24), "PID").find("Util"), std::string::npos);  // of none is it known
  screen.processes[0].utilization = 0.37;
  for (const std::size_t width : {60, 80, 200}) {
    const std::string text = shown(screen, width, 24, {.order = ProcessOrder::utilization});
    EXPECT_THAT(line_with(text, "PID"), HasSubstr("Util v")) << width;
    EXPECT_THAT(line_with(text, " 42 "), AllOf(HasSubstr("37 %"), HasSubstr("python"))) << width;
    EXPECT_LT(text.find(" 42 "), text.find(" 43 ")) << width;
  }
}

TEST(Layout, FanAndVideoEngines) {
  Screen screen = TestMachine(1).screen();
  screen.boards[0].fan = 0.4;
  screen.boards[0].encoder = 0;
  screen.boards[0].decoder = 0.2;
  EXPECT_THAT(line_with(shown(screen, 80, 24), "H200"), AllOf(HasSubstr("NVIDIA H200"), HasSubstr("fan 40 %"),
                                                              HasSubstr("decoder 20 %"), Not(HasSubstr("encoder"))));
}

TEST(Layout, AGpuThatSleepsIsNoAlarm) {
  Screen screen = TestMachine(2).screen();
  screen.boards[1] = {.label = "gpu:1", .is_asleep = true, .trouble = "it sleeps"};
  for (const Detail detail : {Detail::lines, Detail::short_blocks, Detail::blocks, Detail::graphs}) {
    const Frame frame = layout(screen, {.detail = detail}, live, 80, 40);
    EXPECT_THAT(frame.grid.text(), AllOf(HasSubstr("it sleeps"), Not(HasSubstr("!"))));
    for (std::size_t y = 0; y < 40; ++y)
      for (std::size_t x = 0; x < 80; ++x) EXPECT_NE(frame.grid.at(x, y).style, Style::alarm);
  }
}

TEST(Layout, GraphsHaveATimeAxis) {
  View view;
  view.detail = Detail::graphs;
  EXPECT_THAT(line_with(shown(TestMachine(1).screen(), 120, 40, view), "now"), HasSubstr(" s"));
}

TEST(Layout, ALineEachWhereThereAreMany) {
  const std::string text = shown(TestMachine(16).screen(), 80, 24);
  const std::string line = line_with(text, "gpu:15");
  EXPECT_THAT(line,
              AllOf(HasSubstr("83 %"), HasSubstr("60.0G/140G"), HasSubstr("412/700W"), HasSubstr("62C"),
                    HasSubstr("1980P"), HasSubstr("2.0G"), HasSubstr("50.0G"), HasSubstr("0B"), HasSubstr("100G")));
  EXPECT_LE(line.size(), 80U);
  // Wider, the letter is a word.
  const View lines{.detail = Detail::lines};
  EXPECT_THAT(line_with(shown(TestMachine(16).screen(), 120, 40, lines), "gpu:15"), HasSubstr("power cap"));
}

TEST(Layout, NothingRunsIntoItsNeighbour) {
  const Screen screen = TestMachine(16).screen();
  for (const Detail detail : {Detail::lines, Detail::short_blocks, Detail::blocks, Detail::graphs})
    for (const std::size_t width : {80, 93, 100, 120, 158, 200, 317}) {
      const std::string text = shown(screen, width, 400, {.detail = detail});
      EXPECT_THAT(text, Not(HasSubstr("NVLinkTX"))) << width;
      EXPECT_THAT(text, Not(HasSubstr("PowerT"))) << width;
      EXPECT_EQ(count_of(text, "83 %"), 16U) << width << static_cast<int>(detail);
    }
}

TEST(Layout, VirtualDevicesSayThatTheyAre) {
  for (const Size size : sizes) {
    const std::string text = shown(TestMachine(0, 4).screen(), size.width, size.height);
    EXPECT_THAT(text, AllOf(HasSubstr("cpu:0"), HasSubstr("cpu:3"), HasSubstr("virtual, pid 7"), HasSubstr("50 %"),
                            HasSubstr("3.0 MiB/s")));
    EXPECT_THAT(text, Not(HasSubstr("Power")));  // they have none
  }
  EXPECT_THAT(line_with(shown(TestMachine(0, 16).screen(), 80, 24), "cpu:15"),
              AllOf(HasSubstr("virtual, pid 7"), HasSubstr("3.0M")));
}

TEST(Layout, NamesOfVirtualDevicesLeaveRoomForTheirLinks) {
  const std::string text = shown(TestMachine(2, 16).screen(), 60, 30, {.detail = Detail::lines});
  EXPECT_THAT(line_with(text, "cpu:3"), AllOf(HasSubstr("virtual "), Not(HasSubstr("pid")), HasSubstr(" 3.0M  3.0M")));
}

TEST(Layout, WithNothing) {
  const std::string text = shown(TestMachine(0).screen(), 80, 24);
  EXPECT_THAT(text, AllOf(HasSubstr("No GPU here."), HasSubstr("1.50 of 4 CPUs"), HasSubstr("F10")));
  const Screen empty;
  EXPECT_THAT(line_with(shown(empty, 80, 24), "Host"), AllOf(HasSubstr("- CPUs"), Not(HasSubstr("0"))));
}

TEST(Layout, UnknownIsADashAndABlankNeverZero) {
  TestMachine machine(0);
  machine.add("gpu_memory_used_bytes", "bytes", TestMachine::gpu(0), CounterKind::gauge, [](double) { return 1e9; });
  Track& sent = machine.add("gpu_pcie_tx_bytes_total", "bytes", TestMachine::gpu(0), CounterKind::cumulative,
                            [](double) { return 7.0; });
  sent.add_absence(at_second(60), at_second(63), "refused");
  Screen screen = make_screen(machine.observation(61), 100);
  for (const Detail detail : {Detail::lines, Detail::short_blocks, Detail::blocks, Detail::graphs}) {
    const std::string text = shown(screen, 80, 24, {.detail = detail});
    EXPECT_THAT(text, Not(HasSubstr("0 %"))) << text;
    EXPECT_THAT(text, HasSubstr("no PCIe: refused"));
    EXPECT_THAT(line_with(text, detail == Detail::lines ? "gpu:0" : "PCIe  "),
                AllOf(HasSubstr("-"), Not(HasSubstr("0 B"))));
  }
  // Zero before, blank since: the graph has both.
  const std::string line = line_with(shown(screen, 80, 24, {.detail = Detail::blocks}), "TX");
  EXPECT_THAT(line, HasSubstr("▁▁▁ "));
}

TEST(Layout, WhatIsWrongAlarms) {
  Screen screen = TestMachine(2).screen();
  screen.boards[0].errors = {"1 Xid error, the last is 79"};
  screen.boards[1] = {.label = "gpu:1", .name = "NVIDIA H200", .trouble = "the GPU is lost"};
  screen.sampling.stuck = {"gauges gpu:1"};
  for (const Detail detail : {Detail::lines, Detail::short_blocks, Detail::blocks, Detail::graphs}) {
    const Frame frame = layout(screen, {.detail = detail}, live, 80, 40);
    const std::string text = frame.grid.text();
    EXPECT_THAT(text, AllOf(HasSubstr("! 1 Xid error, the last is 79"), HasSubstr("! the GPU is lost"),
                            HasSubstr("not answering: gauges gpu:1")));
    std::size_t alarming = 0;
    for (std::size_t y = 0; y < 40; ++y)
      for (std::size_t x = 0; x < 80; ++x) alarming += frame.grid.at(x, y).style == Style::alarm ? 1 : 0;
    EXPECT_GT(alarming, 40U);
  }
}

TEST(Layout, ProcessesInTheOrderAskedFor) {
  const Screen screen = TestMachine(2).screen();
  const auto first_is = [&](const View& view) {
    const std::string text = shown(screen, 80, 40, view);
    const auto a = text.find("42"), b = text.find(" 43");
    return a < b ? 42 : 43;
  };
  EXPECT_EQ(first_is({.order = ProcessOrder::memory}), 43);  // uses more
  EXPECT_EQ(first_is({.order = ProcessOrder::memory, .reversed = true}), 42);
  EXPECT_EQ(first_is({.order = ProcessOrder::pid}), 42);
  EXPECT_EQ(first_is({.order = ProcessOrder::board, .reversed = true}), 43);
}

TEST(Layout, OneGpuAloneWithItsProcesses) {
  const std::string text = shown(TestMachine(8).screen(), 80, 24, {.only_board = 3});
  EXPECT_THAT(text,
              AllOf(HasSubstr("gpu:3 NVIDIA H200"), HasSubstr("45"), Not(HasSubstr("gpu:4")), HasSubstr("PCIe RX")));
}

TEST(Layout, ScrollsToTheLastLine) {
  const Screen screen = TestMachine(16).screen();
  const Frame frame = layout(screen, {}, live, 80, 24);
  ASSERT_GT(frame.most_scroll, 0U);
  EXPECT_THAT(frame.grid.text(), HasSubstr(fmt::format("{} more lines below", frame.most_scroll)));
  const Frame end = layout(screen, {.scroll = 1000}, live, 80, 24);
  EXPECT_THAT(end.grid.text(), AllOf(Not(HasSubstr("more lines")), HasSubstr("batchscope top"), HasSubstr("F10")));
  EXPECT_THAT(end.grid.line(21), HasSubstr("python"));
}

TEST(Layout, AReplayHasItsTime) {
  const std::string text = shown(TestMachine(2).screen(), 80, 24, {.paused = true}, replay());
  EXPECT_THAT(line_with(text, "0:12:05"), AllOf(HasSubstr("8:00:00"), HasSubstr("4x"), HasSubstr("░")));
  EXPECT_THAT(text, AllOf(HasSubstr("PAUSED"), HasSubstr("Speed"), HasSubstr("F10Quit")));
}

TEST(Layout, PhasesOfAnEngine) {
  Screen screen = TestMachine(0, 2).screen();
  screen.phases = {{.track = "cpu:0", .name = "batch", .detail = "batch 12, 64 sequences", .since = seconds(2)}};
  EXPECT_THAT(line_with(shown(screen, 80, 24), "batch 12"), AllOf(HasSubstr("cpu:0"), HasSubstr("2.00 s")));
}

TEST(Layout, PhasesDoNotRunIntoTheirNeighbours) {
  Screen screen = TestMachine(0, 2).screen();
  const std::string endless(99, 'x');
  screen.phases = {{.track = "cpu:63 (pid 4194304)", .name = "a", .detail = "64 sequences", .since = seconds(3599)},
                   {.track = "cpu:0 (pid 7)", .name = endless, .detail = "b", .since = seconds(2)}};
  std::string text = shown(screen, 80, 24);
  EXPECT_THAT(line_with(text, "4194304"), HasSubstr("cpu:63 (pid 4194304) 59 min 59 s  64 sequences"));
  EXPECT_THAT(line_with(text, "xxx"), HasSubstr("x cpu:0 (pid 7) "));
  screen.phases[1].track = endless;
  text = shown(screen, 80, 24);
  EXPECT_THAT(line_with(text, "xxx"), HasSubstr("x      2.00 s  b"));
}

std::vector<RunningPhase> batches(int devices) {
  std::vector<RunningPhase> phases;
  for (int i = 0; i < devices; ++i)
    phases.push_back({.track = fmt::format("cpu:{}", i), .name = "batch", .detail = "batch 12", .since = seconds(2)});
  return phases;
}

TEST(Layout, PhasesTakeWhatALineOfEachBoardLeaves) {
  Screen screen = TestMachine(0, 8).screen();
  screen.phases = batches(8);
  EXPECT_EQ(count_of(shown(screen, 80, 24), "batch 12"), 8U);
  screen = TestMachine(8).screen();
  screen.phases = batches(64);
  for (const Size size : sizes) {
    const std::string text = shown(screen, size.width, size.height);
    EXPECT_THAT(text, AllOf(HasSubstr("gpu:7"), HasSubstr("python"))) << text;
    EXPECT_THAT(text, HasSubstr(fmt::format("and {} more", 64 - count_of(text, "batch 12")))) << text;
  }
}

TEST(Layout, PhasesOfManyDevicesAreBounded) {
  Screen screen = TestMachine(1, 64).screen();
  screen.phases = batches(64);
  const Frame frame = layout(screen, {.scroll = 1000}, live, 80, 24);
  const std::string text = frame.grid.text();
  EXPECT_EQ(count_of(text, "batch 12"), 4U) << text;
  EXPECT_THAT(text, AllOf(HasSubstr("and 60 more"), HasSubstr("cpu:63"), HasSubstr("python")));
  // Where nothing scrolls, nothing is left out.
  const std::string whole = layout_whole(screen, {}, live, 80).text();
  EXPECT_EQ(count_of(whole, "batch 12"), 64U);
  EXPECT_THAT(whole, Not(HasSubstr(" more")));
  EXPECT_EQ(count_of(whole, "NVIDIA H200"), 1U);
}

TEST(Layout, HelpNamesTheKeysOnTheSmallestScreen) {
  const Screen screen = TestMachine(2).screen();
  EXPECT_THAT(shown(screen, 80, 24, {.help = true}),
              AllOf(HasSubstr("quit"), HasSubstr("pause"), HasSubstr("more often"), HasSubstr("by a setting.")));
  EXPECT_THAT(shown(screen, 80, 24, {.help = true}, replay()),
              AllOf(HasSubstr("[ ] 60 s"), HasSubstr("faster"), HasSubstr("by a setting.")));
  // Nothing is cut: a wider screen has the same lines.
  const Grid wide = layout(screen, {.help = true}, replay(), 200, 24).grid;
  const Grid narrow = layout(screen, {.help = true}, replay(), 80, 24).grid;
  for (std::size_t row = 2; row < 21; ++row) EXPECT_EQ(narrow.line(row), wide.line(row));
}

TEST(Layout, AnySizeIsRight) {
  const Screen full = TestMachine(3, 2).screen();
  Screen busy = full;
  busy.phases = batches(20);
  for (const Screen& screen : {full, busy, Screen{}})
    for (std::size_t width = 1; width < 260; width += 7)
      for (std::size_t height = 1; height < 70; height += 3)
        for (const Caption& caption : {live, replay()}) {
          const Frame frame = layout(screen, {.scroll = height}, caption, width, height);
          ASSERT_EQ(frame.grid.width(), width);
          ASSERT_EQ(frame.grid.height(), height);
        }
}

TEST(Layout, AsciiHasNothingElse) {
  Screen screen = TestMachine(4).screen();
  screen.processes[0].name = "pythön\x1b[31m日本";
  for (const Detail detail : {Detail::lines, Detail::short_blocks, Detail::blocks, Detail::graphs}) {
    Grid grid = layout(screen, {.detail = detail}, replay(), 120, 60).grid;
    // What others may have named so is harmless in any case.
    EXPECT_THAT(grid.text(), AllOf(HasSubstr("pythön?[31m??"), Not(HasSubstr("\x1b"))));
    grid.make_ascii();
    const std::string text = grid.text();
    EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= ' ' && c < 127); }));
    EXPECT_THAT(text, HasSubstr("#"));
  }
}

TEST(Layout, WholeIsAsHighAsItIs) {
  for (const int gpus : {0, 1, 16}) {
    const std::string text = layout_whole(TestMachine(gpus).screen(), {}, live, 80).text();
    EXPECT_EQ(count_of(text, "NVIDIA H200"), static_cast<std::size_t>(gpus));
    EXPECT_EQ(count_of(text, "python"), static_cast<std::size_t>(gpus));
    EXPECT_THAT(text, AllOf(HasSubstr("Sampling"), Not(HasSubstr("F10"))));
    EXPECT_THAT(text, Not(HasSubstr("\n\n")));
  }
}

}  // namespace
}  // namespace batchscope::top
