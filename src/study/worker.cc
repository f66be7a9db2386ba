// Runs cells in a process of its own (study/worker.h).
#include "study/worker.h"

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/json.h"
#include "study/cell.h"
#include "study/environment.h"
#include "study/phase_list.h"
#include "study/pipe.h"
#include "study/records.h"
#include "telemetry/marks/sink.h"

namespace batchscope {
namespace {

class Worker {
 public:
  Worker(int out, const EngineMaker& make) : out_(out), make_(make), environment_(environment_json()) {}

  bool answer(const std::string& line) {
    CellResult result;
    try {
      const nlohmann::json command = parse_json(line, "command");
      result = run(cell_spec_from_json(command.at("run")));
    } catch (const InputError& error) {  // of this cell only: the study goes on
      result.reason = error.what();
    } catch (...) {
      result = result_of_exception();
    }
    result.environment = environment_;
    const nlohmann::json records = {{"done", to_json(to_records(result, phases_.take()))}};
    return write_line(out_, records.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }

 private:
  CellResult run(const CellSpec& spec) {
    const PreparedTask& task = prepared(spec);
    if (!engine_ || loaded_ != spec.worker_key()) load(spec);
    write_line(out_, R"({"loaded":true})");
    CellResult result = run_cell(*engine_, spec, task, &marked_phases_);
    result.load_time = load_time_;
    return result;
  }

  void load(const CellSpec& spec) {
    engine_.reset();  // two models at a time may be more than there is room for
    auto engine = make_(spec.engine);
    const PhaseScope phase(&marked_phases_, "load", "worker", spec.placement.layout.to_string());
    load_time_ = engine->load(spec.model, spec.placement);
    engine_ = std::move(engine);
    loaded_ = spec.worker_key();
  }

  // Cells of one worker mostly share their task: tokenising all of it again for each would be waste.
  const PreparedTask& prepared(const CellSpec& spec) {
    if (const std::string key = task_key(spec); !task_ || task_of_ != key) {
      task_ = prepare_task(spec);
      task_of_ = key;
    } else {
      spec.placement.layout.check(task_->config);
    }
    return *task_;
  }

  int out_;
  const EngineMaker& make_;
  nlohmann::json environment_;
  PhaseList phases_;
  MarkSink marked_phases_{&phases_};
  std::unique_ptr<Engine> engine_;
  std::string loaded_;
  Nanoseconds load_time_{0};
  std::optional<PreparedTask> task_;
  std::string task_of_;
};

}  // namespace

void serve_worker(int in, int out, const EngineMaker& make) {
  Worker worker(out, make);
  LineReader commands(in);
  while (const auto line = commands.next_line())
    if (!worker.answer(*line)) return;
}

}  // namespace batchscope
