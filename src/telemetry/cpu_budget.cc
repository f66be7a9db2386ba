// Sharing out CPU time (telemetry/cpu_budget.h).
#include "telemetry/cpu_budget.h"

#include <algorithm>

#include "base/cpus.h"
#include "base/units.h"

namespace batchscope {
namespace {

double share_at(Nanoseconds cpu, Nanoseconds period) { return to_seconds(cpu) / to_seconds(period); }

// What a source takes of a core: as wanted, and when it is read as rarely as it may be.
struct Shares {
  double wanted = 0, least = 0;
  double capped(double most) const { return std::max(std::min(wanted, most), least); }
};

double sum_of(std::span<const Shares> shares, double most) {
  double sum = 0;
  for (const Shares& one : shares) sum += one.capped(most);
  return sum;
}

Nanoseconds longest_period(const Pace& pace, bool keeps_curves) {
  const Nanoseconds longest = keeps_curves && pace.curve ? std::min(*pace.curve, pace.longest) : pace.longest;
  return std::max(pace.wanted, longest);
}

}  // namespace

CpuBudget default_cpu_budget() {
  constexpr double share = 0.005, least = 0.05;
  return {.cores = std::max(share * usable_cpus(), least), .keeps_curves = true};
}

CpuBudget parse_cpu_budget(std::string_view text, std::string_view what) { return {.cores = parse_share(text, what)}; }

double budget_left(double budget, Nanoseconds spent, Nanoseconds elapsed) {
  constexpr double reserve = 0.1, saved_again_within_s = 20, least = 0.5;
  const double overspent_s = std::max(0.0, to_seconds(spent) - budget * to_seconds(elapsed));
  return std::max(budget * (1 - reserve) - overspent_s / saved_again_within_s, budget * least);
}

std::vector<Nanoseconds> periods_within(const CpuBudget& budget, std::span<const ReadingCost> costs) {
  constexpr double for_cheap_ones = 0.1;
  std::vector<Shares> shares;
  for (const ReadingCost& cost : costs)
    shares.push_back({.wanted = share_at(cost.cpu, cost.pace.wanted),
                      .least = share_at(cost.cpu, longest_period(cost.pace, budget.keeps_curves))});
  const double allowed = std::max(budget.cores, (1 + for_cheap_ones) * sum_of(shares, 0));
  double low = 0, high = std::max(sum_of(shares, 1e9), allowed);
  if (sum_of(shares, high) > allowed)
    for (int halving = 0; halving < 60; ++halving) {
      const double middle = (low + high) / 2;
      (sum_of(shares, middle) > allowed ? high : low) = middle;
    }
  else
    low = high;
  std::vector<Nanoseconds> periods;
  for (std::size_t i = 0; i < costs.size(); ++i) {
    const Pace& pace = costs[i].pace;
    const double share = shares[i].capped(low);
    const Nanoseconds period = share > 0 ? from_seconds(to_seconds(costs[i].cpu) / share) : pace.wanted;
    periods.push_back(std::clamp(period, pace.wanted, longest_period(pace, budget.keeps_curves)));
  }
  return periods;
}

}  // namespace batchscope
