// A sequential test by betting (analysis/sentinel.h).
#include "analysis/sentinel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace batchscope {
namespace {

constexpr double largest_bet = 1000, share_of_capital = 0.1;

std::size_t best(const std::vector<double>& values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

// Of the largest difference, in the units of what rounding explains.
double p_value(const SentinelItem& item, double tolerance) {
  double farthest = 0;
  for (std::size_t c = 0; c < item.here.size(); ++c) {
    const double difference = std::abs(item.here[c] - item.reference[c]);
    if (!std::isfinite(difference)) return 0;
    farthest = std::max(farthest, difference / (tolerance * std::sqrt(1 + std::abs(item.reference[c]))));
  }
  return std::min(1.0, static_cast<double>(item.here.size()) * std::erfc(farthest / std::sqrt(2)));
}

double bet(double p) { return p > 0 ? std::min(largest_bet, 0.5 / std::sqrt(p)) : largest_bet; }

}  // namespace

SentinelVerdict watch(std::span<const SentinelItem> items, double tolerance) {
  CHECK_THAT(tolerance > 0, "rounding has a size, not {}", tolerance);
  SentinelVerdict verdict{.tolerance = tolerance};
  std::vector<double> differences;
  double capital = 1;
  for (const SentinelItem& item : items) {
    CHECK_EQUAL(item.here.size(), item.reference.size(), "both have the item's choices");
    CHECK_THAT(!item.here.empty(), "an item has choices");
    ++verdict.items;
    for (std::size_t c = 0; c < item.here.size(); ++c)
      if (const double difference = std::abs(item.here[c] - item.reference[c]); std::isfinite(difference))
        differences.push_back(difference);
    const std::size_t ours = best(item.here), theirs = best(item.reference);
    if (ours != theirs) {
      ++verdict.changed;
      verdict.widest_change = std::max(verdict.widest_change, item.reference[theirs] - item.reference[ours]);
    }
    capital *= 1 + share_of_capital * (bet(p_value(item, tolerance)) - 1);
    verdict.evidence = std::max(verdict.evidence, capital);
    if (!verdict.alarm_at && capital >= 1 / sentinel_alarm_rate) verdict.alarm_at = verdict.items;
    if (capital > 1e100) capital = 1e100;  // it is decided
  }
  if (differences.empty()) return verdict;
  const auto middle = differences.begin() + std::ssize(differences) / 2;
  std::nth_element(differences.begin(), middle, differences.end());
  verdict.typical_difference = *middle;
  verdict.largest_difference = *std::max_element(differences.begin(), differences.end());
  return verdict;
}

}  // namespace batchscope
