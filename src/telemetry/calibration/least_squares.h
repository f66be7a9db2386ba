// Linear least squares with a few unknowns.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace batchscope::calibration {

struct LinearFit {
  std::vector<double> coefficient, standard_error;  // one an unknown
  double residual = 0;                              // root mean square, per degree of freedom, weighted as given
  double explained = 0;                             // share of the values' (weighted) variance: R²
};

// Fits y[i] ≈ Σ coefficient[k] · rows[i][k], each squared error weighted by weights[i] (empty: all alike). Nothing
// where there are fewer observations than unknowns, or the rows cannot tell the unknowns apart.
std::optional<LinearFit> least_squares(std::span<const std::vector<double>> rows, std::span<const double> y,
                                       std::span<const double> weights = {});

}  // namespace batchscope::calibration
