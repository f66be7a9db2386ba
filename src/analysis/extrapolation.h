// From the time of a sample's batches to that of the whole task.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/clock.h"

namespace batchscope {

struct SampledBatch {
  std::int64_t tokens = 0;  // that it computed, padding included
  Nanoseconds time{0};
};

struct WholeTime {
  double seconds = 0;
  std::optional<double> low, high;  // 95 %; absent below three batches
};

// What `batches` batches of `tokens` tokens, formed alike, would have taken, given the sample's, which took `seconds`
// together. A batch is taken to cost so much, and so much a token, both fitted to the sample's batches; the interval
// comes from how far these lie from that. It holds where batches of the whole cost what those of the sample do: not
// where what is done once for each shape, such as capturing a graph, weighs in a short sample.
WholeTime whole_time(double seconds, std::span<const SampledBatch> sample, std::int64_t batches, std::int64_t tokens);

}  // namespace batchscope
