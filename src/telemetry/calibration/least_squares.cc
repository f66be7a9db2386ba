// Linear least squares by Eigen's QR decomposition (telemetry/calibration/least_squares.h).
#include "telemetry/calibration/least_squares.h"

#include <Eigen/QR>
#include <cmath>

#include "base/check.h"

namespace batchscope::calibration {

std::optional<LinearFit> least_squares(std::span<const std::vector<double>> rows, std::span<const double> y,
                                       std::span<const double> weights) {
  CHECK_EQUAL(rows.size(), y.size(), "each row has its value");
  if (rows.empty() || rows.size() < rows[0].size()) return std::nullopt;
  const auto n = static_cast<Eigen::Index>(rows.size()), unknowns = static_cast<Eigen::Index>(rows[0].size());

  // Everything of an observation times the root of its weight.
  Eigen::MatrixXd a(n, unknowns);
  Eigen::VectorXd values(n), roots = Eigen::VectorXd::Ones(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (!weights.empty()) roots[i] = std::sqrt(weights[at]);
    a.row(i) = roots[i] * Eigen::Map<const Eigen::RowVectorXd>(rows[at].data(), unknowns);
    values[i] = roots[i] * y[at];
  }
  // Columns are scaled to length 1: unknowns may differ by ten orders of magnitude (bytes, transfers, seconds).
  const Eigen::VectorXd lengths = a.colwise().norm().transpose();
  if ((lengths.array() <= 0).any()) return std::nullopt;
  a *= lengths.cwiseInverse().asDiagonal();
  Eigen::ColPivHouseholderQR<Eigen::MatrixXd> qr(a);
  if (qr.setThreshold(3e-7).rank() < unknowns) return std::nullopt;  // half of a double's digits

  const Eigen::VectorXd scaled = qr.solve(values), coefficient = scaled.cwiseQuotient(lengths);
  const double mean = roots.dot(values) / roots.squaredNorm();
  const double squares = (values - a * scaled).squaredNorm(), total = (values - mean * roots).squaredNorm();
  const double variance = n > unknowns ? squares / static_cast<double>(n - unknowns) : 0;
  // The inverse of R has the rows' lengths that the inverse of the normal equations has on its diagonal, squared.
  const Eigen::MatrixXd inverse =
      qr.colsPermutation() * qr.matrixR().topRows(unknowns).triangularView<Eigen::Upper>().solve(
                                 Eigen::MatrixXd::Identity(unknowns, unknowns));
  const Eigen::VectorXd error = std::sqrt(variance) * inverse.rowwise().norm().cwiseQuotient(lengths);
  return LinearFit{.coefficient = {coefficient.begin(), coefficient.end()},
                   .standard_error = {error.begin(), error.end()},
                   .residual = std::sqrt(variance),
                   .explained = total > 0 ? 1 - squares / total : 0};
}

}  // namespace batchscope::calibration
