// Tells somebody when a phase of a certain name has ended, and hands all phases on.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/phase.h"

namespace batchscope {

// An engine's phase that ends just before what is timed begins.
inline constexpr const char* warm_up_phase = "warm-up";

class PhaseWatch : public PhaseSink {
 public:
  // `tell` is called from the thread that ends the phase, once for each.
  PhaseWatch(PhaseSink& next, std::string name, std::function<void()> tell)
      : next_(next), name_(std::move(name)), tell_(std::move(tell)) {}
  void record(Phase phase) override {
    if (phase.name == name_) tell_();
    next_.record(std::move(phase));
  }

 private:
  PhaseSink& next_;
  std::string name_;
  std::function<void()> tell_;
};

}  // namespace batchscope
