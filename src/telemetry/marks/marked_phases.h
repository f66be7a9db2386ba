// What comes of the marks of a recording: begins and ends matched to phases, losses counted, totals by name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/phase.h"
#include "telemetry/marks/mark.h"

namespace batchscope {

// All phases of one name. Of those that never ended nobody knows the time: they are in neither count nor seconds.
struct PhaseTotal {
  std::string name{};
  std::int64_t count = 0;
  double seconds = 0;  // of all together
  std::int64_t not_ended = 0;
};
// How their detail ends.
constexpr std::string_view not_ended_detail = "not ended before the recording";

struct MarkCounts {
  std::int64_t received = 0;
  std::int64_t lost = 0;     // sent while the recording did not keep up
  std::int64_t refused = 0;  // no marks, or of a time that is not this clock's, or too many phases under way
  std::int64_t ends_without_begin = 0;
};

// By name, those that took the longest first.
std::vector<PhaseTotal> totals_of(const std::vector<Phase>& phases);

// One connection. Its numbers are kept here, its phases with the others'.
struct MarkSender {
  std::int64_t number = 0;  // no two senders of a recording have the same
  std::string name{};       // "python 1234": where its phases stand
  std::int64_t pid = 0;     // a thread of this number is the process's first
  std::int64_t received = 0, last_sequence = 0;
};

class MarkedPhases {
 public:
  static constexpr Nanoseconds most_ahead = std::chrono::seconds(1);  // times beyond now are of another clock
  static constexpr std::size_t most_open = 100'000, most_names = 1000;

  void take(std::string_view message, MarkSender& sender, Nanoseconds now);
  void forget(const MarkSender& sender);  // it is gone: what it lost is added up
  // Ends what is still under way, and says so in its detail.
  void end_all(Nanoseconds now);

  // Those that ended since the last look.
  std::vector<Phase> pending();
  std::vector<PhaseTotal> totals() const;  // those that took the longest first
  MarkCounts counts() const { return counts_; }

 private:
  void add(Phase phase);
  void begin(const std::string& key, Phase phase);
  void end(const std::string& key, const Mark& mark);

  std::map<std::string, std::vector<Phase>> open_;  // by what ends them; of equal ones the last is ended first
  std::size_t open_count_ = 0;
  std::vector<Phase> pending_;
  std::map<std::string, PhaseTotal> totals_;
  MarkCounts counts_;
};

}  // namespace batchscope
