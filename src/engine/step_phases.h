// The phases of a generation on one device: one for each prefill, one for each uninterrupted run of decode steps.
#pragma once

#include <cstddef>
#include <string>

#include "base/phase.h"
#include "engine/generation.h"

namespace batchscope {

class StepPhases {
 public:
  // A null sink records nothing.
  StepPhases(PhaseSink* sink, std::string track) : sink_(sink), track_(std::move(track)) {}
  ~StepPhases() { end_decode(); }
  StepPhases(const StepPhases&) = delete;
  StepPhases& operator=(const StepPhases&) = delete;

  void add(const GenerationStep& step, Nanoseconds begin, Nanoseconds end);

 private:
  void end_decode();

  PhaseSink* sink_;
  std::string track_;
  std::size_t decode_steps_ = 0, most_sequences_ = 0;  // of the run of decode steps underway
  Nanoseconds decode_begin_{0}, decode_end_{0};
};

}  // namespace batchscope
