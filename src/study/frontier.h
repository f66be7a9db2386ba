// The largest batch that a strategy can run: found by running, and by the plan.
#pragma once

#include <cstdint>
#include <optional>

namespace batchscope {

// Bisection: which batch to try next, from what is known so far. A batch that does not fit makes all larger ones not
// fit.
class FrontierSearch {
 public:
  explicit FrontierSearch(std::int64_t bound) : too_large_(bound + 1), bound_(bound) {}

  void know(std::int64_t batch, bool fits);
  // The batch to run next; absent when the answer is known.
  std::optional<std::int64_t> next() const;
  // The largest batch that fits, up to the bound; 0 if not even 1 does; absent until it is known.
  std::optional<std::int64_t> largest() const;

 private:
  std::int64_t fits_ = 0;   // largest known to fit
  std::int64_t too_large_;  // smallest known not to, or beyond the bound
  std::int64_t bound_;
};

}  // namespace batchscope
