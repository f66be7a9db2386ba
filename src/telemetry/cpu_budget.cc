// Sharing out CPU time (telemetry/cpu_budget.h).
#include "telemetry/cpu_budget.h"

#include <algorithm>

namespace batchscope {
namespace {

double share_at(const ReadingCost& cost, Nanoseconds period) { return to_seconds(cost.cpu) / to_seconds(period); }

// What a source takes of a core when none may take more than `most`.
double capped(const ReadingCost& cost, double most) {
  return std::max(std::min(share_at(cost, cost.pace.wanted), most), share_at(cost, cost.pace.longest));
}

double sum_of(std::span<const ReadingCost> costs, double most) {
  double sum = 0;
  for (const ReadingCost& cost : costs) sum += capped(cost, most);
  return sum;
}

}  // namespace

double budget_left(double budget, Nanoseconds spent, Nanoseconds elapsed) {
  constexpr double reserve = 0.1, saved_again_within_s = 20, least = 0.5;
  const double overspent_s = std::max(0.0, to_seconds(spent) - budget * to_seconds(elapsed));
  return std::max(budget * (1 - reserve) - overspent_s / saved_again_within_s, budget * least);
}

std::vector<Nanoseconds> periods_within(double budget, std::span<const ReadingCost> costs) {
  constexpr double for_cheap_ones = 0.1;
  budget = std::max(budget, (1 + for_cheap_ones) * sum_of(costs, 0));
  double low = 0, high = std::max(sum_of(costs, 1e9), budget);
  if (sum_of(costs, high) > budget)
    for (int halving = 0; halving < 60; ++halving) {
      const double middle = (low + high) / 2;
      (sum_of(costs, middle) > budget ? high : low) = middle;
    }
  else
    low = high;
  std::vector<Nanoseconds> periods;
  for (const ReadingCost& cost : costs) {
    const double share = capped(cost, low);
    const Nanoseconds period = share > 0 ? from_seconds(to_seconds(cost.cpu) / share) : cost.pace.wanted;
    periods.push_back(std::clamp(period, cost.pace.wanted, std::max(cost.pace.wanted, cost.pace.longest)));
  }
  return periods;
}

}  // namespace batchscope
