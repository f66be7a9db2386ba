// Whether a cell's answers depart from a reference's by more than rounding explains, item after item, at a stated rate of
// false alarms. An engine may give wrong answers without an error and with every token processed; comparing its first
// items shows it.
//
// Of item i with choices c the reference has log-likelihoods a_c, the cell b_c. Rounding moves a sum of log-probabilities
// by little where tokens are nearly certain and by some constant a token where they are not, so the allowance is
//   s_c = tolerance * sqrt(1 + |a_c|),
// a standard deviation that rounding stays within. That gives a p-value, Bonferroni's over the choices:
//   p_i = min(1, choices * max_c P(|N(0, 1)| > |b_c - a_c| / s_c)).
// It is made a bet against "rounding explains it" whose mean is then 1 at most (a calibrator, Vovk & Wang, E-values:
// calibration, combination and applications, Annals of Statistics 2021): e_i = min(1000, p_i^(-1/2) / 2). A tenth of the
// capital is bet on each item: capital_i = capital_(i-1) * (1 + (e_i - 1) / 10), from 1. By Ville's inequality (1939) it
// reaches 1 / alarm_rate with probability alarm_rate at most, however many items are looked at. The bound of 1000 makes
// two items the least that can raise the alarm: one odd item is no departure. An answer that changes where the reference
// had a wide margin needs a difference as wide, and so counts as much.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace batchscope {

constexpr double sentinel_alarm_rate = 0.001;  // of alarms where rounding explains all
constexpr std::int64_t default_sentinel_items = 32;

struct SentinelItem {
  std::vector<double> reference, here;  // log-likelihoods of the choices, in nats; equally many
};

struct SentinelVerdict {
  std::int64_t items = 0;    // compared
  std::int64_t changed = 0;  // another choice is the most likely one
  double widest_change = 0;  // of these, by how much the reference preferred its own; nats
  double largest_difference = 0, typical_difference = 0;  // of log-likelihoods, nats; typical: the median
  double tolerance = 0;                                   // as given
  double evidence = 1;                                    // the largest capital: how often so much is seen by chance is
                                                          // less than 1 / evidence
  std::optional<std::int64_t> alarm_at;                   // the item, from 1, at which it reached 1 / sentinel_alarm_rate
  bool departs() const { return alarm_at.has_value(); }
};

// Log-likelihoods that are not finite depart.
SentinelVerdict watch(std::span<const SentinelItem> items, double tolerance);

}  // namespace batchscope
