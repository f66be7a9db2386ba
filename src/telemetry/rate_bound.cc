// What rates allow (telemetry/rate_bound.h).
#include "telemetry/rate_bound.h"

namespace batchscope {
namespace {

constexpr std::size_t readings_kept = 64;  // some seconds
constexpr double most_gain = 1.1;          // rates and counters agree to a few percent

}  // namespace

void RateBound::add(const Reading& rate, Nanoseconds when) {
  if (rate.absent != nullptr) {
    readings_.clear();  // the next mean is since an instant that we did not see
    return;
  }
  if (readings_.size() == readings_kept) readings_.erase(readings_.begin());
  readings_.push_back({when, rate.real});
}

std::optional<double> RateBound::most_within(Nanoseconds begin, Nanoseconds end) const {
  if (!has_passed(end) || readings_.front().when > begin) return std::nullopt;
  double most = 0;
  for (std::size_t i = 1; i < readings_.size(); ++i) {
    const Nanoseconds from = readings_[i - 1].when, to = readings_[i].when;
    if (to <= begin) continue;
    most += readings_[i].rate * most_gain * to_seconds(to - from + lag_);
    if (to >= end + lag_) break;
  }
  return most;
}

}  // namespace batchscope
