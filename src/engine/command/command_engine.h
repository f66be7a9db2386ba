// Any program as an engine: `--engine "command:python3 my_engine.py"`. It reads and answers lines of JSON; what it is
// asked and may tell is in docs/engines.md. It gets texts, not tokens: its tokenizer is its own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/command/engine_process.h"
#include "engine/engine.h"

namespace batchscope {

class CommandEngine : public Engine {
 public:
  explicit CommandEngine(EngineSpec spec, const EngineLimits& limits = {});
  ~CommandEngine() override;

  std::string describe() const override;
  Capabilities capabilities() const override { return capabilities_; }
  // Starts the program anew; the time is that of its loading alone.
  Nanoseconds load(const ModelSource& model, const Placement& placement) override;
  // The time is from asking to the answer; tokenising and warm-up come before.
  ScoreReport score(std::span<const ScoreRequest> requests, const RunSettings& settings, PhaseSink* phases) override;
  // InputError: the protocol has no generation yet.
  GenerateReport generate(std::span<const GenerateRequest> requests, const RunSettings& settings, PhaseSink* phases,
                          const TokenSink& on_token) override;
  std::vector<pid_t> processes() const override;

 private:
  std::string ask(const std::string& line, std::string_view doing, Nanoseconds silence);

  EngineSpec spec_;
  EngineLimits limits_;
  std::unique_ptr<EngineProcess> process_;
  std::string name_;  // and version, once it has said so
  Capabilities capabilities_;
  Placement placement_;
};

}  // namespace batchscope
