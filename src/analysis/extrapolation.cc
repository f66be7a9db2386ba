// The regression and its error (analysis/extrapolation.h).
#include "analysis/extrapolation.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "analysis/performance_model.h"
#include "analysis/statistics.h"

namespace batchscope {

WholeTime whole_time(double seconds, std::span<const SampledBatch> sample, std::int64_t batches, std::int64_t tokens) {
  std::vector<std::vector<double>> features;
  std::vector<double> times;
  for (const SampledBatch& batch : sample) {
    features.push_back({static_cast<double>(batch.tokens), 1});
    times.push_back(std::max(to_seconds(batch.time), 1e-9));
  }
  const std::vector<double> fitted = fit_non_negative(features, times);
  const auto expected = [&](double count, double all_tokens) { return all_tokens * fitted[0] + count * fitted[1]; };
  double ran = 0, squares = 0, took = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    const double of_batch = expected(1, features[i][0]);
    ran += of_batch;
    took += times[i];
    squares += std::pow(times[i] - of_batch, 2);
  }
  WholeTime whole{.seconds = seconds * expected(static_cast<double>(batches), static_cast<double>(tokens)) / ran,
                  .low = std::nullopt,
                  .high = std::nullopt};
  const auto count = static_cast<double>(times.size());
  if (count < 3) return whole;
  const double error = student_t(count - 2) * std::sqrt(squares * count / (count - 2)) / took;
  whole.low = std::max(whole.seconds * (1 - error), 0.0);
  whole.high = whole.seconds * (1 + error);
  return whole;
}

}  // namespace batchscope
