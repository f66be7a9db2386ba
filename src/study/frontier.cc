// Finds the largest batch that fits, by bisection.
#include "study/frontier.h"

#include <algorithm>

namespace batchscope {

void FrontierSearch::know(std::int64_t batch, bool fits) {
  if (fits)
    fits_ = std::max(fits_, std::min(batch, bound_));
  else
    too_large_ = std::min(too_large_, batch);
}

std::optional<std::int64_t> FrontierSearch::next() const {
  if (fits_ + 1 >= too_large_) return std::nullopt;
  // With no failure known the bound itself goes first: it may simply fit.
  if (too_large_ > bound_) return bound_;
  return fits_ + (too_large_ - fits_) / 2;
}

std::optional<std::int64_t> FrontierSearch::largest() const {
  if (next()) return std::nullopt;
  return fits_;
}

}  // namespace batchscope
