// `batchscope eval`: one cell.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/phase_list.h"
#include "base/phase_watch.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/processes.h"
#include "engine/engine.h"
#include "report/cell_text.h"
#include "report/trace_text.h"
#include "store/store.h"
#include "study/cell.h"
#include "study/cell_counters.h"
#include "study/environment.h"
#include "study/grid.h"
#include "study/records.h"
#include "study/sentinel.h"
#include "study/study_file.h"
#include "telemetry/marks/sink.h"
#include "telemetry/recording.h"

namespace batchscope::cli {
namespace {

struct EvalOptions {
  CellOptions cell;
  std::string reference = "auto", json, items, output, step_trace;
};

void check_destinations(const EvalOptions& options) {
  if (options.json == "-" && options.items == "-")
    throw InputError("--json and --items cannot both go to standard output; name a file for one of them");
  if (options.step_trace == "-" && (options.json == "-" || options.items == "-"))
    throw InputError("--step-trace, --json and --items: standard output can take one of them; give the others a file");
  if (options.output == "-") throw InputError("-o: a .bscope file cannot go to standard output; name a file");
  check_destination(options.json, "--json");
  check_destination(options.items, "--items");
  check_destination(options.step_trace, "--step-trace");
  check_destination(options.output, "-o");
  check_store_name(options.output, "-o");
}

// The cell in a .bscope file of its own, as a study of one cell, with the time series of this process.
class EvalStore {
 public:
  // `root`: of the processes whose counters go there.
  EvalStore(const std::string& path, const CellSpec& spec, pid_t root)
      : spec_(spec), writer_(path, OpenMode::replace), session_(writer_.begin_session("eval")) {
    writer_.set_environment(session_, environment());
    StudySpec study;
    study.name = "eval";
    study.cells = {spec};
    study.frontier = false;
    const CellRecord cell{.key = cell_key(spec, 1), .spec_json = stored_cell(spec, 1).dump()};
    const std::int64_t id = writer_.add_study(study.name, to_json(study).dump());
    attempt_ = writer_.start_attempt(session_, writer_.add_cells(id, {&cell, 1}).front());
    recording_.emplace(sources_of({&spec, 1}, root), SamplerOptions(), &writer_, session_);
  }
  // Reads the counters, so that there is a reading where their sums begin.
  void timed_part_begins() {
    if (are_on_gpus({&spec_, 1})) recording_->read_now();
  }
  // Adds to the result what was counted meanwhile.
  void finish(nlohmann::json& json, const CellResult& result, std::vector<Phase> phases) {
    recording_->stop();
    add_counters(spec_, phases, writer_.reader(), session_, json);
    CellRecords records = to_records(result, std::move(phases));
    records.result.result_json = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    records.devices = device_records(json);
    writer_.finish_attempt(attempt_, records.result, records.items, records.phases, records.ledger, records.devices,
                           records.requests);
    writer_.end_session(session_);
    if (const auto error = recording_->write_error()) throw Failure("{}", *error);
  }

