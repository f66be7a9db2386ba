// Phases of steps (engine/step_phases.h).
#include "engine/step_phases.h"

#include <fmt/format.h>

#include <algorithm>

namespace batchscope {

void StepPhases::add(const GenerationStep& step, Nanoseconds begin, Nanoseconds end) {
  if (sink_ == nullptr) return;
  if (step.is_prefill) {
    end_decode();
    sink_->record({.name = "prefill",
                   .track = track_,
                   .begin = begin,
                   .end = end,
                   .detail = fmt::format("{} prompts, {} tokens", step.requests.size(), step.batch.rows())});
    return;
  }
  if (decode_steps_++ == 0) decode_begin_ = begin;
  decode_end_ = end;
  most_sequences_ = std::max(most_sequences_, step.requests.size());
}

void StepPhases::end_decode() {
  if (decode_steps_ == 0) return;
  sink_->record({.name = "decode",
                 .track = track_,
                 .begin = decode_begin_,
                 .end = decode_end_,
                 .detail = fmt::format("{} steps, at most {} sequences", decode_steps_, most_sequences_)});
  decode_steps_ = most_sequences_ = 0;
}

}  // namespace batchscope
