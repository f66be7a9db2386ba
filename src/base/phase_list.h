// Keeps phases in memory until someone takes them.
#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "base/phase.h"

namespace batchscope {

class PhaseList : public PhaseSink {
 public:
  void record(Phase phase) override {
    const std::lock_guard lock(mutex_);
    phases_.push_back(std::move(phase));
  }
  std::vector<Phase> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(phases_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<Phase> phases_;
};

}  // namespace batchscope
