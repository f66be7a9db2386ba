// What kernels and collectives take on this machine: the engine's own ranks run a few steps of a task on real devices, with
// random weights, in well under a second, while each operation is timed.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "analysis/performance_model.h"
#include "engine/engine.h"

namespace batchscope {

// Requests that are scored together, or generated for together.
struct ScoreSample {
  std::vector<ScoreRequest> requests;
};
struct GenerateSample {
  std::vector<GenerateRequest> requests;
};

// What is to be measured: a model cut over devices, and steps of several sizes. Batch and memory limit of `settings` do
// not count.
struct RateQuestion {
  ModelConfig config;
  Placement placement;
  RunSettings settings;
  std::vector<ScoreSample> scored;       // one or the other
  std::vector<GenerateSample> generated;
};

class RateSource {
 public:
  virtual ~RateSource() = default;
  // Steps as they ran; none where such devices are not here, or cannot do it.
  virtual std::vector<TimedStep> measure(const RateQuestion& question) = 0;
};

// On this machine. A model that is large is made smaller, first by its layers, and long sequences are cut, so that it
// stays quick; what the model of performance makes of that is for it to say.
class MeasuredRates : public RateSource {
 public:
  explicit MeasuredRates(Nanoseconds budget = std::chrono::milliseconds(600)) : budget_(budget) {}
  std::vector<TimedStep> measure(const RateQuestion& question) override;

 private:
  Nanoseconds budget_;  // of a question
};

// The same model with so few parameters on all devices together; every rank still has a part.
ModelConfig shrunk(ModelConfig config, const Layout& layout, std::int64_t most_parameters);

}  // namespace batchscope
