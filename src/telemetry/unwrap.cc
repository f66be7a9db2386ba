// Unwrapping (telemetry/unwrap.h).
#include "telemetry/unwrap.h"

namespace batchscope {

const char* Unwrapper::unknown_over(Nanoseconds after) const {
  if (modulus_ && wrap_time_ && after - last_before_ >= *wrap_time_)
    return "longer between two readings than the counter may take to wrap";
  return nullptr;
}

Unwrapper::Step Unwrapper::next_integer(std::int64_t raw, Nanoseconds after, bool is_exact) {
  Step step{.value = last_, .unknown = is_exact ? nullptr : unknown_over(after), .since = last_before_};
  std::int64_t increase = 0;
  if (step.unknown == nullptr && __builtin_sub_overflow(raw, last_raw_.integer, &increase))
    step.unknown = "the counter jumped";
  if (step.unknown == nullptr && modulus_ && !is_exact) increase = (increase % *modulus_ + *modulus_) % *modulus_;
  if (step.unknown == nullptr && increase < 0) step.unknown = "the counter went back: it was reset";
  if (step.unknown == nullptr && __builtin_add_overflow(last_.integer, increase, &step.value.integer)) {
    step.value = last_;
    step.unknown = "the total is beyond what 64 bits hold";
  }
  return step;
}

Unwrapper::Step Unwrapper::next(const Reading& raw, Nanoseconds before, Nanoseconds after, bool is_exact) {
  Step step{.value = raw};
  if (first_) {
    first_ = false;
  } else if (is_integer_) {
    step = next_integer(raw.integer, after, is_exact);
  } else {
    step = {.value = last_, .since = last_before_};
    if (raw.real >= last_raw_.real)
      step.value.real += raw.real - last_raw_.real;
    else
      step.unknown = "the counter went back: it was reset";
  }
  last_raw_ = raw;
  last_ = step.value;
  last_before_ = before;
  return step;
}

}  // namespace batchscope
