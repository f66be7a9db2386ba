// The engine as everything above sees it: load a model, score requests, generate. Ours is the first implementation;
// others, by command or over HTTP, come behind the same interface.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/phase.h"
#include "comm/ledger.h"
#include "engine/settings.h"
#include "model/model.h"
#include "tensor/memory.h"

namespace batchscope {

// One sequence whose last tokens are scored: log-likelihood of the last `scored` tokens given all before them.
struct ScoreRequest {
  std::int64_t group = 0;            // requests of one question; packing may keep them together
  std::vector<std::int32_t> tokens;  // the whole sequence; the model reads all but the last
  std::int64_t scored = 0;           // 1 <= scored < tokens.size()
};

struct TokenCounts {
  std::int64_t requested = 0;  // model inputs that the task asks for: one less than each sequence's length
  std::int64_t truncated = 0;  // of those, cut away before the model saw them
  std::int64_t computed = 0;   // real tokens that went through the model
  std::int64_t padding = 0;    // tokens computed on top, only to fill batches
};

// What one device did during a run.
struct DeviceReport {
  std::string name;  // "cpu:0"
  bool is_virtual = true;
  MemoryReport memory;
  std::vector<LinkReport> links;
  // Shares of the run's wall time; absent where not measured.
  struct Busy {
    double compute = 0, communicate = 0, idle = 0;
  };
  std::optional<Busy> busy;
  std::optional<double> energy_joule;
};

struct ScoreReport {
  std::vector<double> log_likelihoods;  // one a request, in the order of the requests
  TokenCounts tokens;
  std::int64_t batches = 0;
  std::vector<Nanoseconds> batch_times;
  Nanoseconds time{0};  // wall clock of scoring, after warm-up
  std::vector<DeviceReport> devices;
  std::vector<LedgerEntry> ledger;  // collectives by kind and phase, all ranks
};

struct GenerateRequest {
  std::vector<std::int32_t> prompt;
  std::int64_t new_tokens = 0;
};

struct GenerateReport {
  std::vector<std::vector<std::int32_t>> tokens;  // prompt and what was generated, one a request
  Nanoseconds time_to_first_token{0};
  Nanoseconds time{0};
  std::vector<DeviceReport> devices;
};

// What an engine can do; asked before a study is started.
struct Capabilities {
  std::vector<std::string> layouts;  // strategies: "mp", "pp", "tp", "dp"
  std::vector<std::string> fusions;
  std::vector<std::string> packings;
  std::vector<std::string> dtypes;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string describe() const = 0;  // name and version, an axis of every cell
  virtual Capabilities capabilities() const = 0;
  // Loads the model once for all runs with the same placement; OutOfMemory when the weights do not fit.
  virtual Nanoseconds load(const ModelSource& model, const Placement& placement) = 0;
  // Settings that may change between runs of one loaded model.
  virtual ScoreReport score(std::span<const ScoreRequest> requests, const RunSettings& settings, PhaseSink* phases) = 0;
  virtual GenerateReport generate(std::span<const GenerateRequest> requests, const RunSettings& settings,
                                  PhaseSink* phases) = 0;
};

// The engine of that name ("batchscope" is ours); InputError for an unknown one.
std::unique_ptr<Engine> make_engine(std::string_view name);

}  // namespace batchscope
