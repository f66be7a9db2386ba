// Unwrapping (telemetry/unwrap.h).
#include "telemetry/unwrap.h"

#include <utility>

namespace batchscope {

// A counter that started anew, by a reset of the GPU or another driver, looks as if it had wrapped; but no more can
// have been counted than at the highest rate.
bool Unwrapper::is_beyond_the_link(std::int64_t increase, Nanoseconds after) const {
  if (!modulus_ || !wrap_time_) return false;
  return static_cast<double>(increase) >
         static_cast<double>(*modulus_) * to_seconds(after - last_before_) / to_seconds(*wrap_time_);
}

const char* Unwrapper::unknown_over(Nanoseconds after) const {
  if (modulus_ && wrap_time_ && after - last_before_ >= *wrap_time_)
    return "two readings lie further apart than the counter may take to wrap";
  return nullptr;
}

Unwrapper::Step Unwrapper::next_integer(std::int64_t raw, Nanoseconds after, bool is_exact) {
  Step step{.value = last_, .unknown = is_exact ? nullptr : unknown_over(after), .since = last_before_};
  std::int64_t increase = 0;
  if (step.unknown == nullptr && __builtin_sub_overflow(raw, last_raw_.integer, &increase))
    step.unknown = "the counter jumped";
  if (step.unknown == nullptr && modulus_ && !is_exact) increase = (increase % *modulus_ + *modulus_) % *modulus_;
  if (step.unknown == nullptr && (increase < 0 || (!is_exact && is_beyond_the_link(increase, after))))
    step.unknown = counter_went_back;
  if (step.unknown == nullptr && __builtin_add_overflow(last_.integer, increase, &step.value.integer)) {
    step.value = last_;
    step.unknown = "the total is beyond what 64 bits hold";
  }
  return step;
}

Unwrapper::Step Unwrapper::next_real(double raw) const {
  Step step{.value = last_, .since = last_before_};
  if (raw >= last_raw_.real)
    step.value.real += raw - last_raw_.real;
  else
    step.unknown = counter_went_back;
  return step;
}

Unwrapper::Step Unwrapper::next(const Reading& raw, Nanoseconds before, Nanoseconds after, bool is_exact) {
  Step step{.value = raw};
  if (!std::exchange(first_, false)) {
    step = is_integer_ ? next_integer(raw.integer, after, is_exact) : next_real(raw.real);
    if (step.unknown == nullptr) step.unknown = raw.lost;
  }
  last_raw_ = raw;
  last_ = step.value;
  last_before_ = before;
  return step;
}

}  // namespace batchscope
