// Joins steps into phases: a prefill each, decode steps until the next.
#include "engine/step_phases.h"

#include <fmt/format.h>

#include <algorithm>

namespace batchscope {
namespace {

std::string prefill_detail(const GenerationStep& step) {
  return fmt::format("{} prompts, {} tokens", step.requests.size(), step.batch.rows());
}

}  // namespace

void StepPhases::begin(const GenerationStep& step, Nanoseconds begin) {
  const std::size_t sequences = step.requests.size();
  if (step.is_prefill) {
    end_decode();
    current_.show("prefill", prefill_detail(step), begin);
  } else if (decode_steps_ == 0 || sequences != sequences_shown_) {
    current_.show("decode", fmt::format("{} sequences", sequences), decode_steps_ == 0 ? begin : decode_begin_);
    sequences_shown_ = sequences;
  }
}

void StepPhases::end(const GenerationStep& step, Nanoseconds begin, Nanoseconds end) {
  if (step.is_prefill) {
    if (sink_ != nullptr)
      sink_->record({.name = "prefill", .track = track_, .begin = begin, .end = end, .detail = prefill_detail(step)});
    return;
  }
  if (decode_steps_++ == 0) decode_begin_ = begin;
  decode_end_ = end;
  most_sequences_ = std::max(most_sequences_, step.requests.size());
}

void StepPhases::pause() {
  end_decode();
  current_.clear();
}

void StepPhases::end_decode() {
  if (sink_ != nullptr && decode_steps_ > 0)
    sink_->record({.name = "decode",
                   .track = track_,
                   .begin = decode_begin_,
                   .end = decode_end_,
                   .detail = fmt::format("{} steps, at most {} sequences", decode_steps_, most_sequences_)});
  decode_steps_ = most_sequences_ = 0;
}

}  // namespace batchscope
