// Error bars: of totals by gain and refresh, of means by gain, of nothing that was not calibrated.
#include "telemetry/calibration/errors.h"

#include <gtest/gtest.h>

#include <cmath>

namespace batchscope::calibration {
namespace {

CounterSummary summary_of(const char* name, CounterKind kind) {
  CounterSummary s;
  s.counter.name = name;
  s.counter.device = "gpu:0";
  s.counter.kind = kind;
  s.add(0, Nanoseconds(0));
  s.add(1000, std::chrono::seconds(10));
  return s;
}

TEST(Errors, AreOfWhatWasCalibrated) {
  Calibration calibration;
  calibration.counters["energy"] = {
      .name = "e",
      .properties = {{property::gain, {.value = 2, .uncertainty = 0.02}}, {property::refresh, {.value = 0.1}}}};
  calibration.counters["power"] = {.name = "p", .properties = {{property::gain, {.value = 1, .uncertainty = 0.5}}}};
  calibration.counters["power_samples"] = {.name = "p",
                                           .properties = {{property::gain, {.value = 1, .uncertainty = 0.1}}}};
  calibration.counters["clock"] = {.name = "c", .properties = {{property::gain, Estimate::absent("no load")}}};
  std::vector<CounterSummary> counters{summary_of("e", CounterKind::cumulative), summary_of("p", CounterKind::window),
                                       summary_of("c", CounterKind::gauge),
                                       summary_of("other", CounterKind::cumulative)};
  counters.push_back(counters[0]);
  counters.back().counter.device = "gpu:1";
  add_errors(counters, calibration, "gpu:0");
  // 1 % of 1000, and twice 100 ms / sqrt(12) at 100 a second.
  EXPECT_NEAR(*counters[0].error, 1.96 * std::hypot(10, std::sqrt(2.0) * 100 * 0.1 / std::sqrt(12.0)), 1e-9);
  EXPECT_NEAR(*counters[1].error, 1.96 * 0.1 * 500, 1e-9);
  EXPECT_FALSE(counters[2].error);
  EXPECT_FALSE(counters[3].error);
  EXPECT_FALSE(counters[4].error);
}

}  // namespace
}  // namespace batchscope::calibration
