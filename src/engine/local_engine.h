// Our own engine: one rank a device, each in a thread of its own; all in this process, or each in its own process, of which
// all call the same and rank 0's has the results.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/phase_list.h"
#include "comm/world.h"
#include "engine/engine.h"
#include "engine/rank.h"
#include "engine/rank_result.h"
#include "engine/team.h"

namespace batchscope {

class LocalEngine : public Engine {
 public:
  // Requests arrive, and generations are timed, by this clock. `world`: of processes; null: ranks are threads.
  explicit LocalEngine(Clock& clock = monotonic_clock(), World* world = nullptr) : processes_(world), clock_(clock) {}

  std::string describe() const override;
  Capabilities capabilities() const override;
  Nanoseconds load(const ModelSource& model, const Placement& placement) override;
  ScoreReport score(std::span<const ScoreRequest> requests, const RunSettings& settings, PhaseSink* phases) override;
  GenerateReport generate(std::span<const GenerateRequest> requests, const RunSettings& settings, PhaseSink* phases,
                          const TokenSink& on_token) override;

  // What became of a step, on the first rank of each replica that is in this process; from one thread at a time.
  using StepSink = std::function<void(const GenerationStep& step, const StepOutput& output)>;
  // Serves what `source` gives until it has ended: the same steps as generate(), of requests that are not known beforehand.
  // A request has at most `sequence_tokens`, new ones included; prompts that are admitted together at most `prompt_tokens`,
  // or one of them has more. `on_ready` is called once, after the warm-up. InputError where replicas are in several
  // processes, of which only one has callers.
  void serve(RequestSource& source, std::int64_t sequence_tokens, std::int64_t prompt_tokens, const RunSettings& settings,
             PhaseSink* phases, const std::function<void()>& on_ready, const StepSink& on_step);

 private:
  void build_rank(int index, const WeightSource& weights);
  void prepare(const RunSettings& settings);
  struct RankSteps;
  void warm_up(const std::vector<Generation>& starts, const RunSettings& settings, PhaseSink* sink);
  void run_steps(Rank& rank, int index, const RankSteps& steps);
  // On those that are in this process; `rank` is of the layout. All processes have done it when it returns.
  void on_every_rank(const std::function<void(Rank& rank, int index)>& work);
  void begin_measuring();
  // One a rank, from all processes, at rank 0; elsewhere none. `results`: of the ranks that are here.
  std::vector<RankResult> gather(std::vector<RankResult> results, PhaseList& phases, PhaseSink* sink);
  // What `observe` sees on each rank of this process.
  std::vector<ObservedStep> observe(const std::function<std::vector<ObservedStep>(Rank& rank)>& observe);
  template <class Report>
  void take_devices(std::vector<RankResult>& results, Report& run) const;
  DeviceReport report(int index, Nanoseconds time);
  bool has_rank_0() const { return world_->first() == 0; }
  Rank& rank(int index) { return *ranks_[static_cast<std::size_t>(index - world_->first())]; }
  RankResult& of(std::vector<RankResult>& results, int index) const {
    return results[static_cast<std::size_t>(index - world_->first())];
  }

  World* processes_;
  Clock& clock_;
  ModelConfig config_;
  Placement placement_;
  LinkKind link_ = LinkKind::virtual_link;  // of the run
  // In the order of their dependence: threads end first.
  std::unique_ptr<World> threads_;
  World* world_ = nullptr;  // one of the two
  std::unique_ptr<DeviceSet> devices_;
  std::vector<std::unique_ptr<Rank>> ranks_;  // those that are here
  std::unique_ptr<Team> team_;
};

}  // namespace batchscope
