// The samples of a series in portions, so that memory stays small however long the series is.
#pragma once

#include <functional>

#include "store/store.h"

namespace batchscope {

// Calls take(samples) with one portion after the other, in the order of time; none of them is empty.
void each_portion(const StoreReader& reader, const SeriesRecord& series,
                  const std::function<void(const SampleSeries&)>& take);

}  // namespace batchscope
