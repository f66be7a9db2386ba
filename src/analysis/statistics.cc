// Statistics of repeats and of paired answers (analysis/statistics.h).
#include "analysis/statistics.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/check.h"

namespace batchscope {
namespace {

// The continued fraction of the incomplete beta function, by Lentz's method; converges fast for x < (a + 1) / (a + b +
// 2).
double beta_fraction(double x, double a, double b) {
  constexpr double tiny = 1e-300, precision = 1e-14;
  const auto away_from_zero = [](double value) { return std::abs(value) < tiny ? tiny : value; };
  double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), product = d;
  for (double m = 1; m < 20'000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    for (const double factor : {even, odd}) {
      d = 1 / away_from_zero(1 + factor * d);
      c = away_from_zero(1 + factor / c);
      product *= c * d;
    }
    if (std::abs(c * d - 1) < precision) break;
  }
  return product;
}

// Regularised: the distribution function of the beta distribution.
double incomplete_beta(double x, double a, double b) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(x, a, b) / a;
  return 1 - front * beta_fraction(1 - x, b, a) / b;
}

}  // namespace

double student_t_tail(double t, double degrees_of_freedom) {
  CHECK_THAT(degrees_of_freedom > 0, "Student's t has more than {} degrees of freedom", degrees_of_freedom);
  const double n = std::min(degrees_of_freedom, 1e6);  // beyond, it is the normal distribution
  const double half = incomplete_beta(n / (n + t * t), n / 2, 0.5) / 2;
  return t >= 0 ? half : 1 - half;
}

double student_t(double degrees_of_freedom) {
  double low = 0, high = 1;
  while (student_t_tail(high, degrees_of_freedom) > 0.025) high *= 2;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (student_t_tail(middle, degrees_of_freedom) > 0.025 ? low : high) = middle;
  }
  return high;
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
