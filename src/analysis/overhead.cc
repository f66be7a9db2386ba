// Interleaved runs and what they say (analysis/overhead.h).
#include "analysis/overhead.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "base/check.h"

namespace batchscope {
namespace {

// A share of 0.00123 with as many digits as it is worth: "0.1 %", "0.04 %".
std::string percent(double share) {
  const double value = 100 * std::max(share, 0.0);
  return fmt::format("{:.{}f} %", value, value < 0.1 ? 2 : 1);
}

// The same on every machine, which std::shuffle does not promise.
void shuffle(std::vector<Arm>& arms, std::mt19937_64& random) {
  for (std::size_t i = arms.size(); i > 1; --i) std::swap(arms[i - 1], arms[random() % i]);
}

}  // namespace

Overhead measure_overhead(const OverheadPlan& plan, const MeasureArm& measure) {
  CHECK_THAT(plan.pairs > 0, "{} pairs of runs say nothing", plan.pairs);
  Overhead overhead;
  std::vector<Arm> arms{Arm::without, Arm::profiler};
  if (plan.has_compare) arms.push_back(Arm::compare);
  for (const Arm arm : arms)
    if (arm != Arm::without) overhead.arms.push_back({.arm = arm});
  measure(Arm::without);
  std::mt19937_64 random(plan.seed);
  for (std::int64_t pair = 0; pair < plan.pairs; ++pair) {
    shuffle(arms, random);
    for (const Arm arm : arms) {
      const double value = measure(arm);
      const auto of_arm = std::find_if(overhead.arms.begin(), overhead.arms.end(),
                                       [&](const Slowdown& slowdown) { return slowdown.arm == arm; });
      (arm == Arm::without ? overhead.without : of_arm->values).push_back(value);
    }
  }
  for (Slowdown& slowdown : overhead.arms)
    slowdown.ratio = plan.higher_is_better ? ratio_interval(overhead.without, slowdown.values)
                                           : ratio_interval(slowdown.values, overhead.without);
  return overhead;
}

std::string verdict(const RatioInterval& ratio) {
  if (!ratio.low || !ratio.high) return "one pair has no interval; give --pairs 2 or more";
  if (*ratio.low > 1)
    return fmt::format("slower by {} ({} to {})", percent(ratio.ratio - 1), percent(*ratio.low - 1),
                       percent(*ratio.high - 1));
  if (*ratio.high < 1)
    return fmt::format("not slower but faster, by {} ({} to {}): something else differed between the runs",
                       percent(1 - ratio.ratio), percent(1 - *ratio.high), percent(1 - *ratio.low));
  return fmt::format("no slowdown seen; anything above {} would have been", percent(*ratio.high - 1));
}

}  // namespace batchscope
