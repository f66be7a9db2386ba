// Tests of log softmax: whole and cut over ranks, against double precision; arg max.
#include "ops/log_softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "ops/elementwise.h"
#include "ops/test_device.h"

namespace batchscope {
namespace {

double log_probability(const Matrix& logits, std::int64_t row, std::int64_t target) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (std::int64_t i = 0; i < logits.columns; ++i) largest = std::max(largest, logits.at(row, i));
  for (std::int64_t i = 0; i < logits.columns; ++i) sum += std::exp(logits.at(row, i) - largest);
  return logits.at(row, target) - largest - std::log(sum);
}

// As `parts` ranks would, the reductions between them done here.
Matrix cut_log_softmax(TestDevice& device, const Tensor& logits, const Tensor& targets, std::int64_t parts) {
  const std::int64_t rows = logits.rows, vocabulary = logits.columns;
  const Tensor largest = device.empty(DType::f32, 1, rows), sums = device.empty(DType::f32, 2, rows);
  const Tensor part_largest = device.empty(DType::f32, 1, rows), part_sums = device.empty(DType::f32, 2, rows);
  const auto part = [&](std::int64_t i) {
    return logits.column_range(i * vocabulary / parts, (i + 1) * vocabulary / parts - i * vocabulary / parts);
  };
  row_max(device, part(0), largest);
  for (std::int64_t i = 1; i < parts; ++i) {
    row_max(device, part(i), part_largest);
    maximum(device, largest, part_largest);
  }
  sum_exp_and_target(device, part(0), largest, targets, 0, sums);
  for (std::int64_t i = 1; i < parts; ++i) {
    sum_exp_and_target(device, part(i), largest, targets, i * vocabulary / parts, part_sums);
    add(device, sums, part_sums);
  }
  const Tensor out = device.empty(DType::f32, 1, rows);
  target_log_probability(device, largest, sums, out);
  return device.read(out);
}

TEST(LogSoftmax, CutOrWholeIsTheFormulaInDoublePrecision) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    const std::int64_t vocabulary = 1003;
    const std::vector<std::int32_t> which{0, 1002, 334, 335, 500, 667};
    const Tensor logits = device.random(dtype, 6, vocabulary, gap, -12, 12), targets = device.integers(which);
    const Matrix values = device.read(logits);
    for (const std::int64_t parts : {1, 2, 3, 7}) {
      const Matrix got = cut_log_softmax(device, logits, targets, parts);
      // All in f32, whatever the logits' dtype: a sum of 1003 terms in 16 lanes has some 80 roundings, and the
      // difference of numbers up to 24 + 7 two more.
      for (std::int64_t row = 0; row < 6; ++row)
        EXPECT_NEAR(got.at(0, row), log_probability(values, row, which[static_cast<std::size_t>(row)]),
                    (80 + 2 * 31) * roundoff(DType::f32))
            << "row " << row << " in " << parts << " parts";
    }
  });
}

TEST(LogSoftmax, NoRowsAndNoTargetsAreHarmless) {
  TestDevice device;
  EXPECT_EQ(cut_log_softmax(device, device.empty(DType::f32, 0, 5), device.integers({}), 2).values.size(), 0u);
  const Tensor logits = device.random(DType::f32, 1, 5), sums = device.empty(DType::f32, 2, 1);
  const Tensor largest = device.floats(DType::f32, 1, 1, {1});
  sum_exp_and_target(device, logits, largest, device.integers({-1}), 0, sums);
  EXPECT_EQ(device.read(sums).at(1, 0), 0);
}

TEST(LogSoftmax, LargeAndHiddenLogitsKeepTheAnswerFinite) {
  TestDevice device;
  const float infinity = std::numeric_limits<float>::infinity();
  const Tensor logits = device.floats(DType::f32, 2, 3, {3e38f, -3e38f, 3e38f, -infinity, 5, -infinity});
  const Matrix got = cut_log_softmax(device, logits, device.integers({0, 1}), 2);
  EXPECT_NEAR(got.at(0, 0), -std::log(2.0), 1e-6);
  EXPECT_NEAR(got.at(0, 1), 0, 1e-6);
}

TEST(RowArgMax, TiesGoToTheLowestAndIndicesAreOfTheWholeVocabulary) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    const Tensor logits = device.floats(dtype, 3, 4, {1, 3, 3, 2, -5, -6, -7, -8, 0, 0, 0, 9}, gap);
    const Tensor out = device.empty(DType::f32, 3, 2);
    row_argmax(device, logits, 100, out);
    EXPECT_EQ(device.read(out).values, (std::vector<double>{3, 101, -5, 100, 9, 103}));
  });
}

TEST(BestToken, IsTheFirstOfTheLargestOfAllPartsUnlessAnyIsNaN) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    const float nan = std::nanf("");
    // Two parts of four rows each.
    const Tensor left = device.floats(dtype, 4, 2, {1, 2, 5, 4, nan, 0, 0, 0}, gap);
    const Tensor right = device.floats(dtype, 4, 2, {2, 1, 1, 6, 1, 1, 1, nan}, gap);
    const Tensor candidates = device.empty(DType::f32, 8, 2), out = device.empty(DType::i32, 1, 4);
    row_argmax(device, left, 0, candidates.row_range(0, 4));
    row_argmax(device, right, 2, candidates.row_range(4, 4));
    best_token(device, candidates, out);
    EXPECT_EQ(device->download(out), (std::vector<float>{1, 3, -1, -1}));
  });
}

}  // namespace
}  // namespace batchscope
