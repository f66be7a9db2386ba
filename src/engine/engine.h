// The engine as everything above sees it: load a model, score requests, generate. Ours is the first implementation;
// others, by command or over HTTP, come behind the same interface.
#pragma once

#include <cstdint>
#include <functional>
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
  std::optional<int> threads;  // of a CPU's worker
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

// How the next token is chosen: the most probable one at temperature 0; else drawn from softmax(logits / temperature),
// cut to the most probable tokens that together have `top_p` (nucleus sampling: Holtzman et al. 2020).
struct Sampling {
  double temperature = 0;
  double top_p = 1;
  std::uint64_t seed = 0;  // equal seeds draw equal tokens, whatever the layout
};

struct GenerateRequest {
  std::vector<std::int32_t> prompt;  // at least one token
  std::int64_t new_tokens = 0;       // at most
  Nanoseconds arrival{0};            // since the begin of the run; not served earlier
  bool stop_at_eos = true;           // false: new_tokens are generated, whatever they are
  Sampling sampling = {};
};

// What became of a request; instants since the begin of the run.
struct GeneratedSequence {
  std::vector<std::int32_t> tokens;  // generated, without the prompt
  Nanoseconds arrival{0}, admitted{0}, first_token{0}, end{0};
};

struct GenerateReport {
  std::vector<GeneratedSequence> sequences;  // one a request, in the order of the requests
  TokenCounts tokens;                        // requested: prompts and what was generated, less the last of each
  std::int64_t steps = 0;                    // passes through the model
  std::vector<Nanoseconds> step_times;
  Nanoseconds time{0};
  std::vector<DeviceReport> devices;
  std::vector<LedgerEntry> ledger;
};

// Called with each token as soon as it is known, in the order of generation; from one thread at a time.
using TokenSink = std::function<void(std::size_t request, std::int32_t token)>;

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
  // Serves the requests as they arrive, at most `settings.batch` of a replica at a time (continuous batching: Yu et al.
  // 2022). The clock starts after a warm-up.
  virtual GenerateReport generate(std::span<const GenerateRequest> requests, const RunSettings& settings,
                                  PhaseSink* phases, const TokenSink& on_token) = 0;
};

// The engine of that name ("batchscope" is ours); InputError for an unknown one.
std::unique_ptr<Engine> make_engine(std::string_view name);

}  // namespace batchscope
