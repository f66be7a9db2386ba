// Times counted in buckets of 1/16 of an octave: quantiles within 5 % at a fixed size. One thread adds, any may ask.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace batchscope {

class Histogram {
 public:
  void add(Nanoseconds time) {
    const std::uint64_t value = time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : 0;
    bump(buckets_[bucket(value)]);
    bump(count_);
    if (value > max_.load(std::memory_order_relaxed)) max_.store(value, std::memory_order_relaxed);
  }
  std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  std::optional<Nanoseconds> max() const {
    if (count() == 0) return std::nullopt;
    return Nanoseconds(static_cast<std::int64_t>(max_.load(std::memory_order_relaxed)));
  }
  // The middle of the bucket that holds the share's value, never beyond the maximum; absent when nothing was added.
  std::optional<Nanoseconds> quantile(double share) const {
    const auto total = count();
    if (total == 0) return std::nullopt;
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total - 1));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i)
      if ((seen += buckets_[i].load(std::memory_order_relaxed)) > wanted) return std::min(middle(i), *max());
    return max();
  }

 private:
  static constexpr unsigned step_bits = 4;
  static constexpr std::uint64_t steps = 1U << step_bits;

  // Below 32 each value has its bucket; above, the leading five bits choose it.
  static std::size_t bucket(std::uint64_t value) {
    if (value < 2 * steps) return value;
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - step_bits - 1;
    return shift * steps + (value >> shift);
  }
  static Nanoseconds middle(std::size_t index) {
    if (index < 2 * steps) return Nanoseconds(static_cast<std::int64_t>(index));
    const auto shift = index / steps - 1;
    const std::uint64_t low = (index - shift * steps) << shift;
    return Nanoseconds(static_cast<std::int64_t>(low + (std::uint64_t{1} << shift) / 2));
  }
  static void bump(std::atomic<std::uint64_t>& value) {
    value.store(value.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  std::array<std::atomic<std::uint64_t>, 64 * steps> buckets_{};
  std::atomic<std::uint64_t> count_{0}, max_{0};
};

}  // namespace batchscope
