// Row loops in a form that compilers vectorise: fixed lanes of partial results, and an exponential without branches.
#include "ops/row_math.h"

#include <algorithm>
#include <array>
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

inline float silu_of(float x) {
  x = std::max(x, -87.0f);  // below it x * sigmoid(x) vanishes; a bounded divisor alone leaves x
  return x / (1.0f + fast_exp(-x));
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
bool row_has_nan(const float* row, std::int64_t count) {
  std::int32_t found = 0;
  for (std::int64_t i = 0; i < count; ++i) found |= row[i] != row[i] ? 1 : 0;
  return found != 0;
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
float row_exp(float* row, std::int64_t count, float shift) {
  std::array<float, lanes> partial{};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (std::int64_t j = 0; j < lanes; ++j) {
      row[i + j] = fast_exp(row[i + j] - shift);
      partial[static_cast<std::size_t>(j)] += row[i + j];
    }
  float sum = 0;
  for (const float part : partial) sum += part;
  for (; i < count; ++i) {
    row[i] = fast_exp(row[i] - shift);
    sum += row[i];
  }
  return sum;
}

BATCHSCOPE_TARGET_CLONES
float row_sum_squares(const float* row, std::int64_t count) {
  std::array<float, lanes> partial{};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (std::int64_t j = 0; j < lanes; ++j) partial[static_cast<std::size_t>(j)] += row[i + j] * row[i + j];
  float sum = 0;
  for (const float part : partial) sum += part;
  for (; i < count; ++i) sum += row[i] * row[i];
  return sum;
}

BATCHSCOPE_TARGET_CLONES
void row_silu(float* row, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) row[i] = silu_of(row[i]);
}

BATCHSCOPE_TARGET_CLONES
void row_swiglu(const float* gate, const float* up, float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = silu_of(gate[i]) * up[i];
}

BATCHSCOPE_TARGET_CLONES
void row_add(float* x, const float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) x[i] += y[i];
}

BATCHSCOPE_TARGET_CLONES
void row_multiply(float* x, const float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) x[i] *= y[i];
}

BATCHSCOPE_TARGET_CLONES
void row_maximum(float* x, const float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) x[i] = std::max(x[i], y[i]);
}

BATCHSCOPE_TARGET_CLONES
void row_scale(float* x, std::int64_t count, float factor) {
  for (std::int64_t i = 0; i < count; ++i) x[i] *= factor;
}

BATCHSCOPE_TARGET_CLONES
void row_rotate(float* head, const float* cosine, const float* sine, std::int64_t half) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float low = head[i], high = head[i + half];
    head[i] = low * cosine[i] - high * sine[i];
    head[i + half] = high * cosine[i] + low * sine[i];
  }
}

BATCHSCOPE_TARGET_CLONES
void row_widen(const BFloat16* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

BATCHSCOPE_TARGET_CLONES
void row_widen(const Float8* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

BATCHSCOPE_TARGET_CLONES
void row_narrow(const float* from, BFloat16* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = BFloat16(from[i]);
}

}  // namespace batchscope
