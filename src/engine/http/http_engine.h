// Any server with the OpenAI API as an engine: `--engine http://localhost:8000/v1`. Questions are scored by the
// log-probabilities of prompts, if the server can; a probe finds out, and what fails it is refused with the reason.
// docs/engines.md says what is sent to which server.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "engine/http/continuation.h"
#include "engine/http/server_kind.h"
#include "model/tokenizer.h"

namespace batchscope {

class HttpEngine : public Engine {
 public:
  explicit HttpEngine(EngineSpec spec);
  ~HttpEngine() override;

  std::string describe() const override;
  Capabilities capabilities() const override;
  // The server has its model already: it is recognised, and its model found among those that it serves. The time is
  // that of all this.
  Nanoseconds load(const ModelSource& model, const Placement& placement) override;
  // `settings.batch` requests are in flight at a time; how the server batches them is its own business. The first time
  // it is probed before; InputError where it cannot score.
  ScoreReport score(std::span<const ScoreRequest> requests, const RunSettings& settings, PhaseSink* phases) override;
  // Likewise at most `settings.batch` at a time; the others wait for their turn, which is their queue.
  GenerateReport generate(std::span<const GenerateRequest> requests, const RunSettings& settings, PhaseSink* phases,
                          const TokenSink& on_token) override;

 private:
  void choose_model(const ModelSource& model);
  void probe();
  void warm_up(std::int64_t in_flight, PhaseSink* phases) const;
  struct Tally;

  EngineSpec spec_;
  Placement placement_;
  RecognisedServer server_;
  std::string model_;                     // by its name on the server; "": the server names none
  bool names_model_ = false;              // in describe(): the user has not named it
  std::unique_ptr<Tokenizer> tokenizer_;  // of --model's files; null: they are not here
  ScoringMethod method_;
  bool is_probed_ = false, salts_cache_ = false;
};

}  // namespace batchscope
