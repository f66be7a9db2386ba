// Cumulative counters as they are stored: unwrapped, never going back; an increase that nobody can know is left out and
// said to be so.
#pragma once

#include <cstdint>
#include <optional>

#include "telemetry/counter.h"

namespace batchscope {

class Unwrapper {
 public:
  explicit Unwrapper(const Counter& counter)
      : modulus_(counter.modulus), wrap_time_(counter.wrap_time), is_integer_(counter.is_integer) {}

  struct Step {
    Reading value;                  // unwrapped
    const char* unknown = nullptr;  // why the increase since `since` is not part of it; null: it is
    Nanoseconds since{0};           // the last reading before this one
  };
  // The next present reading. The time between two is measured from before the first to after the second. `is_exact`:
  // wraps are in the value already.
  Step next(const Reading& raw, Nanoseconds before, Nanoseconds after, bool is_exact = false);

 private:
  Step next_integer(std::int64_t raw, Nanoseconds after, bool is_exact);
  Step next_real(double raw) const;
  const char* unknown_over(Nanoseconds after) const;
  bool is_beyond_the_link(std::int64_t increase, Nanoseconds after) const;

  std::optional<std::int64_t> modulus_;
  std::optional<Nanoseconds> wrap_time_;
  bool is_integer_;
  bool first_ = true;
  Reading last_raw_, last_;
  Nanoseconds last_before_{0};
};

}  // namespace batchscope
