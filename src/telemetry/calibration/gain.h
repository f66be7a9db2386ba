// What a cumulative counter counts of what was really moved: its gain, and the protocol's share.
#pragma once

#include <span>

#include "telemetry/calibration/estimate.h"

namespace batchscope::calibration {

// A load of known size, and how far the counter went.
struct Measured {
  double bytes = 0, transfers = 0, seconds = 0;  // known
  double counted = 0;                            // bytes
};

// Slope of counted against known bytes, by least squares of relative errors through loads of several sizes, with a
// constant beside it.
Estimate gain(std::span<const Measured> measured);

// counted = per_byte · bytes + per_transfer · transfers + per_second · seconds: headers of packets; descriptors,
// doorbells and completions of each copy; what else runs meanwhile. Relative errors are what is made least.
struct OverheadModel {
  Estimate per_byte, per_transfer, per_second;
  Estimate prediction_error;  // greatest |predicted / counted − 1| on loads that it was not fitted on

  std::optional<double> predict(const Measured& load) const;
};
OverheadModel fit_overhead(std::span<const Measured> fitted_on, std::span<const Measured> checked_on);

}  // namespace batchscope::calibration
