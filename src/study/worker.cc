// Runs cells in a process of its own (study/worker.h).
#include "study/worker.h"

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/json.h"
#include "comm/world.h"
#include "study/cell.h"
#include "study/environment.h"
#include "base/phase_list.h"
#include "base/phase_watch.h"
#include "study/pipe.h"
#include "study/records.h"
#include "telemetry/marks/sink.h"

namespace batchscope {
namespace {

class Worker {
 public:
  Worker(int out, const EngineMaker& make, World* world, const ReferenceMaker& make_reference)
      : out_(out), make_(make), make_reference_(make_reference), world_(world), environment_(environment_json()) {}

  bool answer(const std::string& line) {
    CellResult result;
    try {
      const nlohmann::json command = parse_json(line, "command");
      const CellSpec spec = cell_spec_from_json(command.at("run"));
      result = run(spec);
      if (speaks()) watch_answers(spec, command, result);
    } catch (const InputError& error) {  // of this cell only: the study goes on
      result.reason = error.what();
    } catch (...) {
      result = result_of_exception();
    }
    if (!speaks()) return true;
    result.environment = environment_;
    const nlohmann::json records = {{"done", to_json(to_records(result, phases_.take()))}};
    const bool read = write_line(out_, records.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return read || world_ != nullptr;  // where there are others, all end when the input does
  }

 private:
  bool speaks() const { return world_ == nullptr || world_->first() == 0; }

  CellResult run(const CellSpec& asked) {
    const CellSpec spec = placed(asked, world_);
    const auto prepare = [&] { prepare_for(spec); };
    world_ != nullptr ? world_->together(prepare) : prepare();
    if (!engine_ || loaded_ != asked.worker_key()) load(spec);
    loaded_ = asked.worker_key();
    if (speaks()) write_line(out_, R"({"loaded":true})");
    PhaseSink* const phases = speaks() ? &watched_phases_ : nullptr;
    CellResult result = run_cell(*engine_, spec, *task_, phases, world_);
    if (!spec.engine.is_server()) result.load_time = load_time_;  // whose model was there before
    return result;
  }

  // By the answers that the study sent, or some of our own, made once for cells that share them.
  void watch_answers(const CellSpec& spec, const nlohmann::json& command, CellResult& result) {
    if (result.items.empty()) return;
    if (const auto sent = command.find("reference"); sent != command.end() && sent->is_object())
      return watch(sentinel_reference_from_json(*sent), spec, result);
    if (!make_reference_) return;
    const std::string key = own_reference_key(spec);
    if (!reference_ || reference_of_ != key) {
      reference_ = make_reference_(spec);
      reference_of_ = key;
    }
    watch(*reference_, spec, result);
  }

  void load(const CellSpec& spec) {
    engine_.reset();  // two models at a time may be more than there is room for
    auto engine = make_(spec.engine);
    const PhaseScope phase(&marked_phases_, "load", "worker", spec.placement.layout.to_string());
    load_time_ = engine->load(spec.model, spec.placement);
    engine_ = std::move(engine);
  }

  // Cells of one worker mostly share their task: tokenising all of it again for each would be waste.
  void prepare_for(const CellSpec& spec) {
    if (const std::string key = task_key(spec); !task_ || task_of_ != key) {
      task_ = prepare_task(spec);
      task_of_ = key;
    } else {
      check_layout(spec, *task_);
    }
  }

  int out_;
  const EngineMaker& make_;
  const ReferenceMaker& make_reference_;
  World* world_;
  nlohmann::json environment_;
  PhaseList phases_;
  MarkSink marked_phases_{&phases_};
  PhaseWatch watched_phases_{marked_phases_, warm_up_phase, [this] { write_line(out_, R"({"warm":true})"); }};
  std::unique_ptr<Engine> engine_;
  std::string loaded_;
  Nanoseconds load_time_{0};
  std::optional<PreparedTask> task_;
  std::string task_of_;
  std::optional<SentinelReference> reference_;
  std::string reference_of_;
};

}  // namespace

void serve_worker(int in, int out, const EngineMaker& make, World* world, const ReferenceMaker& make_reference) {
  Worker worker(out, make, world, make_reference);
  LineReader commands(in);
  if (world == nullptr) {
    while (const auto line = commands.next_line())
      if (!worker.answer(*line)) return;
    return;
  }
  std::string told;  // "": there is no more
  do {
    world->together([&] {
      const bool has_pipes = world->first() == 0;
      told = world->all_ranks(world->first()).broadcast(has_pipes ? commands.next_line().value_or("") : "");
    });
  } while (!told.empty() && worker.answer(told));
}

}  // namespace batchscope
