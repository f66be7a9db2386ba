// Linear least squares by the normal equations (telemetry/calibration/least_squares.h).
#include "telemetry/calibration/least_squares.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace batchscope::calibration {
namespace {

using Matrix = std::vector<std::vector<double>>;

// By Gauss and Jordan with pivots; nothing where the matrix is singular to double's precision.
std::optional<Matrix> inverse(Matrix a) {
  const std::size_t n = a.size();
  Matrix out(n, std::vector<double>(n, 0.0));
  for (std::size_t i = 0; i < n; ++i) out[i][i] = 1;
  for (std::size_t column = 0; column < n; ++column) {
    std::size_t pivot = column;
    for (std::size_t row = column + 1; row < n; ++row)
      if (std::abs(a[row][column]) > std::abs(a[pivot][column])) pivot = row;
    if (std::abs(a[pivot][column]) < 1e-13) return std::nullopt;
    std::swap(a[pivot], a[column]);
    std::swap(out[pivot], out[column]);
    const double scale = 1 / a[column][column];
    for (std::size_t k = 0; k < n; ++k) a[column][k] *= scale, out[column][k] *= scale;
    for (std::size_t row = 0; row < n; ++row) {
      const double factor = a[row][column];
      if (row == column || factor == 0) continue;
      for (std::size_t k = 0; k < n; ++k) {
        a[row][k] -= factor * a[column][k];
        out[row][k] -= factor * out[column][k];
      }
    }
  }
  return out;
}

}  // namespace

std::optional<LinearFit> least_squares(std::span<const std::vector<double>> rows, std::span<const double> y,
                                       std::span<const double> weights) {
  CHECK_EQUAL(rows.size(), y.size(), "each row has its value");
  if (rows.empty() || rows.size() < rows[0].size()) return std::nullopt;
  const std::size_t n = rows.size(), unknowns = rows[0].size();
  const auto weight = [&](std::size_t i) { return weights.empty() ? 1.0 : weights[i]; };

  // Columns are scaled to length 1: unknowns may differ by ten orders of magnitude (bytes, transfers, seconds).
  std::vector<double> scale(unknowns, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < unknowns; ++k) scale[k] += weight(i) * rows[i][k] * rows[i][k];
  for (double& length : scale) {
    if (length <= 0) return std::nullopt;
    length = std::sqrt(length);
  }
  Matrix normal(unknowns, std::vector<double>(unknowns, 0.0));
  std::vector<double> right(unknowns, 0.0);
  double weight_sum = 0, mean = 0;
  for (std::size_t i = 0; i < n; ++i) {
    weight_sum += weight(i);
    mean += weight(i) * y[i];
    for (std::size_t k = 0; k < unknowns; ++k) {
      const double value = rows[i][k] / scale[k];
      right[k] += weight(i) * value * y[i];
      for (std::size_t j = 0; j < unknowns; ++j) normal[k][j] += weight(i) * value * rows[i][j] / scale[j];
    }
  }
  mean /= weight_sum;
  const auto inverted = inverse(normal);
  if (!inverted) return std::nullopt;

  LinearFit fit;
  for (std::size_t k = 0; k < unknowns; ++k) {
    double sum = 0;
    for (std::size_t j = 0; j < unknowns; ++j) sum += (*inverted)[k][j] * right[j];
    fit.coefficient.push_back(sum / scale[k]);
  }
  double squares = 0, total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double predicted = 0;
    for (std::size_t k = 0; k < unknowns; ++k) predicted += fit.coefficient[k] * rows[i][k];
    squares += weight(i) * (y[i] - predicted) * (y[i] - predicted);
    total += weight(i) * (y[i] - mean) * (y[i] - mean);
  }
  const double variance = n > unknowns ? squares / static_cast<double>(n - unknowns) : 0;
  fit.residual = std::sqrt(variance);
  fit.explained = total > 0 ? 1 - squares / total : 0;
  for (std::size_t k = 0; k < unknowns; ++k)
    fit.standard_error.push_back(std::sqrt(std::max(0.0, variance * (*inverted)[k][k])) / scale[k]);
  return fit;
}

}  // namespace batchscope::calibration
