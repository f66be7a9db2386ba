// `batchscope record`: samples a command, a process or the machine, and says what it saw.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/thread_limit.h"
#include "base/units.h"
#include "base/virtual_page.h"
#include "cli/command.h"
#include "cli/gpus_option.h"
#include "cli/output.h"
#include "cli/receive_marks.h"
#include "report/recording/recording_json.h"
#include "report/recording/recording_text.h"
#include "study/environment.h"
#include "telemetry/calibration/errors.h"
#include "telemetry/command/command.h"
#include "telemetry/recording.h"
#include "telemetry/sources/nvml.h"
#include "telemetry/sources/paper.h"
#include "telemetry/sources/pm_sampling.h"
#include "telemetry/sources/scrape.h"
#include "telemetry/summary/main_curves.h"

namespace batchscope::cli {
namespace {

struct RecordOptions {
  std::string output, period = "1/6s", duration, pid, json, cpu_budget, pm, scrape_period = "1s",
                      scrape_timeout = "1500ms", scrape_token_file, scrape_token_variable, scrape_authorities, user,
                      wait = "command";
  std::vector<std::string> sources, gpus, scrape, scrape_only;
  bool append = false, overwrite = false, paper = false, verbose = false;
  std::vector<std::string> command;
};

// The same, parsed and checked.
struct RecordPlan {
  Nanoseconds period{0};
  GpuChoice gpus{};
  std::optional<Nanoseconds> duration;
  std::optional<pid_t> pid;
  CpuBudget cpu_budget = default_cpu_budget();
  std::optional<Nanoseconds> pm_interval;
  std::vector<std::unique_ptr<Source>> scrapes;
  std::optional<CommandUser> user;
};

ScrapeAccess scrape_access(const RecordOptions& options) {
  ScrapeAccess access{.timeout = parse_duration(options.scrape_timeout, "--scrape-timeout"),
                      .authorities = options.scrape_authorities};
  if (access.timeout < std::chrono::milliseconds(10) || access.timeout > std::chrono::minutes(1))
    throw InputError("--scrape-timeout: {} is not between 10ms and 1min", options.scrape_timeout);
  access.token =
      http::BearerToken::from_flags(options.scrape_token_file, options.scrape_token_variable, "--scrape-token");
  return access;
}

RecordPlan check(const RecordOptions& options) {
  RecordPlan plan{.period = parse_duration(options.period, "--period")};
  if (plan.period < shortest_period) throw InputError("--period: {} is too short; the shortest is 1ms", options.period);
  if (!options.duration.empty()) plan.duration = parse_duration(options.duration, "--duration");
  if (!options.cpu_budget.empty()) plan.cpu_budget = parse_cpu_budget(options.cpu_budget, "--cpu-budget");
  check_kinds(options.sources, "--sources");
  plan.gpus = GpuChoice(options.gpus);
  const auto scrape_period = parse_duration(options.scrape_period, "--scrape-period");
  if (scrape_period < shortest_period)
    throw InputError("--scrape-period: {} is too short; the shortest is 1ms", options.scrape_period);
  const ScrapeAccess access = scrape_access(options);
  for (const std::string& url : options.scrape)
    plan.scrapes.push_back(scrape_source(url, scrape_period, access, options.scrape_only));
  if (!options.pm.empty()) plan.pm_interval = parse_duration(options.pm, "--pm");
  if (!options.user.empty()) {
    if (options.command.empty())
      throw InputError("--user is the user that the command after -- runs as; there is no command");
    plan.user = command_user(options.user, "--user");
  }
  if (options.wait != "command" && options.wait != "all")
    throw InputError("--wait: '{}' is not known; use command or all", options.wait);
  if (options.append && options.overwrite) throw InputError("--append and --overwrite cannot be combined; give one");
  if (options.pid.empty()) return plan;
  if (!options.command.empty()) throw InputError("--pid and a command cannot be combined; give one");
  plan.pid = static_cast<pid_t>(parse_integer(options.pid, 1, 1 << 22, "--pid"));
  if (!process_start_ticks(*plan.pid)) throw InputError("--pid: there is no process {}", *plan.pid);
  return plan;
}

std::unique_ptr<StoreWriter> open_store(const RecordOptions& options) {
  if (options.output.empty()) return nullptr;
  const bool exists = std::filesystem::exists(options.output);
  if (exists && !options.append && !options.overwrite)
    throw InputError("{} exists already; name another file, add to it with --append, or replace it with --overwrite",
                     options.output);
  return std::make_unique<StoreWriter>(options.output, OpenMode::create_or_append);
}

void say(const std::string& text, bool has_colours = false) {
  std::fputs(visible_lines(text, has_colours).c_str(), stderr);
}

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
  const bool has_colours = stderr_is_terminal() && (no_color == nullptr || *no_color == '\0');
  say(to_text(summary, has_colours, options.verbose ? SummaryDetail::verbose : SummaryDetail::brief), has_colours);
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

// They are in no figure from here on.
void say_who_goes_on(const std::vector<LeftBehind>& processes) {
  if (processes.empty()) return;
  std::string names;
  for (const LeftBehind& process : processes)
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", process.name, process.pid);
  warn(fmt::format("{} that the command started {} running, no longer observed: {}; --wait all waits for {}",
                   processes.size() == 1 ? "1 process" : fmt::format("{} processes", processes.size()),
                   processes.size() == 1 ? "is still" : "are still", names, processes.size() == 1 ? "it" : "them"));
}

int record_observed(const RecordOptions& options) {
  check_destination(options.json, "--json");
  check_store_name(options.output, "-o");
  RecordPlan plan = check(options);
  const SignalGuard signals;  // before drivers make threads of their own
  PaperFailure paper_failure;
  auto paper = options.paper ? paper_source(paper_failure, plan.gpus) : nullptr;
  if (paper_failure.exit_code != 0) {
    say(fmt::format("batchscope: --paper: {}\n", paper_failure.why));
    return paper_failure.exit_code;
  }
  MachineGpus machine = machine_gpus(plan.gpus);  // before the command starts, since it takes a while
  const std::vector<NvmlGpu>& gpus = machine.gpus;
  std::vector<std::unique_ptr<Source>> pm;
  if (plan.pm_interval) pm = pm_sampling_sources(gpus, *plan.pm_interval);
  if (are_gpus_expected())
    for (const nvml::Refusal& refusal : machine.missing) warn(until_it_comes("recorded", refusal));
  const bool is_new = !options.output.empty() && !std::filesystem::exists(options.output);
  std::optional<OldStore> old;  // kept until the command has started
  if (!options.output.empty() && options.overwrite) old.emplace(options.output);
  auto store = open_store(options);
  std::int64_t session = 0;
  if (store) {
    session = store->begin_session("record");
    store->set_environment(session, environment());
    store->set_environment(session, gpu_environment(gpus));
  }
  auto marks = plan.user ? nullptr : receive_marks(store.get(), session);  // another user does not reach our socket
  std::optional<HeldCommand> command;
  if (!options.command.empty()) {
    adopt_orphans();
    command.emplace(options.command, CommandPlace{.user = plan.user});
  }
  const auto observed = command ? std::optional(command->pid()) : plan.pid;
  auto sources = virtual_sources(observed, command.has_value());
  for (auto& source : machine.sources) sources.push_back(std::move(source));
  keep_kinds(sources, options.sources);
  for (auto& source : plan.scrapes) sources.push_back(std::move(source));
  if (paper) sources.push_back(std::move(paper));
  for (auto& source : pm) sources.push_back(std::move(source));
  Recording recording(std::move(sources), {.period = plan.period, .cpu_budget = plan.cpu_budget}, store.get(), session,
                      machine.late, options.sources);
  if (command) {
    for (const std::string& line : lacking_curves(recording.wait_for_rows())) warn(line);
    if (!command->release()) {
      say(fmt::format("batchscope: cannot start {}: {}\n", options.command[0], std::strerror(errno)));
      recording.stop();
      marks.reset();
      store.reset();
      if (is_new) std::filesystem::remove(options.output);  // nothing was recorded
      return int(ExitCode::cannot_start);
    }
  }
  if (old) old->discard();
  std::optional<Nanoseconds> deadline;
  if (plan.duration) deadline = monotonic_clock().now() + *plan.duration;
  WatchEnd end = watch(observed, command.has_value(), deadline);
  if (command && end == WatchEnd::process_ended && options.wait == "all")
    end = watch_left_behind(command->pid(), deadline);
  recording.stop();
  if (marks) marks->stop();
  int code = end == WatchEnd::interrupted ? static_cast<int>(ExitCode::interrupted) : 0;
  if (command) {
    if (end == WatchEnd::time_passed) watch(observed, true, {});  // the command goes on, unobserved
    code = exit_code_of(command->pid());
  }
  if (command) say_who_goes_on(left_behind(command->pid()));
  if (code == 0 && write_error(recording, marks.get())) code = static_cast<int>(ExitCode::failed);
  report(options, recording, marks.get(), gpus, code);
  return code;
}

// As whom it was to run, also here.
int run_unobserved(const std::vector<std::string>& command, const std::string& user) {
  const SignalGuard signals;
  CommandPlace place;
  if (!user.empty()) place.user = command_user(user, "--user");
  const pid_t child = start_command(command, place);
  if (child < 0) {
    warn(fmt::format("cannot start {}: {}", command[0], std::strerror(errno)));
    return int(ExitCode::cannot_start);
  }
  watch(child, true, {});
  return exit_code_of(child);
}

// Where no more threads may be started, nothing can be recorded; the command is what somebody waits for.
int record(const RecordOptions& options) {
  const bool is_new = !options.output.empty() && !std::filesystem::exists(options.output);
  try {
    return record_observed(options);
  } catch (const std::system_error& error) {
    if (!is_lack_of_threads(error)) throw;
    if (is_new)
      for (const char* part : {"", "-wal", "-shm", "-journal"}) std::filesystem::remove(options.output + part);
    warn(fmt::format("nothing is recorded: no more threads can be started here; {}", more_threads));
    return options.command.empty() ? static_cast<int>(ExitCode::failed) : run_unobserved(options.command, options.user);
  }
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
  command
      ->add_option("--sources", options->sources,
                   fmt::format("only these kinds of sources: {}", fmt::join(source_kinds(), ", ")))
      ->type_name("KIND,…")
      ->delimiter(',');
  add_gpus(*command, options->gpus);
  command
      ->add_option("--cpu-budget", options->cpu_budget,
                   "CPU time that sampling may take, in cores (0.1) or % of one (10%); main curves get coarser where "
                   "that is too little; default: 0.5 % of all CPUs, 5 % of one at least, and what main curves need")
      ->type_name("CORES");
  command
      ->add_option(
          "--pm", options->pm,
          "also sample SMs, tensor cores, memory and links by the GPU's own hardware, this often, 50us at least; "
          "needs root or NVreg_RestrictProfilingToAdminUsers=0, excludes other profilers, may lock clocks")
      ->type_name("TIME");
  command
      ->add_option("--scrape", options->scrape,
                   "also an inference server's own metrics: http://localhost:8000/metrics; may be repeated")
      ->type_name("URL")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      ->add_option("--scrape-only", options->scrape_only,
                   "of the server's metrics only those that match: \"vllm:*\", \"*engine=\\\"0\\\"*\"; may be repeated")
      ->type_name("PATTERN");
  command->add_option("--scrape-period", options->scrape_period, "time between scrapes: 1s (default)")
      ->type_name("TIME");
  command->add_option("--scrape-timeout", options->scrape_timeout, "time for a server's whole answer: 1500ms (default)")
      ->type_name("TIME");
  command
      ->add_option("--scrape-token-file", options->scrape_token_file,
                   "send the bearer token in this file to the servers of --scrape; it is read again for each scrape")
      ->type_name("FILE");
  command
      ->add_option("--scrape-token-variable", options->scrape_token_variable,
                   "send the bearer token in this environment variable")
      ->type_name("NAME");
  command
      ->add_option("--scrape-authorities", options->scrape_authorities,
                   "trust these certificates (PEM) for https, instead of the system's")
      ->type_name("FILE");
  command->add_flag("--paper", options->paper,
                    "also sample the way the paper's profiler does, to compare what it sees");
  command->add_option("--duration", options->duration, "end the recording after this time; the command keeps running")
      ->type_name("TIME");
  command
      ->add_option("--wait", options->wait,
                   "record until the command has ended (command, the default), or all processes that it started (all)")
      ->type_name("command|all");
  command->add_option("--pid", options->pid, "observe this process and its descendants until it ends")
      ->type_name("PID");
  command
      ->add_option("--user", options->user,
                   "run the command as this user, when recording as root (--pm); its marks are not received")
      ->type_name("NAME");
  command->add_flag("--verbose", options->verbose,
                    "also say every counter, every gap and what sampling cost; --json and the file have them anyway");
  command->add_option("--json", options->json, "the summary as one JSON object; - is standard output")
      ->type_name("FILE");
  command->add_option("command", options->command, "the command to run and observe, after --")->type_name("CMD");
  command->footer(
      "Without a command or --pid it observes the machine until --duration or Ctrl-C.\n"
      "Exit codes: the command's own (128 + signal), 125 when it cannot be started,\n"
      "130 after Ctrl-C, 4 when the file could not be written completely; with --paper\n"
      "1, 2, 3 when NVML does not initialise, GPUs cannot be counted, a GPU cannot be\n"
      "opened.\n"
      "Example:\n"
      "  batchscope record -o run.bscope -- batchscope eval --device cpu:2 --batch 16");
  command->callback([options, &exit_code] { exit_code = record(*options); });
}

}  // namespace batchscope::cli
