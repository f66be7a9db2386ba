// What went over a GPU's PCIe link as GPM has it: without a wrap, but only as of its refreshes, and not quite the bytes
// that the cumulative counters count. It tells how often those wrapped between two readings.
//
// GPM is renewed every tenth of a second and then shows what had gone until some time before. When a program starts
// CUDA, both may change: refreshes come 60 ms later, say, and show what had gone until 40 ms before them instead of 13
// (seen on an H200, driver 580.159). So refreshes are looked for, and how late they are is learned from what the
// counters show while they are read often.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "telemetry/nvml/gpm.h"
#include "telemetry/sources/nvml_gpu.h"

namespace batchscope {

struct Bounds {
  double low = 0, high = 0;
};

// How many numbers in `range` are `residue` modulo `modulus`, and the first of them.
struct Numbers {
  std::int64_t first = 0;
  int count = 0;  // 2: or more
};
Numbers numbers_in(Bounds range, std::int64_t residue, std::int64_t modulus);

class GpmTraffic {
 public:
  // An instant that is known to lie in a span.
  struct Span {
    Nanoseconds first{0}, last{0};
  };
  // What the counters (sent, received) showed.
  struct Row {
    Span when{};
    std::array<std::int64_t, 2> raw{};
    bool is_chained = false;  // so soon after the row before that no wrap can hide in between
  };

  // `link_bytes_per_s`: what the link can carry in one direction. The counters wrap at `modulus`.
  GpmTraffic(const NvmlGpu& gpu, double link_bytes_per_s, std::int64_t modulus);

  static constexpr Nanoseconds refresh = std::chrono::milliseconds(100);

  // Finds out at which instants GPM is renewed, for up to three refreshes, and takes a sample behind one of them; in
  // the meantime `meanwhile` is called every few milliseconds. False: it never was.
  bool find_refreshes(Clock& clock, const std::function<void()>& meanwhile = nullptr);
  // Takes a sample, unless that is not sure or the last one is as new: true.
  bool look(const Clock& clock);
  bool is_silent() const { return failures_ >= 8; }  // no sample could be taken for long
  // As far as is known how late it is.
  bool covers(Nanoseconds instant) const;

  // By how much a counter has risen, modulo its modulus `residue`. Absent: samples do not tell.
  std::optional<std::int64_t> increase(std::size_t direction, Span begin, Span end, std::int64_t residue) const;

  // The same where about as much goes all the time, so that it does not matter how late GPM is: as many bytes for one
  // of GPM's as from `known_since` to `begin`, when the counter rose by `known`.
  std::optional<std::int64_t> increase_in_proportion(std::size_t direction, Nanoseconds known_since, std::int64_t known,
                                                     Nanoseconds begin, Nanoseconds end, std::int64_t residue) const;

  static constexpr std::size_t most_rows = 16;
  // Rules out lags with which these rows do not go together. False: with none they do; then all are possible again.
  bool learn_lag(std::span<const Row> rows);
  void forget_lag() { lags_.set(); }

 private:
  using Bytes = std::array<double, 2>;  // sent, received

  // A refresh: when it was, and GPM's totals since the first look. Where refreshes were found elsewhere since then, it
  // was somewhere between two instants, and beside later looks the totals may be off by `error`.
  struct Look {
    Nanoseconds earliest{0}, latest{0}, taken{0};
    Bytes rate{};  // until then
    Bytes total{}, error{};
  };

  static constexpr std::size_t lag_count = 27;
  static constexpr Nanoseconds lag(std::size_t i) { return std::chrono::milliseconds(8 + 4 * i); }
  std::size_t first_lag() const { return lags_._Find_first(); }
  std::size_t last_lag() const;
  // All that went until then has been shown, however late GPM is.
  Nanoseconds shown_until() const;
  // Whether nearly as much went in each tenth of a second from `since` to `until`, and around, both ways: the least is
  // not less than the most by more than a share of it.
  bool is_steady(Nanoseconds since, Nanoseconds until, double share) const;

  std::optional<Bytes> rates(const nvml::GpmSnapshot& earlier, const nvml::GpmSnapshot& later);  // per second
  bool is_renewed(const nvml::GpmSnapshot& earlier, const nvml::GpmSnapshot& later);             // in between
  void doubt_looks();
  // Had as much gone in each moment between two looks. Absent: it is not between any.
  std::optional<double> total_near(std::size_t direction, Nanoseconds instant, Nanoseconds lag) const;
  // A sample, taken at `taken`, of the refresh at `seen`.
  bool add_look(nvml::GpmSnapshot& sample, Nanoseconds taken, Nanoseconds seen);
  // What had gone until then, and what the counters have counted in between: at least, and at most.
  std::array<Bounds, 2> totals_at(Span when, Nanoseconds lag) const;
  std::array<Bounds, 2> counted(const std::array<Bounds, 2>& until_begin, const std::array<Bounds, 2>& until_end,
                                Nanoseconds time) const;
  bool go_together(std::span<const Row> rows, Nanoseconds lag) const;

  static constexpr Nanoseconds tolerance = std::chrono::milliseconds(5);  // how well instants are known
  static constexpr std::size_t looks_kept = 16;

  NvmlGpu gpu_;
  double link_bytes_per_s_;
  std::int64_t modulus_;
  std::bitset<lag_count> lags_;            // those that are possible
  int failures_ = 0;                       // of looks, one after the other
  Nanoseconds seen_{0};                    // when a refresh was first seen
  nvml::GpmSnapshot last_, last_but_one_;  // those of the newest looks
  nvml::GpmSnapshot taken_, before_, behind_;
  std::unique_ptr<nvml::GpmMetrics> request_ = std::make_unique<nvml::GpmMetrics>();
  std::vector<Look> looks_;  // the oldest first
};

}  // namespace batchscope
