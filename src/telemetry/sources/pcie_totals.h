// What a GPU's wrapping PCIe counters have counted, row by row. Where a wrap may hide between two rows, GPM's word is
// waited for.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "telemetry/sources/gpm_traffic.h"

namespace batchscope {

// The counters' values (sent, received) and when they were read.
struct PcieRow {
  GpmTraffic::Span when{};
  std::array<Reading, 2> readings{};
  bool has_values() const { return readings[0].absent == nullptr && readings[1].absent == nullptr; }
};

class PcieTotals {
 public:
  // A counter rises by its modulus in `wrap_time` at least.
  PcieTotals(std::int64_t modulus, Nanoseconds wrap_time);

  void keep(const PcieRow& row) { kept_.push_back(row); }
  bool are_all_given() const { return kept_.empty(); }
  // All rows of which is known what can be. What went until a row may be unsure where it is sure until a later one, as
  // when a sample could not be taken in time: then only the later one is given. Where that takes long, what went until
  // the first is unknown.
  void give(const GpmTraffic& gpm, Rows& rows);
  // All of them, with what is known.
  void give_all(const GpmTraffic* gpm, Rows& rows);
  // The counters do not wrap: rows are given as they are, from the next on.
  void stop_unwrapping();

 private:
  // What had gone one way when it was last known, and what the counter showed then.
  struct Total {
    GpmTraffic::Span when{};
    std::int64_t raw = 0, bytes = 0;
    bool is_anew = false;  // the counter began again: what it had counted until then is not in `bytes`
  };
  using Totals = std::array<std::optional<Total>, 2>;
  // What had gone both ways, but for what nobody knows.
  struct Known {
    GpmTraffic::Span when{};
    std::array<std::int64_t, 2> bytes{};
  };

  bool is_beyond_the_link(std::int64_t bytes, Nanoseconds time) const;
  // How far the counter has come since then, but for its wraps.
  std::int64_t residue_at(const PcieRow& row, std::size_t i, const Total& since) const;
  bool may_have_wrapped(std::int64_t residue, Nanoseconds time) const;
  bool may_hide_a_wrap(const PcieRow& row) const;
  void follow(const PcieRow& row, const GpmTraffic* gpm, Totals& sure) const;
  bool is_known_at(const PcieRow& row, const Totals& sure) const;
  std::optional<Total> total_at(const PcieRow& row, std::size_t i, const Total& since, const GpmTraffic* gpm) const;
  std::optional<std::int64_t> increase_in_proportion(const PcieRow& row, std::size_t i, const Total& since,
                                                     std::int64_t residue, const GpmTraffic& gpm) const;
  bool are_known_long() const;
  void note_known(const PcieRow& row, bool is_exact);
  void add(const PcieRow& row, Totals& sure, Rows& rows);

  std::int64_t modulus_;
  Nanoseconds wrap_time_;
  bool wraps_ = true;
  std::vector<PcieRow> kept_;  // not given yet
  std::vector<Known> known_;   // some of the rows given last
  Totals totals_{};
};

}  // namespace batchscope
