// Rows kept as a source gave them, for who reads it by hand: checks, tests.
#pragma once

#include <algorithm>
#include <vector>

#include "telemetry/source.h"

namespace batchscope {

class CollectedRows : public Rows {
 public:
  struct Row {
    Nanoseconds before{0}, after{0};
    std::uint64_t are_exact = 0;
    std::vector<Reading> readings{};
  };

  CollectedRows(const CounterGroup& group, Clock& clock) : row_(group.counters.size()), clock_(clock) {}
  std::span<Reading> row() override {
    std::fill(row_.begin(), row_.end(), Reading{});
    return row_;
  }
  void add(Nanoseconds before, Nanoseconds after, std::uint64_t are_exact) override {
    rows.push_back({before, after, are_exact, row_});
  }
  Clock& clock() const override { return clock_; }

  std::vector<Row> rows{};

 private:
  std::vector<Reading> row_;
  Clock& clock_;
};

// All that a source gives of a group at one reading.
inline std::vector<CollectedRows::Row> read_rows(Source& source, std::size_t group, Clock& clock) {
  CollectedRows rows(source.groups()[group], clock);
  source.read(group, rows);
  return rows.rows;
}

}  // namespace batchscope
