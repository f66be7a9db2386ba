// The statistics behind a report: what repeats say of a mean, and whether two runs answered differently.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace batchscope {

struct MeanInterval {
  double mean = 0;
  std::optional<double> low, high;  // 95 %, Student's t; absent for a single value
};
MeanInterval mean_interval(std::span<const double> values);  // at least one value

// How many times as large one quantity is as another.
struct RatioInterval {
  double ratio = 1;                 // geometric mean
  std::optional<double> low, high;  // 95 %; absent for a single pair
  std::int64_t pairs = 0;
};
// Of numerators[i] / denominators[i], all greater than 0: Student's t of the logarithms. At least one pair.
RatioInterval ratio_interval(std::span<const double> numerators, std::span<const double> denominators);

// The share of Student's t that lies above `t`; degrees of freedom may have a fraction.
double student_t_tail(double t, double degrees_of_freedom);
// The 97.5 % quantile of Student's t.
double student_t(double degrees_of_freedom);

// Holm's adjustment for looking at many tests at once: what is below 5 % afterwards is found with at most 5 % risk that
// any finding at all is false, whatever the tests share. A test with a larger weight gets a larger share of that risk
// (all > 0; all alike when none are given).
std::vector<double> holm(std::span<const double> p, std::span<const double> weights = {});

// Two runs over the same items, item by item.
struct Paired {
  std::int64_t items = 0;
  std::int64_t changed = 0;  // another prediction, right or wrong
  std::int64_t lost = 0;     // right in the reference, wrong here
  std::int64_t gained = 0;   // wrong in the reference, right here
  double p = 1;              // McNemar, exact, mid-p: of such a difference, or a larger one, by chance
};

struct Answer {
  std::int64_t prediction = 0;
  bool right = false;
};
// Absent when the two are not of the same items.
std::optional<Paired> compare_answers(std::span<const Answer> reference, std::span<const Answer> answers);

// Two-sided mid-p of McNemar's test for `lost` against `gained`.
double mcnemar_mid_p(std::int64_t lost, std::int64_t gained);

}  // namespace batchscope
