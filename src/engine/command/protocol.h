// What is said between batchscope and an engine that is a program: one JSON object a line (docs/engines.md).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace batchscope::engine_protocol {

inline constexpr std::int64_t version = 1;

// What is asked, without the end of the line.
std::string hello();
std::string load(const ModelSource& model, const Placement& placement);
std::string prepare(std::span<const ScoreRequest> requests, const RunSettings& settings);
std::string warm_up();
std::string score();

struct Hello {
  std::string name, version;
  Capabilities capabilities;
};

// Answers. InputError says what is wrong with one that is none; an answer that is an error is thrown: OutOfMemory where
// it says so, InputError of a bad request, else Failure.
bool is_progress(std::string_view line);  // a sign of life, no answer
Hello read_hello(std::string_view line);
void read_done(std::string_view line, std::string_view asked);  // of what gives nothing
// Log-likelihoods of exactly `requests` requests, and what else the engine tells; without the time.
ScoreReport read_scores(std::string_view line, std::size_t requests);

}  // namespace batchscope::engine_protocol
