// `batchscope overhead`: runs a command with and without the profiler, and says what that costs it.
#include "analysis/overhead.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "base/child_process.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/gpus_option.h"
#include "cli/output.h"
#include "cli/receive_marks.h"
#include "report/text.h"
#include "telemetry/command/command.h"
#include "telemetry/marks/environment.h"
#include "telemetry/recording.h"
#include "telemetry/sources/nvml.h"

namespace batchscope::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double short_run_s = 1;                          // below, what starts and ends is much of the time
constexpr auto settling = std::chrono::milliseconds(500);  // a monitor needs it before the run; so all runs have it

constexpr auto patience = std::chrono::seconds(1);  // with one that is asked to stop

struct OverheadOptions {
  std::string pairs = "10", seed = "1", period = "1/6s", json, compare, metric;
  bool higher_is_better = false;
  std::vector<std::string> gpus, command;
};

// Another monitor, from before a run until its end.
class Monitor {
 public:
  explicit Monitor(const std::string& command)
      : pid_(start_command({"/bin/sh", "-c", command}, {.output = "/dev/null", .own_group = true})) {
    if (pid_ < 0) throw Failure("--compare: cannot start /bin/sh: {}", std::strerror(errno));
  }
  ~Monitor() {
    kill(-pid_, SIGTERM);
    if (watch(pid_, true, monotonic_clock().now() + patience) == WatchEnd::time_passed) kill(-pid_, SIGKILL);
    exit_code_of(pid_);
  }
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;
  // A monitor that has ended has not been measured.
  void check_runs() const {
    if (has_ended(pid_))
      throw InputError("--compare: its command ended before the run did; give one that runs until it is stopped");
  }

 private:
  pid_t pid_;
};

// Runs the command, once an arm; keeps what it needs in a folder of its own.
class CommandRunner {
 public:
  CommandRunner(const OverheadOptions& options, Nanoseconds period)
      : options_(options),
        gpus_(options.gpus),
        period_(period),
        folder_(temporary_folder() / fmt::format("batchscope-overhead-{}", getpid())) {
    if (!gpus_.is_all()) nvml_gpus(nullptr, gpus_);  // one that is not there is said before anything runs
    if (options.metric.empty()) return;
    try {
      metric_.emplace(options.metric);
    } catch (const std::regex_error& error) {
      throw InputError("--metric {}: it is not a regular expression: {}", quote(options.metric), error.what());
    }
  }

  double operator()(Arm arm) {
    ++run_;
    if (stderr_is_terminal()) std::fprintf(stderr, "\rrun %lld %-18s\r", static_cast<long long>(run_), name_of(arm));
    const Nanoseconds time = arm == Arm::profiler  ? time_with_profiler()
                             : arm == Arm::compare ? time_with_monitor()
                                                   : time_of_command({});
    return metric_ ? measure_in_output() : to_seconds(time);
  }

  static const char* name_of(Arm arm) {
    return arm == Arm::without ? "without" : arm == Arm::profiler ? "with the profiler" : "with --compare";
  }

 private:
  fs::path output() const { return folder_.path() / "output"; }

  // `beside` is made as soon as the command runs, and gone when it has ended.
  Nanoseconds time_of_command(const std::function<std::unique_ptr<Recording>(pid_t)>& beside) {
    if (!options_.compare.empty()) monotonic_clock().sleep_until(monotonic_clock().now() + settling);
    const Nanoseconds begin = monotonic_clock().now();
    const pid_t child = start_command(options_.command, {.output = output()});
    if (child < 0)
      throw Error(ExitCode::cannot_start,
                  fmt::format("cannot start {}: {}", options_.command[0], std::strerror(errno)));
    const auto recording = beside ? beside(child) : nullptr;
    watch(child, true, {});
    const Nanoseconds end = monotonic_clock().now();
    if (recording) recording->stop();
    if (const int code = exit_code_of(child); code != 0)
      throw Error(ExitCode(code), fmt::format("the command ended with exit code {} in run {}; its last line: {}", code,
                                              run_, quote(last_line())));
    return end - begin;
  }

  // As `record -o` does it.
  Nanoseconds time_with_profiler() {
    StoreWriter store(folder_.path() / "overhead.bscope", OpenMode::replace);
    const auto session = store.begin_session("record");
    const KeptMarkEnvironment kept;
    const auto marks = receive_marks(&store, session);
    return time_of_command([&](pid_t child) {
      return std::make_unique<Recording>(machine_sources(child, gpus_), SamplerOptions{.period = period_}, &store,
                                         session);
    });
  }

  Nanoseconds time_with_monitor() {
    const Monitor monitor(options_.compare);
    const Nanoseconds time = time_of_command({});
    monitor.check_runs();
    return time;
  }

  std::string last_line() const {
    std::string text = read_file(output());
    while (text.ends_with('\n')) text.pop_back();
    return text.substr(text.rfind('\n') + 1);  // npos + 1 is 0
  }

