// How much can have gone in a time, by a driver's own mean rates. A counter that wraps and could not be read for a
// while has not wrapped in it where less than its modulus went: then the increase is known after all.
#pragma once

#include <optional>
#include <vector>

#include "telemetry/counter.h"

namespace batchscope {

class RateBound {
 public:
  // Of a window counter that says how often it refreshes.
  explicit RateBound(const Counter& rate) : lag_(2 * rate.refresh.value_or(Nanoseconds(0))) {}

  // Its readings in order. A mean is of the time since the reading before; after an absent one nobody knows since when.
  void add(const Reading& rate, Nanoseconds when);
  // The most that can have gone within [begin, end], in the rate's unit times seconds. Absent: no readings enclose it.
  std::optional<double> most_within(Nanoseconds begin, Nanoseconds end) const;
  // Later readings will not change the answer.
  bool has_passed(Nanoseconds end) const { return !readings_.empty() && readings_.back().when >= end + lag_; }

 private:
  struct MeanRate {
    Nanoseconds when{0};
    double rate = 0;  // since the reading before, which of the first we did not see
  };
  // A GPU's samples (GPM) show what was one to two refresh periods before they were taken (measured on H200).
  Nanoseconds lag_;
  std::vector<MeanRate> readings_;  // the newest few
};

}  // namespace batchscope
