// The packets of a Perfetto trace that we write: clocks, tracks, slices, values of counters. Field numbers are those of
// Perfetto's public protobuf format.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "report/export/export_rows.h"

namespace batchscope::perfetto {

// Ids of Perfetto's clocks; one from `own_clock` on is a sequence's own.
constexpr std::uint32_t realtime_clock = 1, monotonic_clock = 3, own_clock = 64;

// Whose clock the times of a packet are of: the host's monotonic one during a session.
struct Timeline {
  std::uint32_t sequence = 1;  // of packets; one a timeline
  std::uint32_t clock = monotonic_clock;
};

using TrackId = std::uint64_t;
using Note = std::pair<std::string_view, ExportValue>;  // shown with a slice

struct CounterTrack {
  std::string_view name, unit, help;
};

class Trace {
 public:
  explicit Trace(const ByteSink& sink) : out_(sink) {}
  void flush() { out_.flush(); }

  // The first packet of a timeline: when its clock shows `time`, Unix time is `unix`. `primary`: what the trace's own
  // times are of.
  void add_clock(const Timeline& timeline, Nanoseconds time, Nanoseconds unix, std::uint32_t primary);

  TrackId add_process(const Timeline& timeline, std::string_view name);
  TrackId add_track(const Timeline& timeline, TrackId parent, std::string_view name);
  TrackId add_counter(const Timeline& timeline, TrackId parent, const CounterTrack& counter);

  void begin(const Timeline& timeline, TrackId track, Nanoseconds time, std::string_view category,
             std::string_view name, std::span<const Note> notes);
  void end(const Timeline& timeline, TrackId track, Nanoseconds time);
  void value(const Timeline& timeline, TrackId track, Nanoseconds time, std::int64_t value);
  void value(const Timeline& timeline, TrackId track, Nanoseconds time, double value);

 private:
  BufferedOutput out_;
  TrackId last_track_ = 0;
  std::int32_t last_process_ = 0;
};

// Slices of one name of track. Where two overlap and neither holds the other, Perfetto's slices could not be told apart
// by their ends: they are put on tracks of their own, which have the same name and parent and which it shows as one.
class SliceTrack {
 public:
  struct Slice {
    std::string_view category, name;
    Nanoseconds begin{0};
    std::optional<Nanoseconds> end{};  // absent: it never ended
    std::vector<Note> notes{};
  };
  SliceTrack(Trace& trace, const Timeline& timeline, TrackId parent, std::string name)
      : trace_(&trace), timeline_(timeline), parent_(parent), name_(std::move(name)) {}
  void add(const Slice& slice);  // best in the order of `begin`, of equal ones the longest first
  void end_all();                // after the last one

 private:
  struct Lane {
    TrackId track = 0;
    std::vector<Nanoseconds> ends{};       // of the open slices, the innermost last
    Nanoseconds now = Nanoseconds::min();  // of the last event
  };
  void advance(Lane& lane, Nanoseconds to);

  Trace* trace_;
  Timeline timeline_;
  TrackId parent_;
  std::string name_;
  std::vector<Lane> lanes_;
};

}  // namespace batchscope::perfetto