 private:
  CellSpec spec_;
  StoreWriter writer_;
  std::int64_t session_, attempt_ = 0;
  std::optional<Recording> recording_;  // last: it writes to the others until it ends
};

Nanoseconds load(Engine& engine, const CellSpec& spec, PhaseSink& phases) {
  const PhaseScope phase(&phases, "load", "engine", spec.placement.layout.to_string());
  return engine.load(spec.model, spec.placement);
}

CellResult load_and_run(Engine& engine, const CellSpec& spec, const PreparedTask& task, PhaseSink& phases,
                        World* world) {
  CellResult result;
  try {
    const Nanoseconds load_time = load(engine, spec, phases);
    result = run_cell(engine, spec, task, &phases, world);
    if (!spec.engine.is_server()) result.load_time = load_time;  // whose model was there before
  } catch (...) {
    result = result_of_exception();
  }
  result.environment = environment_json();
  return result;
}

void show_steps(const CellResult& result, const std::string& destination, bool as_table) {
  const std::vector<ObservedStep> none;
  const auto& steps = result.run ? result.run->observed : none;
  if (steps.empty()) warn("--step-trace: nothing was observed; only batchscope's own engine can be, and only where it ran");
  if (!as_table) return write_output(destination, trace_lines(steps));
  for (const ObservedStep& step : steps)
    print_text(fmt::format("\none {} on {}, by op:\n{}", step.kind, step.device, trace_table(step, stdout_has_colour())));
}

// What --reference names, read before anything runs; absent: it is to be made.
std::optional<SentinelReference> given_reference(const EvalOptions& options, const CellSpec& spec) {
  if (options.reference == "auto") return std::nullopt;
  if (options.reference == "none") return SentinelReference::none("--reference is none");
  return read_reference(options.reference, spec);
}

std::string items_text(const CellResult& result) {
  std::string text;
  const auto add = [&](const nlohmann::json& line) {
    text += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  };
  for (const ItemScore& item : result.items) add(to_json(item));
  for (const RequestResult& request : result.requests) add(to_json(request));
  return text;
}

// Before it starts: a trace of a day takes a day.
void say_how_long(const CellSpec& spec, const PreparedTask& task) {
  if (!spec.workload || spec.workload->trace.empty() || task.workload->requests.empty()) return;
  const Nanoseconds last = task.workload->requests.back().arrival;
  if (last == Nanoseconds(0)) return;
  warn(fmt::format("the trace's {} requests arrive over {}{}", format_count(std::ssize(task.workload->requests)),
                   format_duration(last),
                   spec.workload->trace_speed == 1
                       ? "; --trace-speed shortens that"
                       : fmt::format(", at {} times its speed", spec.workload->trace_speed)));
}

void eval(const EvalOptions& options, World* world) {
  const CellSpec asked = options.cell.cell();
  CellSpec spec = placed(asked, world);
  spec.run.observe_steps = !options.step_trace.empty();
  if (speaks()) check_destinations(options);
  const PreparedTask task = prepare_task(spec);
  if (speaks()) say_how_long(spec, task);
  const std::optional<SentinelReference> reference =
      speaks() ? given_reference(options, spec) : std::optional<SentinelReference>();
  auto engine = make_engine(spec.engine, world);
  if (world != nullptr) world->together([] {});  // all have got that far
  if (!speaks()) {
    PhaseList nobodys;
    load_and_run(*engine, spec, task, nobodys, world);
    return;
  }
  std::unique_ptr<EvalStore> store;  // only now: bad input must not cost an earlier file
  // Other ranks of this host are the launcher's children, too.
  if (!options.output.empty())
    store = std::make_unique<EvalStore>(options.output, asked, world != nullptr ? getppid() : getpid());

  PhaseList phases;
  MarkSink marked_phases(&phases);
  PhaseWatch watched_phases(marked_phases, warm_up_phase, [&] {
    if (store) store->timed_part_begins();
  });
  CellResult result;
  try {
    result = load_and_run(*engine, spec, task, watched_phases, world);
    if (world == nullptr) engine.reset();  // its memory is free for the reference
    if (!result.items.empty()) watch(reference ? *reference : own_reference(spec), spec, result);
  } catch (const InputError& error) {
    result.reason = error.what();
    nlohmann::json json = to_json(result);
    if (store) store->finish(json, result, phases.take());  // the file tells it too
    throw;
  }
  nlohmann::json json = to_json(result);
  std::optional<Failure> unwritten;  // the result goes where else it is to go, and then the error
  try {
    if (store) store->finish(json, result, phases.take());
  } catch (const Failure& failure) {
    unwritten = failure;
  }
  if (!options.items.empty()) write_output(options.items, items_text(result));
  if (!options.json.empty())
    write_output(options.json, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  const bool is_for_people = options.json != "-" && options.items != "-" && options.step_trace != "-";
  const bool trace_as_table = options.step_trace == "-" && isatty(STDOUT_FILENO) == 1;
  if (is_for_people || trace_as_table) print_text(cell_text(json, stdout_has_colour()));
  if (!options.step_trace.empty()) show_steps(result, options.step_trace, trace_as_table);
  if (is_loud(to_string(result.status))) warn(status_words(to_string(result.status)) + ": " + result.reason);
  if (unwritten) throw *unwritten;
  if (const ExitCode code = exit_code(result.status); code != ExitCode::ok) throw Error(code, result.reason);
}

}  // namespace

void add_eval(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command =
      app.add_subcommand("eval", "score a task or generate; measure time, accuracy, latency, traffic, memory");
  options->cell.add_all(*command);
  command
      ->add_option("--reference", options->reference,
                   "what the first answers are compared with: an --items or .bscope file | none (default: "
                   "batchscope's own at batch 1, where the model is small)")
      ->type_name("FILE");
  command->add_option("--json", options->json, "the result as one JSON object; - is standard output")
      ->type_name("FILE");
  command->add_option("--items", options->items, "the result of each question or request, one JSON object per line")
      ->type_name("FILE.jsonl");
  command
      ->add_option("--step-trace", options->step_trace,
                   "afterwards, run the largest step once more and time every kernel and collective: one JSON object "
                   "per line; - is standard output, on a terminal as a table")
      ->type_name("FILE");
  command->add_option("-o,--output", options->output, "everything, with time series, as a .bscope file")
      ->type_name("FILE.bscope");
  command->footer(
      "Exit codes: 0 ok (also degraded; also truncated, when requested), 2 bad input,\n"
      "3 out of memory, 4 failed, 5 timed out.\n"
      "Examples:\n"
      "  batchscope eval --device cpu:2 --parallel tp2 --fusion on --batch 16 --json -\n"
      "  batchscope eval --engine \"command:python3 tools/engines/letters_engine.py\"\n"
      "  batchscope eval --engine http://localhost:8000/v1 --task hellaswag.jsonl\n"
      "  batchscope eval --prompt-tokens 32 --output-tokens 16 --arrival-rate 20");
  command->callback([options, &exit_code] {
    in_every_process([&](World* world) { eval(*options, world); });
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
