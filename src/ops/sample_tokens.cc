// Drawing tokens: the choice itself; shapes, cost, dispatch.
#include "ops/sample_tokens.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace batchscope {
namespace {

std::int32_t largest_of(std::span<const float> logits) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < logits.size(); ++i)
    if (logits[i] > logits[best]) best = i;
  return static_cast<std::int32_t>(best);
}

// exp((logit - largest) / temperature), 0 where that is no number. Not by row_exp, which never is 0.
std::vector<float> weights_of(std::span<const float> logits, float largest, double temperature) {
  std::vector<float> weights(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double exponent = (static_cast<double>(logits[i]) - static_cast<double>(largest)) / temperature;
    weights[i] = exponent <= 0 ? std::exp(static_cast<float>(exponent)) : 0;
  }
  return weights;
}

// Of the fewest most probable tokens that together weigh `mass`, the last one. Halves the candidates about their
// median, so all halvings together look at each token about twice.
std::size_t last_of_nucleus(std::span<const float> weights, double mass) {
  std::vector<std::size_t> tokens;
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (weights[i] > 0) tokens.push_back(i);
  const auto before = [&](std::size_t a, std::size_t b) {
    return weights[a] > weights[b] || (weights[a] == weights[b] && a < b);
  };
  auto begin = tokens.begin(), end = tokens.end();
  while (end - begin > 1) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, before);
    double upper = 0;
    for (auto token = begin; token != middle; ++token) upper += static_cast<double>(weights[*token]);
    if (upper >= mass) {
      end = middle;
    } else {
      mass -= upper;
      begin = middle;
    }
  }
  return *begin;
}

double sum(std::span<const float> weights) {
  double total = 0;
  for (const float weight : weights) total += static_cast<double>(weight);
  return total;
}

}  // namespace

std::int32_t sample_token(std::span<const float> logits, const TokenDraw& draw) {
  const std::int32_t largest = largest_of(logits);
  if (draw.temperature == 0) return largest;
  auto weights = weights_of(logits, logits[static_cast<std::size_t>(largest)], draw.temperature);
  double total = sum(weights);
  if (!(total > 0)) return largest;
  if (draw.top_p < 1) {
    const std::size_t last = last_of_nucleus(weights, draw.top_p * total);
    const float least = weights[last];
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (weights[i] < least || (weights[i] == least && i > last)) weights[i] = 0;
    total = sum(weights);
  }
  double left = draw.uniform * total;
  std::int32_t drawn = largest;
  for (std::size_t i = 0; i < weights.size() && left >= 0; ++i) {
    if (weights[i] == 0) continue;
    drawn = static_cast<std::int32_t>(i);
    left -= static_cast<double>(weights[i]);
  }
  return drawn;
}

void sample_tokens(Device& device, const Tensor& logits, std::int64_t vocabulary, const Tensor& draws,
                   const Tensor& out) {
  CHECK_EQUAL(out.columns, draws.rows, "one token a draw");
  CHECK_EQUAL(draws.columns, draw_words, "a draw is its bytes");
  CHECK_EQUAL(logits.rows % out.columns, 0, "every part has all rows");
  const SampleTokens op{logits, vocabulary, draws, out};
  CHECK_EQUAL(logits.columns, op.width(0), "rows are as wide as the widest part");
  // Scaled, exponentiated, summed, compared.
  device.launch({"sample_tokens", 4.0 * static_cast<double>(logits.elements()), logits.bytes() + out.bytes(),
                 logits.dtype, out.elements()},
                op);
}

}  // namespace batchscope
