// Ctrl-C, SIGTERM and a terminal that goes away. Without an InterruptFlag they end the program at once with code 130;
// while one lives the first of them only sets it, so that work underway can be put away, and the second ends the
// program.
#pragma once

#include <atomic>

namespace batchscope::cli {

void exit_on_interrupt();  // from main, once

class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;
  const std::atomic<bool>& flag() const;
};

}  // namespace batchscope::cli
