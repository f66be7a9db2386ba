// Ctrl-C, SIGTERM and a terminal that goes away. Without an InterruptFlag they end the program at once with code 130;
// while one lives the first of them only sets it, so that work underway can be put away, and the second ends the
// program.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace batchscope::cli {

void exit_on_interrupt();  // from main, once

// From here on a launcher may end this process because another one has failed, which is then said by who noticed it; of an
// interruption only one process `speaks`.
void is_one_of_several(bool speaks);
// Whether this process has been ending for so long because of a signal. The others, which got it too, end meanwhile.
bool is_interrupted_for(Nanoseconds time);

class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;
  const std::atomic<bool>& flag() const;
};

}  // namespace batchscope::cli
