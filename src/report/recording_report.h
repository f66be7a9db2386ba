// What a recording holds, counter by counter, read back from its .bscope file.
#pragma once

#include <optional>
#include <span>

#include "base/clock.h"
#include "store/store.h"
#include "telemetry/summary.h"

namespace batchscope {

RecordingSummary read_recording_summary(const StoreReader& reader);

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

// Absent: there are no readings. InputError when the part lies outside the recording.
std::optional<RecordingInterval> recording_interval(const StoreReader& reader, const RecordingPart& part);

}  // namespace batchscope
