// Our own engine on virtual devices: one rank a device, each in its own thread of this process.
#pragma once

#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/rank.h"
#include "engine/team.h"

namespace batchscope {

class LocalEngine : public Engine {
 public:
  // Requests arrive, and generations are timed, by this clock.
  explicit LocalEngine(Clock& clock = monotonic_clock()) : clock_(clock) {}

  std::string describe() const override;
  Capabilities capabilities() const override;
  Nanoseconds load(const ModelSource& model, const Placement& placement) override;
  ScoreReport score(std::span<const ScoreRequest> requests, const RunSettings& settings, PhaseSink* phases) override;
  GenerateReport generate(std::span<const GenerateRequest> requests, const RunSettings& settings, PhaseSink* phases,
                          const TokenSink& on_token) override;

 private:
  // What the counters said before a run.
  struct Before {
    Nanoseconds cpu{0};
    std::int64_t tx_bytes = 0, rx_bytes = 0;
  };
  struct RankState {
    std::unique_ptr<HostPages> memory;
    std::unique_ptr<Rank> rank;
    Before before;
    Nanoseconds cpu{0};  // of the run
  };

  void build_rank(int index, const WeightSource& weights);
  void prepare(const RunSettings& settings);
  void on_every_rank(const std::function<void(RankState&)>& work);
  CurrentPhase& current_phase(const RankState& state);
  void begin_measuring(RankState& state);
  DeviceReport report(RankState& state, Nanoseconds time);
  std::vector<DeviceReport> report_devices(Nanoseconds time);
  std::vector<LedgerEntry> all_ledger_entries() const;

  Clock& clock_;
  ModelConfig config_;
  Placement placement_;
  // In the order of their dependence: threads end first.
  std::unique_ptr<VirtualDevicePage> page_;
  std::unique_ptr<Fabric> fabric_;
  std::vector<RankState> ranks_;
  std::unique_ptr<Team> team_;
};

}  // namespace batchscope
