// `batchscope eval`: one cell.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/output.h"
#include "engine/engine.h"
#include "report/cell_text.h"
#include "store/store.h"
#include "study/cell.h"
#include "study/environment.h"
#include "study/grid.h"
#include "study/phase_list.h"
#include "study/records.h"
#include "study/study_file.h"
#include "telemetry/marks/sink.h"
#include "telemetry/recording.h"

namespace batchscope::cli {
namespace {

struct EvalOptions {
  CellOptions cell;
  std::string json, items, output;
};

void check_destinations(const EvalOptions& options) {
  if (options.json == "-" && options.items == "-")
    throw InputError("--json and --items cannot both go to standard output; name a file for one of them");
  if (options.output == "-") throw InputError("-o: a .bscope file cannot go to standard output; name a file");
  check_destination(options.json, "--json");
  check_destination(options.items, "--items");
  check_destination(options.output, "-o");
}

// The cell in a .bscope file of its own, as a study of one cell, with the time series of this process.
class EvalStore {
 public:
  EvalStore(const std::string& path, const CellSpec& spec)
      : writer_(path, OpenMode::replace), session_(writer_.begin_session("eval")) {
    writer_.set_environment(session_, environment());
    StudySpec study;
    study.name = "eval";
    study.cells = {spec};
    study.frontier = false;
    const CellRecord cell{.key = cell_key(spec, 1), .spec_json = stored_cell(spec, 1).dump()};
    const std::int64_t id = writer_.add_study(study.name, to_json(study).dump());
    attempt_ = writer_.start_attempt(session_, writer_.add_cells(id, {&cell, 1}).front());
    recording_.emplace(virtual_sources(getpid()), SamplerOptions(), &writer_, session_);
  }
  void finish(const CellResult& result, std::vector<Phase> phases) {
    recording_->stop();
    const CellRecords records = to_records(result, std::move(phases));
    writer_.finish_attempt(attempt_, records.result, records.items, records.phases, records.ledger, records.devices,
                           records.requests);
    writer_.end_session(session_);
    if (const auto error = recording_->write_error()) throw Failure("{}", *error);
  }

 private:
  StoreWriter writer_;
  std::int64_t session_, attempt_ = 0;
  std::optional<Recording> recording_;  // last: it writes to the others until it ends
};

Nanoseconds load(Engine& engine, const CellSpec& spec, PhaseSink& phases) {
  const PhaseScope phase(&phases, "load", "engine", spec.placement.layout.to_string());
  return engine.load(spec.model, spec.placement);
}

CellResult load_and_run(Engine& engine, const CellSpec& spec, const PreparedTask& task, PhaseSink& phases) {
  CellResult result;
  try {
    const Nanoseconds load_time = load(engine, spec, phases);
    result = run_cell(engine, spec, task, &phases);
    result.load_time = load_time;
  } catch (...) {
    result = result_of_exception();
  }
  result.environment = environment_json();
  return result;
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

void eval(const EvalOptions& options) {
  const CellSpec spec = options.cell.cell();
  check_destinations(options);
  const PreparedTask task = prepare_task(spec);
  const auto engine = make_engine(spec.engine);
  std::unique_ptr<EvalStore> store;  // only now: bad input must not cost an earlier file
  if (!options.output.empty()) store = std::make_unique<EvalStore>(options.output, spec);

  PhaseList phases;
  MarkSink marked_phases(&phases);
  CellResult result;
  try {
    result = load_and_run(*engine, spec, task, marked_phases);
  } catch (const InputError& error) {
    result.reason = error.what();
    if (store) store->finish(result, phases.take());  // the file tells it too
    throw;
  }
  const nlohmann::json json = to_json(result);
  std::optional<Failure> unwritten;  // the result goes where else it is to go, and then the error
  try {
    if (store) store->finish(result, phases.take());
  } catch (const Failure& failure) {
    unwritten = failure;
  }
  if (!options.items.empty()) write_output(options.items, items_text(result));
  if (!options.json.empty())
    write_output(options.json, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  if (options.json != "-" && options.items != "-") print(cell_text(json, stdout_has_colour()));
  if (result.status == CellStatus::truncated) warn("TRUNCATED: " + result.reason);
  if (unwritten) throw *unwritten;
  if (const ExitCode code = exit_code(result.status); code != ExitCode::ok) throw Error(code, result.reason);
}

}  // namespace

void add_eval(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand("eval", "score a task or generate: time, accuracy, latency, traffic, memory");
  options->cell.add_all(*command);
  command->add_option("--json", options->json, "the result as one JSON object; - is standard output")
      ->type_name("FILE");
  command->add_option("--items", options->items, "each question's or request's result, one JSON object a line")
      ->type_name("FILE.jsonl");
  command->add_option("-o,--output", options->output, "everything, with time series, as a .bscope file")
      ->type_name("FILE.bscope");
  command->footer(
      "Exit codes: 0 ok (truncated too, when asked for), 2 bad input, 3 out of memory,\n"
      "4 failed, 5 timed out.\n"
      "Examples:\n"
      "  batchscope eval --device cpu:2 --parallel tp2 --fusion on --batch 16 --json -\n"
      "  batchscope eval --prompt-tokens 32 --output-tokens 16 --arrival-rate 20 --batch 8");
  command->callback([options, &exit_code] {
    eval(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
