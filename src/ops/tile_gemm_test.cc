// Tests of the attention kernel's small products, against double precision.
#include "ops/tile_gemm.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

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

TEST(TileDots, AreTheRowsProducts) {
  std::mt19937 random(4);
  const std::int64_t rows = 3, columns = 5, depth = 32;
  Floats a(rows * depth), b(columns * depth), out(rows * 64);
  a.randomise(random, rows * depth);
  b.randomise(random, columns * depth);
  tile_dots(a.data(), b.data(), depth, out.data(), 64, rows, columns);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      double want = 0;
      for (std::int64_t k = 0; k < depth; ++k) want += double{a[i * depth + k]} * b[j * depth + k];
      EXPECT_NEAR(out[i * 64 + j], want, 1e-5);
    }
}

}  // namespace
}  // namespace batchscope
