// The phases of a generation on one device: one for each prefill, one for each uninterrupted run of decode steps. Shown
// while they last, recorded once they have ended.
#pragma once

#include <cstddef>
#include <string>

#include "base/current_phase.h"
#include "base/phase.h"
#include "engine/generation.h"

namespace batchscope {

class StepPhases {
 public:
  // A null sink records nothing.
  StepPhases(PhaseSink* sink, std::string track, CurrentPhase& current)
      : sink_(sink), track_(std::move(track)), current_(current) {}
  ~StepPhases() { pause(); }
  StepPhases(const StepPhases&) = delete;
  StepPhases& operator=(const StepPhases&) = delete;

  void begin(const GenerationStep& step, Nanoseconds begin);
  void end(const GenerationStep& step, Nanoseconds begin, Nanoseconds end);
  // No step follows until a request arrives.
  void pause();

 private:
  void end_decode();

  PhaseSink* sink_;
  std::string track_;
  CurrentPhase& current_;
  // Of the run of decode steps underway:
  std::size_t decode_steps_ = 0, most_sequences_ = 0, sequences_shown_ = 0;
  Nanoseconds decode_begin_{0}, decode_end_{0};
};

}  // namespace batchscope
