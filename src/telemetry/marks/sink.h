// Hands an engine's phases on, and writes them into the recording that runs around this program, if one does.
#pragma once

#include "base/phase.h"

namespace batchscope {

class MarkSink : public PhaseSink {
 public:
  explicit MarkSink(PhaseSink* next = nullptr) : next_(next) {}
  void record(Phase phase) override;

 private:
  PhaseSink* next_;
};

}  // namespace batchscope
