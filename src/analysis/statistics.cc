// Statistics of repeats and of paired answers (analysis/statistics.h).
#include "analysis/statistics.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/check.h"

namespace batchscope {

double student_t_tail(double t, double degrees_of_freedom) {
  CHECK_THAT(degrees_of_freedom > 0, "Student's t has more than {} degrees of freedom", degrees_of_freedom);
  return boost::math::cdf(complement(boost::math::students_t(degrees_of_freedom), t));
}

double student_t(double degrees_of_freedom) {
  return boost::math::quantile(complement(boost::math::students_t(degrees_of_freedom), 0.025));
}

MeanInterval mean_interval(std::span<const double> values) {
  CHECK_THAT(!values.empty(), "a mean needs a value");
  const auto n = static_cast<double>(values.size());
  MeanInterval result;
  for (const double value : values) result.mean += value / n;
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  const double half = student_t(n - 1) * std::sqrt(squares / (n - 1) / n);
  result.low = result.mean - half;
  result.high = result.mean + half;
  return result;
}

RatioInterval ratio_interval(std::span<const double> numerators, std::span<const double> denominators) {
  CHECK_EQUAL(numerators.size(), denominators.size(), "ratios are of pairs");
  std::vector<double> logarithms;
  for (std::size_t i = 0; i < numerators.size(); ++i) {
    CHECK_THAT(numerators[i] > 0 && denominators[i] > 0, "{} / {} has no logarithm", numerators[i], denominators[i]);
    logarithms.push_back(std::log(numerators[i] / denominators[i]));
  }
  const MeanInterval mean = mean_interval(logarithms);
  RatioInterval ratio{.ratio = std::exp(mean.mean), .low = {}, .high = {}, .pairs = std::ssize(logarithms)};
  if (mean.low) ratio.low = std::exp(*mean.low);
  if (mean.high) ratio.high = std::exp(*mean.high);
  return ratio;
}

std::vector<double> holm(std::span<const double> p, std::span<const double> weights) {
  const std::vector<double> alike(p.size(), 1);
  if (weights.empty()) weights = alike;
  CHECK_EQUAL(weights.size(), p.size(), "a test has a weight");
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return p[a] / weights[a] < p[b] / weights[b]; });
  std::vector<double> adjusted(p.size());
  double so_far = 0, remaining = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (const std::size_t test : order) {
    so_far = std::max(so_far, std::min(1.0, p[test] * remaining / weights[test]));
    adjusted[test] = so_far;
    remaining -= weights[test];
  }
  return adjusted;
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
