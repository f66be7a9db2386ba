// `batchscope top` and `batchscope replay`: what a machine does now, and what a recording says that it did.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/gpus_option.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "study/environment.h"
#include "telemetry/recording.h"
#include "telemetry/sources/nvml.h"
#include "top/live_feed.h"
#include "top/recorded_feed.h"
#include "top/show.h"
#include "top/terminal.h"

namespace batchscope::cli {
namespace {

struct TopOptions {
  std::string interval = "250ms";
  std::vector<std::string> gpus;
  bool once = false;
};

struct ReplayFlags {
  std::string file, session, speed = "1", at = "0s";
  bool once = false;
};

Nanoseconds interval_of(const std::string& text) {
  const Nanoseconds interval = parse_duration(text, "--interval");
  if (interval < top::shortest_interval || interval > top::longest_interval)
    throw InputError("--interval: {} is not between 100ms and 1min", text);
  return interval;
}

int show(top::Feed& feed) {
  const InterruptFlag interrupt;
  top::show(feed, interrupt.flag(), print);
  return static_cast<int>(interrupt.flag() ? ExitCode::interrupted : ExitCode::ok);
}

// Rates need two readings, and some counters their time for the first.
int print_once(top::Feed& feed, Nanoseconds after) {
  constexpr Nanoseconds longest_wait = std::chrono::seconds(3), look_again = std::chrono::milliseconds(100);
  const InterruptFlag interrupt;
  const Nanoseconds begin = monotonic_clock().now();
  const auto is_enough = [&](Nanoseconds waited) {
    if (waited < after || !feed.is_live()) return waited >= after;
    return waited >= after + longest_wait || top::is_complete(top::make_screen(feed.observation(), 1));
  };
  while (!interrupt.flag() && !is_enough(monotonic_clock().now() - begin)) {
    feed.update(false);
    monotonic_clock().sleep_until(monotonic_clock().now() + std::min(look_again, after));
  }
  if (interrupt.flag()) return static_cast<int>(ExitCode::interrupted);
  feed.update(false);
  print_text(top::screen_text(feed, top::text_width_wanted()));
  return 0;
}

int top(const TopOptions& options) {
  const Nanoseconds interval = interval_of(options.interval);
  if (!options.once) top::check_terminal();
  MachineGpus gpus = machine_gpus(GpuChoice(options.gpus));
  auto facts = environment();
  facts.merge(gpu_environment(gpus.gpus));
  auto sources = virtual_sources();
  for (auto& source : gpus.sources) sources.push_back(std::move(source));
  top::LiveFeed feed(std::move(sources), interval, std::move(facts),
                     fmt::format("No GPU: {}. No virtual device is running; eval --device cpu:2 starts two.",
                                 gpus.missing.empty() ? "the driver lists none" : gpus.missing.front().text()),
                     gpus.late);
  return options.once ? print_once(feed, interval) : show(feed);
}

int replay(const ReplayFlags& flags) {
  top::ReplayOptions options{
      .speed = parse_number(flags.speed, top::Playback::least_speed, top::Playback::most_speed, "--speed"),
      .at = parse_duration(flags.at, "--at")};
  if (!flags.session.empty()) options.session = parse_integer(flags.session, 1, INT64_MAX, "--session");
  if (!flags.once) top::check_terminal();
  top::RecordedFeed feed(flags.file, options);
  return flags.once ? print_once(feed, Nanoseconds(0)) : show(feed);
}

}  // namespace

void add_top(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* command =
      app.add_subcommand("top", "show GPUs, virtual devices, engine phases and processes live in the terminal");
  command->add_option("--interval", options->interval, "time between updates, 100ms to 1min: 250ms (default)")
      ->type_name("TIME");
  add_gpus(*command, options->gpus);
  command->add_flag(
      "--once", options->once,
      "print one screen as plain text as soon as there are values, after one interval at least, and exit");
  command->footer(
      "F1 shows the keys. NO_COLOR is respected; without UTF-8 it draws in ASCII.\n"
      "Examples:\n"
      "  batchscope top\n"
      "  batchscope top --once --interval 500ms | head -20");
  command->callback([options, &exit_code] { exit_code = top(*options); });
}

void add_replay(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<ReplayFlags>();
  CLI::App* command = app.add_subcommand("replay", "play a recording on the screen of top, with seek and speed");
  command->add_option("file", flags->file, "a file written by record, eval or study")
      ->type_name("FILE.bscope")
      ->required();
  command->add_option("--session", flags->session, "its number in the file (default: the last one with counters)")
      ->type_name("N");
  command->add_option("--speed", flags->speed, "speed of time: 1 (default), from 0.0625 to 256")->type_name("N");
  command->add_option("--at", flags->at, "start at this time: 30s, 2min, 1h")->type_name("TIME");
  command->add_flag("--once", flags->once, "print the screen of --at as plain text, and exit");
  command->footer(
      "Space pauses, arrows seek by 1 s, with Shift by 10 s, + and - change the speed;\n"
      "F1 shows all keys.\n"
      "Example:\n"
      "  batchscope replay run.bscope --at 30s --speed 4");
  command->callback([flags, &exit_code] { exit_code = replay(*flags); });
}

}  // namespace batchscope::cli
