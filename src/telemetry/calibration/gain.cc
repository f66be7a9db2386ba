// Gain and packet overhead (telemetry/calibration/gain.h).
#include "telemetry/calibration/gain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "telemetry/calibration/least_squares.h"

namespace batchscope::calibration {

Estimate gain(std::span<const Measured> measured) {
  if (measured.size() < 3) return Estimate::absent(fmt::format("{} loads are too few", measured.size()));
  std::vector<std::vector<double>> rows;
  std::vector<double> counted, weights;
  for (const Measured& load : measured) {
    if (load.counted <= 0) continue;
    rows.push_back({load.bytes, 1});
    counted.push_back(load.counted);
    weights.push_back(1 / (load.counted * load.counted));
  }
  if (rows.size() < 3) return Estimate::absent("nothing was counted");
  const auto fit = least_squares(rows, counted, weights);
  if (!fit) return Estimate::absent("all loads were of one size");
  return {.value = fit->coefficient[0],
          .uncertainty = fit->standard_error[0],
          .n = static_cast<std::int64_t>(rows.size()),
          .how = fmt::format("slope of counted against moved bytes, {} loads; constant {:.4g} bytes", rows.size(),
                             fit->coefficient[1])};
}

std::optional<double> OverheadModel::predict(const Measured& load) const {
  if (!per_byte.value) return std::nullopt;
  return *per_byte.value * load.bytes + *per_transfer.value * load.transfers + *per_second.value * load.seconds;
}

OverheadModel fit_overhead(std::span<const Measured> fitted_on, std::span<const Measured> checked_on) {
  std::vector<std::vector<double>> rows;
  std::vector<double> counted, weights;
  for (const Measured& load : fitted_on) {
    if (load.counted <= 0) continue;
    rows.push_back({load.bytes, load.transfers, load.seconds});
    counted.push_back(load.counted);
    weights.push_back(1 / (load.counted * load.counted));
  }
  OverheadModel model;
  const auto fit = least_squares(rows, counted, weights);
  if (!fit || rows.size() < 4) {
    const auto why =
        Estimate::absent("too few loads of different sizes were counted to tell bytes, transfers and time apart");
    return {why, why, why, why};
  }
  const auto n = static_cast<std::int64_t>(rows.size());
  const auto estimate = [&](std::size_t k, const char* what) {
    return Estimate{.value = fit->coefficient[k],
                    .uncertainty = fit->standard_error[k],
                    .n = n,
                    .how = fmt::format("counted bytes per {}, {} loads fitted at once", what, n)};
  };
  model.per_byte = estimate(0, "byte moved");
  model.per_transfer = estimate(1, "transfer");
  model.per_second = estimate(2, "second");
  double worst = 0;
  std::int64_t checked = 0;
  for (const Measured& load : checked_on) {
    if (load.counted <= 0) continue;
    worst = std::max(worst, std::abs(*model.predict(load) / load.counted - 1));
    ++checked;
  }
  model.prediction_error =
      checked == 0 ? Estimate::absent("nothing was counted to check it on")
                   : Estimate{.value = worst,
                              .n = checked,
                              .how = fmt::format("greatest relative error on {} loads of other sizes", checked)};
  return model;
}

}  // namespace batchscope::calibration
