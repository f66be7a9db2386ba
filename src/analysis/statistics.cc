// Statistics of repeats and of paired answers (analysis/statistics.h).
#include "analysis/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace batchscope {

double student_t(std::int64_t degrees_of_freedom) {
  CHECK_THAT(degrees_of_freedom >= 1, "an interval needs two values or more, it has {} degrees of freedom",
             degrees_of_freedom);
  constexpr std::array table{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
  if (const auto row = static_cast<std::size_t>(degrees_of_freedom - 1); row < table.size()) return table[row];
  // Cornish and Fisher's expansion around the normal quantile: within 0.001 from 11 degrees on.
  const double z = 1.959964, n = static_cast<double>(degrees_of_freedom);
  const double z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
  return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n);
}

MeanInterval mean_interval(std::span<const double> values) {
  CHECK_THAT(!values.empty(), "a mean needs a value");
  const auto n = static_cast<double>(values.size());
  MeanInterval result;
  for (const double value : values) result.mean += value / n;
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  const double half = student_t(static_cast<std::int64_t>(values.size()) - 1) * std::sqrt(squares / (n - 1) / n);
  result.low = result.mean - half;
  result.high = result.mean + half;
  return result;
}

// Under no difference, each of the n items that changed sides went either way with probability 1/2.
double mcnemar_mid_p(std::int64_t lost, std::int64_t gained) {
  const std::int64_t n = lost + gained, least = std::min(lost, gained);
  if (n == 0) return 1;
  const auto probability = [&](std::int64_t k) {
    const auto x = static_cast<double>(k), total = static_cast<double>(n);
    return std::exp(std::lgamma(total + 1) - std::lgamma(x + 1) - std::lgamma(total - x + 1) -
                    total * std::numbers::ln2);
  };
  double tail = 0;
  for (std::int64_t k = 0; k < least; ++k) tail += probability(k);
  return std::min(1.0, 2 * tail + probability(least));
}

std::optional<Paired> compare_answers(std::span<const Answer> reference, std::span<const Answer> answers) {
  if (reference.size() != answers.size() || reference.empty()) return std::nullopt;
  Paired paired;
  paired.items = static_cast<std::int64_t>(answers.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    paired.changed += reference[i].prediction != answers[i].prediction ? 1 : 0;
    paired.lost += reference[i].right && !answers[i].right ? 1 : 0;
    paired.gained += !reference[i].right && answers[i].right ? 1 : 0;
  }
  paired.p = mcnemar_mid_p(paired.lost, paired.gained);
  return paired;
}

}  // namespace batchscope
