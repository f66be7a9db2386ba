// The engine as everything above sees it: load a model, score requests, generate. Ours is one implementation; a program
// that speaks a protocol over pipes is another (engine/command/), a server with the OpenAI API the third (engine/http/).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/phase.h"
#include "engine/engine_spec.h"
#include "engine/report.h"
#include "engine/requests.h"
#include "engine/settings.h"
#include "model/model.h"

namespace batchscope {

// Called with each token as soon as it is known, in the order of generation; from one thread at a time.
using TokenSink = std::function<void(std::size_t request, std::int32_t token)>;

// What an engine can do, and which values it knows of the settings that it may leave aside. A value that stands for
// nothing special (one rank, no fusion, padded batches, f32) is any engine's.
struct Capabilities {
  std::vector<std::string> layouts{};  // strategies: "mp", "pp", "tp", "dp"
  std::vector<std::string> fusions{};
  std::vector<std::string> packings{};
  std::vector<std::string> dtypes{};
  bool plans = false;  // plan/ knows its memory and traffic: they are our forward pass's
  bool scores = true;
  bool generates = true;
};
// InputError where a cell sets what the engine named `engine` does not know.
void check(const Capabilities& capabilities, std::string_view engine, const Placement& placement,
           const RunSettings& settings);

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string describe() const = 0;  // name and version; a fact of every result
  // Known once a model is loaded; of ours, before.
  virtual Capabilities capabilities() const = 0;
  // Loads the model once for all runs with the same placement; OutOfMemory when the weights do not fit.
  virtual Nanoseconds load(const ModelSource& model, const Placement& placement) = 0;
  // Settings that may change between runs of one loaded model. Records a phase `timed_phase` (engine/report.h).
  virtual ScoreReport score(std::span<const ScoreRequest> requests, const RunSettings& settings, PhaseSink* phases) = 0;
  // Serves the requests as they arrive, at most `settings.batch` of a replica at a time (continuous batching: Yu et al.
  // 2022). The clock starts after a warm-up. Records a phase `timed_phase`.
  virtual GenerateReport generate(std::span<const GenerateRequest> requests, const RunSettings& settings,
                                  PhaseSink* phases, const TokenSink& on_token) = 0;
  // Processes, beside this one, that work for it.
  virtual std::vector<pid_t> processes() const { return {}; }
};

// The engine that `spec` names. Where there are processes, all make the same calls, and rank 0's has the results.
std::unique_ptr<Engine> make_engine(const EngineSpec& spec, World* processes = nullptr);

}  // namespace batchscope
