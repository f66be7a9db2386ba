// `batchscope record`: samples a command, a process or the machine, and says what it saw.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/output.h"
#include "study/environment.h"
#include "telemetry/calibration/errors.h"
#include "telemetry/command.h"
#include "telemetry/marks/environment.h"
#include "telemetry/marks/receiver.h"
#include "telemetry/recording.h"
#include "telemetry/sources/nvml.h"
#include "telemetry/sources/paper.h"
#include "telemetry/sources/pm_sampling.h"
#include "telemetry/sources/scrape.h"
#include "telemetry/virtual_page.h"

namespace batchscope::cli {
namespace {

constexpr int cannot_start = 125;

struct RecordOptions {
  std::string output, period = "1/6s", duration, pid, json, cpu_budget, pm, scrape_period = "1s";
  std::vector<std::string> sources, scrape;
  bool append = false, overwrite = false, paper = false;
  std::vector<std::string> command;
};

// The same, parsed and checked.
struct RecordPlan {
  Nanoseconds period{0};
  std::optional<Nanoseconds> duration;
  std::optional<pid_t> pid;
  double cpu_budget = default_cpu_budget;
  std::optional<Nanoseconds> pm_interval;
  std::vector<std::unique_ptr<Source>> scrapes;
};

RecordPlan check(const RecordOptions& options) {
  RecordPlan plan{.period = parse_duration(options.period, "--period")};
  if (plan.period < shortest_period) throw InputError("--period: {} is too short; the shortest is 1ms", options.period);
  if (!options.duration.empty()) plan.duration = parse_duration(options.duration, "--duration");
  if (!options.cpu_budget.empty()) plan.cpu_budget = parse_share(options.cpu_budget, "--cpu-budget");
  check_kinds(options.sources, "--sources");
  const auto scrape_period = parse_duration(options.scrape_period, "--scrape-period");
  if (scrape_period < shortest_period)
    throw InputError("--scrape-period: {} is too short; the shortest is 1ms", options.scrape_period);
  for (const std::string& url : options.scrape) plan.scrapes.push_back(scrape_source(url, scrape_period));
  if (!options.pm.empty()) plan.pm_interval = parse_duration(options.pm, "--pm");
  if (options.append && options.overwrite) throw InputError("--append and --overwrite exclude each other; give one");
  if (options.pid.empty()) return plan;
  if (!options.command.empty()) throw InputError("--pid and a command exclude each other; give one of them");
  plan.pid = static_cast<pid_t>(parse_integer(options.pid, 1, 1 << 22, "--pid"));
  if (!process_start_ticks(*plan.pid)) throw InputError("--pid: no process {} runs", *plan.pid);
  return plan;
}

std::unique_ptr<StoreWriter> open_store(const RecordOptions& options) {
  if (options.output.empty()) return nullptr;
  const bool exists = std::filesystem::exists(options.output);
  if (exists && !options.append && !options.overwrite)
    throw InputError("{} exists already; name another file, add to it with --append, or replace it with --overwrite",
                     options.output);
  return std::make_unique<StoreWriter>(options.output,
                                       options.overwrite ? OpenMode::replace : OpenMode::create_or_append);
}

void say(const std::string& text) { std::fputs(text.c_str(), stderr); }

std::optional<std::string> write_error(const Recording& recording, const MarkReceiver* marks) {
  if (auto error = recording.write_error()) return error;
  return marks != nullptr ? marks->write_error() : std::nullopt;
}

// What calibrations say of the figures' errors.
void add_errors(RecordingSummary& summary, const std::vector<NvmlGpu>& gpus) {
  std::set<std::string> said;
  for (const NvmlGpu& gpu : gpus) {
    const auto driver = gpu.library->driver_version();
    if (!driver) continue;
    std::string line;
    try {
      const auto found = calibration::calibration_of(gpu.gpu.name, *driver);
      if (found.calibration) calibration::add_errors(summary.counters, *found.calibration, gpu.series());
      line = found.calibration ? fmt::format("by the calibration of {}, driver {}, of {}", found.calibration->board,
                                             found.calibration->driver, found.calibration->date)
                               : "unknown: " + found.warning;
    } catch (const InputError& error) {
      line = std::string("unknown: ") + error.what();
    }
    if (said.insert(line).second) summary.calibrations.push_back(line);
  }
}

// Standard output may be the command's own: the summary goes to standard error.
void report(const RecordOptions& options, const Recording& recording, const MarkReceiver* marks,
            const std::vector<NvmlGpu>& gpus, int code) {
  RecordingSummary summary = recording.summary();
  add_errors(summary, gpus);
  if (marks != nullptr) {
    summary.phases = marks->totals();
    summary.marks = marks->counts();
  }
  const char* no_color = std::getenv("NO_COLOR");
  say(to_text(summary, stderr_is_terminal() && (no_color == nullptr || *no_color == '\0')));
  const auto error = write_error(recording, marks);
  if (!options.output.empty())
    say(error ? fmt::format("batchscope: {}; {} ends there\n", *error, options.output)
              : fmt::format("Written to {}\n", options.output));
  if (options.json.empty()) return;
  auto json = to_json(summary);
  json["exit_code"] = code;
  json["file"] = options.output.empty() ? nlohmann::json() : nlohmann::json(options.output);
  json["write_error"] = error ? nlohmann::json(*error) : nlohmann::json();
  write_output(options.json, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

// For phases that programs write; without a place for that the recording goes on without them. The command is told.
std::unique_ptr<MarkReceiver> receive_marks(StoreWriter* store, std::int64_t session) {
  try {
    auto marks = std::make_unique<MarkReceiver>(store, session);
    set_mark_environment(marks->path());
    return marks;
  } catch (const Failure& failure) {
    warn(failure.what());
    return nullptr;
  }
}

int record(const RecordOptions& options) {
  check_destination(options.json, "--json");
  RecordPlan plan = check(options);
  const SignalGuard signals;  // before drivers make threads of their own
  PaperFailure paper_failure;
  auto paper = options.paper ? paper_source(paper_failure) : nullptr;
  if (paper_failure.exit_code != 0) {
    say(fmt::format("batchscope: --paper: {}\n", paper_failure.why));
    return paper_failure.exit_code;
  }
  const std::vector<NvmlGpu> gpus = nvml_gpus();  // asked once: later a GPU may hang
  std::vector<std::unique_ptr<Source>> pm;
  if (plan.pm_interval) pm = pm_sampling_sources(gpus, *plan.pm_interval);
  auto sources_of_gpus = gpu_sources(gpus);  // before the command starts, since it takes a while
  const bool is_new = !options.output.empty() && !std::filesystem::exists(options.output);
  auto store = open_store(options);
  std::int64_t session = 0;
  if (store) {
    session = store->begin_session("record");
    store->set_environment(session, environment());
    store->set_environment(session, gpu_environment(gpus));
  }
  auto marks = receive_marks(store.get(), session);
  std::optional<HeldCommand> command;
  if (!options.command.empty()) command.emplace(options.command);
  const auto observed = command ? std::optional(command->pid()) : plan.pid;
  auto sources = virtual_sources(observed);
  for (auto& source : sources_of_gpus) sources.push_back(std::move(source));
  keep_kinds(sources, options.sources);
  for (auto& source : plan.scrapes) sources.push_back(std::move(source));
  if (paper) sources.push_back(std::move(paper));
  for (auto& source : pm) sources.push_back(std::move(source));
  Recording recording(std::move(sources), {.period = plan.period, .cpu_budget = plan.cpu_budget}, store.get(), session);
  if (command) {
    recording.wait_for_rows();
    if (!command->release()) {
      say(fmt::format("batchscope: cannot start {}: {}\n", options.command[0], std::strerror(errno)));
      recording.stop();
      marks.reset();
      store.reset();
      if (is_new) std::filesystem::remove(options.output);  // nothing was recorded
      return cannot_start;
    }
  }
  std::optional<Nanoseconds> deadline;
  if (plan.duration) deadline = monotonic_clock().now() + *plan.duration;
  const WatchEnd end = watch(observed, command.has_value(), deadline);
  recording.stop();
  if (marks) marks->stop();
  int code = end == WatchEnd::interrupted ? static_cast<int>(ExitCode::interrupted) : 0;
  if (command) {
    if (end == WatchEnd::time_passed) watch(observed, true, {});  // the command goes on, unobserved
    code = exit_code_of(command->pid());
  }
  if (code == 0 && write_error(recording, marks.get())) code = static_cast<int>(ExitCode::failed);
  report(options, recording, marks.get(), gpus, code);
  return code;
}

}  // namespace

void add_record(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<RecordOptions>();
  CLI::App* command = app.add_subcommand("record", "sample a command, a process or the whole machine");
  command->add_option("-o,--output", options->output, "write every sample to this .bscope file")
      ->type_name("FILE.bscope");
  command->add_flag("--append", options->append, "add a session to the file if it exists");
  command->add_flag("--overwrite", options->overwrite, "replace the file if it exists");
  command->add_option("--period", options->period, "time between readings: 1/6s (default) down to 1ms")
      ->type_name("TIME");
  command->add_option("--sources", options->sources, "only these, as the summary names them: pcie,power,gpm")
      ->type_name("KIND,…")
      ->delimiter(',');
  command->add_option("--cpu-budget", options->cpu_budget, "CPU time that sampling may take, of one core: 3% (default)")
      ->type_name("SHARE");
  command
      ->add_option("--pm", options->pm,
                   "also let the GPU's hardware sample SMs, tensor cores, memory and links this often, from 50us on; "
                   "takes root or NVreg_RestrictProfilingToAdminUsers=0, excludes other profilers, may lock clocks")
      ->type_name("TIME");
  command
      ->add_option("--scrape", options->scrape,
                   "also what an inference server says of itself: http://localhost:8000/metrics; may be repeated")
      ->type_name("URL")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--scrape-period", options->scrape_period, "time between scrapes: 1s (default)")
      ->type_name("TIME");
  command->add_flag("--paper", options->paper, "also sample as the paper's profiler does, to compare what it sees");
  command->add_option("--duration", options->duration, "end the recording after this; a command goes on")
      ->type_name("TIME");
  command->add_option("--pid", options->pid, "observe this process and its descendants until it ends")
      ->type_name("PID");
  command->add_option("--json", options->json, "the summary as one JSON object; - is standard output")
      ->type_name("FILE");
  command->add_option("command", options->command, "the command to run and observe, behind --")->type_name("CMD");
  command->footer(
      "Without a command or --pid it observes the machine until --duration or Ctrl-C.\n"
      "Exit codes: the command's own (128 + signal), 125 when it cannot be started,\n"
      "130 after Ctrl-C, 4 when the file could not be written to its end; with --paper 1, 2, 3\n"
      "when NVML does not initialise, GPUs cannot be counted, a GPU cannot be opened.\n"
      "Example:\n"
      "  batchscope record -o run.bscope -- batchscope eval --device cpu:2 --batch 16");
  command->callback([options, &exit_code] { exit_code = record(*options); });
}

}  // namespace batchscope::cli
