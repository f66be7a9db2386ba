// What went over a GPU's PCIe link as GPM has it: without a wrap, but only as of its refreshes, and not quite the bytes
// that the cumulative counters count. It tells how often those wrapped between two readings.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "telemetry/nvml/gpm.h"
#include "telemetry/sources/nvml_gpu.h"

namespace batchscope {

struct Range {
  double low = 0, high = 0;
};

// The one number in `range` that is `residue` modulo `modulus`; absent: there are several, or none.
std::optional<std::int64_t> only_number_in(Range range, std::int64_t residue, std::int64_t modulus);

class GpmTraffic {
 public:
  // `link_bytes_per_s`: what the link can carry in one direction.
  GpmTraffic(const NvmlGpu& gpu, double link_bytes_per_s);

  static constexpr Nanoseconds refresh = std::chrono::milliseconds(100);

  // Finds out at which instants GPM is renewed, for up to three refreshes. False: it never was.
  bool find_refreshes(Clock& clock);
  // Moves them by two milliseconds where they have drifted; returns behind the next one. False: it was not where it was
  // believed to be.
  bool follow_refreshes(Clock& clock);

  // An instant as of which GPM gives its totals; whole refreshes from it there are others.
  Nanoseconds instant() const { return seen_ - lag; }
  // How long after such an instant a sample shows it, at most.
  static constexpr Nanoseconds longest_lag = std::chrono::milliseconds(20);

  // Takes a sample, unless the last one is as new.
  void look(const Clock& clock);
  bool is_silent() const { return failures_ >= 3; }  // samples cannot be taken any more
  // A sample shows all that went until then.
  bool covers(Nanoseconds instant) const;

  // What the cumulative counters have counted (sent, received) between `begin` and `end`, instants each known to lie in
  // a span: in any case at least, and at most. Absent: no samples enclose them.
  struct Span {
    Nanoseconds first{0}, last{0};
  };
  std::optional<std::array<Range, 2>> counted(Span begin, Span end) const;

 private:
  using Bytes = std::array<double, 2>;  // sent, received

  // GPM's totals as of an instant, since the first look.
  struct Look {
    Nanoseconds instant{0}, taken{0};
    Bytes total{};
  };

  std::optional<Bytes> rates(const nvml::GpmSnapshot& earlier, const nvml::GpmSnapshot& later);  // per second
  bool is_renewed(const nvml::GpmSnapshot& earlier, const nvml::GpmSnapshot& later);             // in between
  Range total_at(std::size_t direction, Nanoseconds instant) const;

  // How late samples show what they do (12 to 14 ms on an H200; were it anything from 0 to 25, no total would be
  // wrong), and how well all these instants are known.
  static constexpr Nanoseconds lag = std::chrono::milliseconds(13), tolerance = std::chrono::milliseconds(5);
  static constexpr std::size_t looks_kept = 16;

  NvmlGpu gpu_;
  double link_bytes_per_s_;
  int failures_ = 0;                       // of looks, one after the other
  Nanoseconds seen_{0};                    // when a refresh was first seen
  nvml::GpmSnapshot last_, last_but_one_;  // those of the newest looks
  nvml::GpmSnapshot taken_, shortly_before_, behind_;
  std::unique_ptr<nvml::GpmMetrics> request_ = std::make_unique<nvml::GpmMetrics>();
  std::vector<Look> looks_;  // the oldest first
};

}  // namespace batchscope
