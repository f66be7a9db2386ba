// An engine by its protocol (engine/command/command_engine.h).
#include "engine/command/command_engine.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/phase_watch.h"
#include "engine/command/protocol.h"

namespace batchscope {

namespace protocol = engine_protocol;

CommandEngine::CommandEngine(EngineSpec spec, const EngineLimits& limits) : spec_(std::move(spec)), limits_(limits) {}

CommandEngine::~CommandEngine() = default;

std::string CommandEngine::describe() const { return name_.empty() ? label(spec_) : name_; }

std::vector<pid_t> CommandEngine::processes() const {
  return process_ ? std::vector<pid_t>{process_->pid()} : std::vector<pid_t>();
}

std::string CommandEngine::ask(const std::string& line, std::string_view doing, Nanoseconds silence) {
  if (!process_) throw Failure("the engine {} has no model loaded", describe());
  std::string answer = process_->ask(line, doing, silence);
  while (protocol::is_progress(answer)) answer = process_->next_answer(doing, silence);
  return answer;
}

namespace {

// What makes no sense is the engine's fault, not the user's input's; what the engine itself calls bad input is.
template <class Read>
auto understood(EngineProcess& process, const Read& read) {
  try {
    return read();
  } catch (const InputError& error) {
    if (std::string_view(error.what()).starts_with("the engine: ")) throw;
    process.fail(error.what());
  }
}

}  // namespace

Nanoseconds CommandEngine::load(const ModelSource& model, const Placement& placement) {
  if (!model.random_shape.empty())
    throw InputError("--random-weights: they are drawn by batchscope for its own engine; give the engine {} a --model",
                     label(spec_));
  process_.reset();  // two models at a time may be more than there is room for
  process_ = std::make_unique<EngineProcess>(split_command(spec_.command, "--engine"), limits_);
  const std::string greeting = ask(protocol::hello(), "starting", limits_.start);
  const protocol::Hello hello = understood(*process_, [&] { return protocol::read_hello(greeting); });
  name_ = hello.version.empty() ? hello.name : hello.name + " " + hello.version;
  capabilities_ = hello.capabilities;
  placement_ = placement;
  check(capabilities_, name_, placement, {});
  ModelSource source = model;
  if (source.path.empty()) source.path = embedded_file("models/tiny").string();
  const Nanoseconds begin = monotonic_clock().now();
  const std::string answer = ask(protocol::load(source, placement), "loading", limits_.silence);
  const Nanoseconds time = monotonic_clock().now() - begin;
  understood(*process_, [&] { protocol::read_done(answer, "load"); });
  if (!process_->noise().empty())
    spdlog::warn("--engine {}: it prints to standard output, where answers go; passed over: {}", label(spec_),
                 quote(process_->noise()));
  return time;
}

ScoreReport CommandEngine::score(std::span<const ScoreRequest> requests, const RunSettings& settings,
                                 PhaseSink* phases) {
  check(capabilities_, describe(), placement_, settings);
  for (const ScoreRequest& request : requests)
    if (request.continuation.empty())
      throw InputError("--engine {}: it takes text, and a question of this task is only lengths of tokens",
                       label(spec_));
  const auto done = [&](const std::string& line, const char* doing, const char* asked) {
    const std::string answer = ask(line, doing, limits_.silence);
    understood(*process_, [&] { protocol::read_done(answer, asked); });
  };
  done(protocol::prepare(requests, settings), "preparing", "prepare");
  {
    const PhaseScope phase(phases, warm_up_phase, "engine");
    done(protocol::warm_up(), "warming up", "warm_up");
  }
  const std::string line = protocol::score();
  const Nanoseconds begin = monotonic_clock().now();
  const std::string answer = ask(line, "scoring", limits_.silence);
  const Nanoseconds end = monotonic_clock().now();
  ScoreReport report = understood(*process_, [&] { return protocol::read_scores(answer, requests.size()); });
  report.time = end - begin;
  if (phases != nullptr) phases->record({.name = timed_phase, .track = "engine", .begin = begin, .end = end});
  return report;
}

GenerateReport CommandEngine::generate(std::span<const GenerateRequest>, const RunSettings&, PhaseSink*,
                                       const TokenSink&) {
  throw InputError("--engine {}: it scores questions and does not generate; leave out --prompt-tokens, --trace and their "
                   "like",
                   label(spec_));
}

}  // namespace batchscope
