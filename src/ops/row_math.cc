// Row loops in a form that compilers vectorise: fixed lanes of partial results, and an exponential without branches.
#include "ops/row_math.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace batchscope {
namespace {

constexpr std::int64_t lanes = 16;

// exp(x) to about 2 units in the last place for x <= 88; below -87 it is 0 or next to it. 2^n * p(r), with
// x = n ln 2 + r and p the Taylor polynomial of degree 6.
inline float fast_exp(float x) {
  x = std::max(x, -87.0f);
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
}

}  // namespace

BATCHSCOPE_TARGET_CLONES
float row_largest(const float* row, std::int64_t count) {
  std::array<float, lanes> partial;
  partial.fill(-std::numeric_limits<float>::infinity());
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (std::int64_t j = 0; j < lanes; ++j) {
      const auto lane = static_cast<std::size_t>(j);
      partial[lane] = row[i + j] > partial[lane] ? row[i + j] : partial[lane];
    }
  float largest = *std::max_element(partial.begin(), partial.end());
  for (; i < count; ++i) largest = std::max(largest, row[i]);
  return largest;
}

BATCHSCOPE_TARGET_CLONES
float row_sum_exp(const float* row, std::int64_t count, float shift) {
  std::array<float, lanes> partial{};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (std::int64_t j = 0; j < lanes; ++j) partial[static_cast<std::size_t>(j)] += fast_exp(row[i + j] - shift);
  float sum = 0;
  for (const float part : partial) sum += part;
  for (; i < count; ++i) sum += fast_exp(row[i] - shift);
  return sum;
}

BATCHSCOPE_TARGET_CLONES
void row_exp(float* row, std::int64_t count, float shift, float factor) {
  for (std::int64_t i = 0; i < count; ++i) row[i] = fast_exp(row[i] - shift) * factor;
}

BATCHSCOPE_TARGET_CLONES
void row_silu(float* row, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float x = std::max(row[i], -87.0f);  // below it x * sigmoid(x) vanishes; a bounded divisor alone leaves x
    row[i] = x / (1.0f + fast_exp(-x));
  }
}

}  // namespace batchscope