  // The last match's first group, or all of it.
  double measure_in_output() const {
    const std::string text = read_file(output());
    std::optional<std::string> found;
    for (std::size_t at = 0; at < text.size();) {  // a line at a time: std::regex takes stack by the character
      const std::size_t end = std::min(text.find('\n', at), text.size());
      const std::string line = text.substr(at, std::min<std::size_t>(end - at, 10'000));
      std::smatch match;
      if (std::regex_search(line, match, *metric_)) found = match.size() > 1 ? match[1].str() : match[0].str();
      at = end + 1;
    }
    if (!found) throw InputError("--metric {}: nothing in the output of run {} matches", quote(options_.metric), run_);
    return parse_number(*found, 1e-300, 1e300, "--metric, of what matched");
  }

  const OverheadOptions& options_;
  GpuChoice gpus_;
  Nanoseconds period_;
  TemporaryFolder folder_;
  std::optional<std::regex> metric_;
  std::int64_t run_ = 0;
};

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::string signed_percent(double ratio) { return fmt::format("{:+.2f} %", 100 * (ratio - 1)); }

std::string to_text(const OverheadOptions& options, const Overhead& overhead) {
  const bool is_time = options.metric.empty();
  const auto value = [&](double mean) {
    return is_time ? format_duration(from_seconds(mean)) : fmt::format("{:.6g}", mean);
  };
  TextTable table({"", is_time ? "mean time" : "mean", "slowdown", "95 % interval"});
  table.add({{"without"}, {value(mean_of(overhead.without))}, {""}, {""}});
  for (const Slowdown& slowdown : overhead.arms)
    table.add({{CommandRunner::name_of(slowdown.arm)},
               {value(mean_of(slowdown.values))},
               {signed_percent(slowdown.ratio.ratio)},
               {slowdown.ratio.low ? signed_percent(*slowdown.ratio.low) + " to " + signed_percent(*slowdown.ratio.high)
                                   : std::string("-")}});
  std::string text = fmt::format("{} pairs of runs, every {}\n", overhead.without.size(), options.period) +
                     table.print(stdout_has_colour());
  for (const Slowdown& slowdown : overhead.arms)
    text += wrap(fmt::format("{}: {}", CommandRunner::name_of(slowdown.arm), verdict(slowdown.ratio)), terminal_columns,
                 2) +
            "\n";
  if (is_time && mean_of(overhead.without) < short_run_s)
    text += "The runs are short: much of their time is start-up and shutdown.\n";
  return text;
}

json to_json(const OverheadOptions& options, const Overhead& overhead) {
  const auto or_null = [](const std::optional<double>& number) { return number ? json(*number) : json(); };
  json arms = json::array();
  for (const Slowdown& slowdown : overhead.arms)
    arms.push_back({{"arm", slowdown.arm == Arm::profiler ? "profiler" : "compare"},
                    {"values", slowdown.values},
                    {"ratio", slowdown.ratio.ratio},
                    {"low", or_null(slowdown.ratio.low)},
                    {"high", or_null(slowdown.ratio.high)},
                    {"verdict", verdict(slowdown.ratio)}});
  return {{"pairs", overhead.without.size()},
          {"measure", options.metric.empty() ? "seconds" : "metric"},
          {"higher_is_better", options.higher_is_better},
          {"without", {{"values", overhead.without}}},
          {"arms", arms}};
}

void overhead(const OverheadOptions& options) {
  check_destination(options.json, "--json");
  const OverheadPlan plan{.pairs = parse_integer(options.pairs, 1, 10'000, "--pairs"),
                          .seed = static_cast<std::uint64_t>(parse_integer(options.seed, 0, 1'000'000'000, "--seed")),
                          .has_compare = !options.compare.empty(),
                          .higher_is_better = options.higher_is_better};
  const Nanoseconds period = parse_duration(options.period, "--period");
  if (period < shortest_period) throw InputError("--period: {} is too short; the shortest is 1ms", options.period);
  if (options.command.empty()) throw InputError("overhead: give the command to run after --");
  if (options.higher_is_better && options.metric.empty())
    throw InputError("--higher-is-better belongs to --metric; a lower time is always better");
  const SignalGuard signals;
  CommandRunner runner(options, period);
  const Overhead result = measure_overhead(plan, [&](Arm arm) { return runner(arm); });
  if (!options.json.empty()) write_output(options.json, to_json(options, result).dump(2) + "\n");
  if (options.json != "-") print_text(to_text(options, result));
}

}  // namespace

void add_overhead(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<OverheadOptions>();
  CLI::App* command =
      app.add_subcommand("overhead", "measure what recording costs a command, by runs with and without");
  command->add_option("--pairs", options->pairs, "pairs of a run with and a run without, in random order")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "seed of the random order")->type_name("N")->capture_default_str();
  command->add_option("--period", options->period, "period of the profiler: time between readings")
      ->type_name("TIME")
      ->capture_default_str();
  add_gpus(*command, options->gpus);
  command
      ->add_option("--compare", options->compare,
                   "add a third run to each pair, with this monitor running instead of the profiler")
      ->type_name("CMD");
  command
      ->add_option("--metric", options->metric,
                   "compare a number in the command's output instead of its time: the last match, or its group")
      ->type_name("REGEX");
  command->add_flag("--higher-is-better", options->higher_is_better, "for a number such as tokens per second");
  command->add_option("--json", options->json, "all values as one JSON object; - is standard output")
      ->type_name("FILE");
  command->add_option("command", options->command, "the command to run, after --")->type_name("CMD");
  command->footer(
      "The first run is a warm-up. The command's output is not shown; when it fails,\n"
      "its exit code is returned, or 125 when it cannot be started.\n"
      "Examples:\n"
      "  batchscope overhead -- python train.py --steps 100\n"
      "  batchscope overhead --compare \"nvidia-smi dmon\" --higher-is-better \\\n"
      "    --metric \"([0-9.]+) tokens/s\" -- python serve_benchmark.py");
  command->callback([options, &exit_code] {
    overhead(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
