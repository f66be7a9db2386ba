// Tests of the attention kernel's small products, against double precision.
#include "ops/tile_gemm.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "base/target_clones.h"

namespace batchscope {
namespace {

// Floats aligned as the kernels ask.
class Floats {
 public:
  explicit Floats(std::int64_t count) : storage_(static_cast<std::size_t>(count) + 16, 0.0f) {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
    begin_ = storage_.data() + (64 - address % 64) % 64 / 4;
  }
  float& operator[](std::int64_t i) { return begin_[i]; }
  float* data() { return begin_; }
  void randomise(std::mt19937& random, std::int64_t count) {
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (std::int64_t i = 0; i < count; ++i) begin_[i] = uniform(random);
  }

 private:
  std::vector<float> storage_;
  float* begin_;
};

BATCHSCOPE_PER_TARGET(int bytes_of_a_register(), return register_bytes)

TEST(PerTarget, TheWidestRegistersOfTheCpuAreUsed) {
#if !defined(__x86_64__) || defined(__clang__) || defined(BATCHSCOPE_NO_TARGET_CLONES)
  EXPECT_EQ(bytes_of_a_register(), 16);  // compiled for one target
#else
  const int widest = __builtin_cpu_supports("x86-64-v4") ? 64 : __builtin_cpu_supports("x86-64-v3") ? 32 : 16;
  EXPECT_EQ(bytes_of_a_register(), widest);
#endif
}

TEST(TileGemm, IsTheProductAndAddsWhenAsked) {
  std::mt19937 random(3);
  for (const std::int64_t rows : {1, 4, 7})
    for (const std::int64_t depth : {1, 10, 64})
      for (const std::int64_t columns : {16, 48, 64, 144}) {
        Floats a(8 * depth), b(depth * columns), out(8 * columns);
        a.randomise(random, rows * depth);
        b.randomise(random, depth * columns);
        for (int times = 1; times <= 2; ++times) {
          tile_gemm(a.data(), depth, b.data(), columns, out.data(), columns, rows, depth, columns, times == 2);
          for (std::int64_t i = 0; i < rows; ++i)
            for (std::int64_t j = 0; j < columns; ++j) {
              double want = 0;
              for (std::int64_t k = 0; k < depth; ++k) want += double{a[i * depth + k]} * b[k * columns + j];
              ASSERT_NEAR(out[i * columns + j], times * want, 1e-5) << i << ", " << j;
            }
        }
      }
}

template <class T>
std::vector<T> rows_of(std::mt19937& random, std::int64_t count) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<T> rows;
  for (std::int64_t i = 0; i < count; ++i) rows.push_back(static_cast<T>(uniform(random)));
  return rows;
}

template <class T>
class FewRows : public testing::Test {};
using Elements = testing::Types<float, BFloat16>;
TYPED_TEST_SUITE(FewRows, Elements);

TYPED_TEST(FewRows, ScoresAndValuesAreTheProducts) {
  std::mt19937 random(4);
  const std::int64_t keys = 5, gap = 3;
  for (const std::int64_t rows : {1, 2, 3, 7})
    for (const std::int64_t width : {8, 16, 64, 100}) {
      const std::int64_t lanes = whole_lanes(width), stride = width + gap;
      const auto elements = rows_of<TypeParam>(random, keys * stride);
      const HeadRows<TypeParam> head{elements.data(), stride, keys, width};
      const auto at = [&](std::int64_t j, std::int64_t d) {
        return double{static_cast<float>(elements[static_cast<std::size_t>(j * stride + d)])};
      };
      Floats queries(rows * lanes), scores(rows * 64), out(rows * lanes), weights(rows * 64);
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t d = 0; d < width; ++d) queries[row * lanes + d] = static_cast<float>(d % 7) - 3;
      weights.randomise(random, rows * 64);
      few_scores(queries.data(), lanes, rows, head, scores.data(), 64);
      for (int times = 1; times <= 2; ++times) {
        add_few_values(weights.data(), 64, rows, head, out.data(), lanes);
        for (std::int64_t row = 0; row < rows; ++row)
          for (std::int64_t d = 0; d < width; ++d) {
            double want = 0;
            for (std::int64_t j = 0; j < keys; ++j) want += double{weights[row * 64 + j]} * at(j, d);
            ASSERT_NEAR(out[row * lanes + d], times * want, 1e-5);
          }
      }
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t j = 0; j < keys; ++j) {
          double want = 0;
          for (std::int64_t d = 0; d < width; ++d) want += double{queries[row * lanes + d]} * at(j, d);
          ASSERT_NEAR(scores[row * 64 + j], want, 1e-4);
        }
    }
}

}  // namespace
}  // namespace batchscope
