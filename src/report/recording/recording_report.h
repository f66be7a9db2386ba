// What a recording holds, counter by counter, read back from its .bscope file.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "report/recording/recording_text.h"
#include "store/store.h"
#include "telemetry/summary/summary.h"

namespace batchscope {

// What one session of a file recorded. Sessions of other hosts and other days have nothing in common but the file:
// their clocks, durations and totals stay apart.
struct RecordedSession {
  SessionRecord session{};
  RecordingSummary summary{};

  std::string title() const;  // "Session 2: node7, record, 2026-11-24 13:52 UTC, 4.00 s"
};
// Those with readings or phases (the last one, where none has any), or the session that is named. InputError when there
// is none of that number.
std::vector<RecordedSession> read_recorded_sessions(const StoreReader& reader,
                                                    std::optional<std::int64_t> session = {});
// For several sessions, each under its title; of one its summary as it is.
std::string to_text(std::span<const RecordedSession> sessions, bool colours, SummaryDetail detail);
nlohmann::json to_json(std::span<const RecordedSession> sessions);

// "2026-11-24 05:45 UTC"; "?" for what is no date.
std::string utc_text(double unix_s);

// From the first reading of any of these to the last, on the clock of the file's readings. Absent: there are none.
struct ReadingSpan {
  Nanoseconds begin{0}, end{0};
};
std::optional<ReadingSpan> reading_span(const StoreReader& reader, std::span<const SeriesRecord> series);

// Part of a recording, since its first reading; absent: to its end.
struct RecordingPart {
  Nanoseconds from{0};
  std::optional<Nanoseconds> to{};
  bool is_whole() const { return from == Nanoseconds(0) && !to; }
};

// On the clock of the file's readings.
struct RecordingInterval {
  Nanoseconds zero{0};  // the first reading of all
  Nanoseconds begin{0}, end{0};
};

// Absent: the session has no readings. InputError when the part lies outside of it.
std::optional<RecordingInterval> recording_interval(const StoreReader& reader, std::int64_t session,
                                                    const RecordingPart& part);

}  // namespace batchscope
