// How long a run takes, from its traces and from what kernels and collectives took on this machine. The one model of time:
// plans, dry runs and studies show what it says.
//
// Times are those of operations that were measured, not of a data sheet, since one efficiency for all sizes is wrong by a
// factor of two and more. In the terms of a roofline (Williams, Waterman and Patterson 2009):
//   a product [m, k] by [k, n]   was measured at some m for its own n and k. Between these m the time is linear, above
//                                them it is proportional to m (bound by arithmetic), below them it stays (bound by
//                                reading the weight). An n and k that were not measured take the nearest ones' time
//                                times (n k) / (n' k').
//   any other kernel             t = dispatch + flop * a + bytes * b, with a, b and dispatch >= 0
//   a collective of a group      t = latency + payload * b; its own kernels are part of it (Hockney 1994)
//   a step of a rank             the sum of its kernels and collectives
//   a step of a replica          mp: the sum of its stages and of the hops between them; pp: its slowest stage, and to fill
//                                the pipeline (stages - 1) of its micro-batches once
//   each step                    + what the host needs for it, and for kernels of a new shape
// Coefficients are least squares of relative errors that are not negative, so that no time is, and more work never takes
// less. Ranks that share CPUs were measured while all of them worked: their times have the sharing in them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "device/timed_launches.h"
#include "parallel/layout.h"

namespace batchscope {

// A step of one replica as it ran, while all replicas ran the same. A recv lasts from the start of the send on the other side.
struct TimedStep {
  std::vector<std::vector<TimedEntry>> stages;  // what the first shard of each enqueued; a collective's kernels left out
  std::int64_t repeats = 1;                     // in a row
  bool is_pipelined = false;                    // in micro-batches, the next behind it at once
  double seconds = 0;                           // wall clock of one, on average
  double first_seconds = 0;                     // of the very first one
};

class PerformanceModel {
 public:
  // `steps`: of a few sizes.
  PerformanceModel(const Layout& layout, std::span<const TimedStep> steps);

  // On a rank. Absent where nothing of the kind was measured.
  std::optional<double> seconds(const Work& work) const;
  std::optional<double> seconds(const CollectiveWork& work) const;
  // Of a step's part on one rank; kernels of collectives are in the collectives' times.
  std::optional<double> seconds(const Trace& trace) const;
  // Of one step behind which the next one waits, as in a generation. A step of a new shape takes new_shape_seconds() more.
  std::optional<double> step_seconds(std::span<const Trace> stages) const;

  double host_seconds() const { return host_s_; }  // of a step
  double new_shape_seconds() const { return new_shape_s_; }

  // t = coefficients * (1, flop or payload, bytes).
  using Coefficients = std::vector<double>;

 private:
  friend class RunTime;
  using Site = std::tuple<std::string, DType>;
  using Products = std::map<std::pair<std::int64_t, std::int64_t>, std::map<std::int64_t, double>>;  // [n, k][m]

  // Of steps in so many micro-batches, 0 where they are not pipelined; without the time on the host.
  static std::optional<double> stages_seconds(std::span<const std::optional<double>> stages, std::int64_t micro_batches);

  Layout layout_;
  std::map<Site, Products> products_;
  std::map<Site, Coefficients> kernels_;
  std::map<std::pair<std::string, int>, Coefficients> collectives_;
  double host_s_ = 0, new_shape_s_ = 0;
};

// The time of scoring in batches: each rank's are added (a BatchSink of plan/plan.h), then it is known.
class RunTime {
 public:
  RunTime(const PerformanceModel& model) : model_(model) {}
  // `count` batches like this one.
  void add(int rank, const Trace& batch, std::int64_t count);
  std::optional<double> seconds() const;

 private:
  struct Rank {
    std::optional<double> seconds = 0;
    std::int64_t batches = 0, shapes = 0;
  };
  const PerformanceModel& model_;
  std::map<std::int64_t, Rank> ranks_;
};

// Of rows of features and what they gave, the coefficients >= 0 with the least sum of squared relative errors; values > 0.
std::vector<double> fit_non_negative(std::span<const std::vector<double>> features, std::span<const double> values);

}  // namespace batchscope
