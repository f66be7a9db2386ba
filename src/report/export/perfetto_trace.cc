// Perfetto's packets (report/export/perfetto_trace.h), written by protozero.
#include "report/export/perfetto_trace.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <protozero/pbf_writer.hpp>
#include <type_traits>

#include "base/utf8.h"

namespace batchscope::perfetto {
namespace {

using protozero::pbf_writer;

// Messages by name, their fields' numbers.
namespace trace {
constexpr unsigned packet = 1;
}
namespace packet {
constexpr unsigned clock_snapshot = 6, timestamp = 8, sequence = 10, track_event = 11, sequence_flags = 13,
                   timestamp_clock = 58, track_descriptor = 60;
constexpr std::uint32_t state_cleared = 1;  // a flag: nothing that came before counts
}  // namespace packet
namespace snapshot {
constexpr unsigned clocks = 1, primary = 2;
}
namespace clock {
constexpr unsigned id = 1, timestamp = 2;
}
namespace track {
constexpr unsigned uuid = 1, name = 2, process = 3, parent = 5, counter = 8, description = 14;
}
namespace process {
constexpr unsigned pid = 1, name = 6;
}
namespace counter {
constexpr unsigned unit = 3, is_incremental = 5, unit_name = 6;
constexpr std::int32_t bytes = 3;
}  // namespace counter
namespace event {
constexpr unsigned annotations = 4, type = 9, track = 11, category = 22, name = 23, value = 30, double_value = 44;
constexpr std::int32_t slice_begin = 1, slice_end = 2, counter = 4;
}  // namespace event
namespace annotation {
constexpr unsigned bool_value = 2, int_value = 4, double_value = 5, string_value = 6, name = 10;
}

// A packet on a timeline; `fill` adds what it carries.
template <class Fill>
void add_packet(BufferedOutput& out, const Timeline& timeline, Fill&& fill) {
  {
    pbf_writer root(out.buffer());
    pbf_writer writer(root, trace::packet);
    writer.add_uint32(packet::sequence, timeline.sequence);
    fill(writer);
  }
  out.written();
}

template <class Fill>
void add_event(BufferedOutput& out, const Timeline& timeline, TrackId track, Nanoseconds time, std::int32_t type,
               Fill&& fill) {
  add_packet(out, timeline, [&](pbf_writer& writer) {
    writer.add_uint64(packet::timestamp, static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0)));
    writer.add_uint32(packet::timestamp_clock, timeline.clock);
    pbf_writer inner(writer, packet::track_event);
    inner.add_enum(event::type, type);
    inner.add_uint64(event::track, track);
    fill(inner);
  });
}

void add_note(pbf_writer& event, const Note& note) {
  pbf_writer writer(event, event::annotations);
  writer.add_string(annotation::name, std::string(note.first));
  std::visit(
      [&](const auto& content) {
        using Content = std::decay_t<decltype(content)>;
        if constexpr (std::is_same_v<Content, bool>)
          writer.add_bool(annotation::bool_value, content);
        else if constexpr (std::is_same_v<Content, std::int64_t>)
          writer.add_int64(annotation::int_value, content);
        else if constexpr (std::is_same_v<Content, double>)
          writer.add_double(annotation::double_value, content);
        else if constexpr (std::is_same_v<Content, std::string_view>)
          writer.add_string(annotation::string_value, well_formed(content));
        else if constexpr (std::is_same_v<Content, RawJson>)
          writer.add_string(annotation::string_value, well_formed(content.text));
      },
      note.second.content());
}

bool is_known(const Note& note) { return !std::holds_alternative<std::monostate>(note.second.content()); }

void add_moment(pbf_writer& writer, std::uint32_t id, Nanoseconds time) {
  pbf_writer moment(writer, snapshot::clocks);
  moment.add_uint32(clock::id, id);
  moment.add_uint64(clock::timestamp, static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0)));
}

}  // namespace

void Trace::add_clock(const Timeline& timeline, Nanoseconds time, Nanoseconds unix, std::uint32_t primary) {
  add_packet(out_, timeline, [&](pbf_writer& writer) {
    writer.add_uint32(packet::sequence_flags, packet::state_cleared);
    pbf_writer inner(writer, packet::clock_snapshot);
    add_moment(inner, timeline.clock, time);
    add_moment(inner, realtime_clock, unix);
    inner.add_uint32(snapshot::primary, primary);
  });
}

TrackId Trace::add_process(const Timeline& timeline, std::string_view name) {
  add_packet(out_, timeline, [&](pbf_writer& writer) {
    pbf_writer track(writer, packet::track_descriptor);
    track.add_uint64(track::uuid, ++last_track_);
    pbf_writer inner(track, track::process);
    inner.add_int32(process::pid, ++last_process_);
    inner.add_string(process::name, well_formed(name));
  });
  return last_track_;
}

TrackId Trace::add_track(const Timeline& timeline, TrackId parent, std::string_view name) {
  add_packet(out_, timeline, [&](pbf_writer& writer) {
    pbf_writer track(writer, packet::track_descriptor);
    track.add_uint64(track::uuid, ++last_track_);
    track.add_uint64(track::parent, parent);
    track.add_string(track::name, well_formed(name));
  });
  return last_track_;
}

TrackId Trace::add_counter(const Timeline& timeline, TrackId parent, const CounterTrack& counter) {
  add_packet(out_, timeline, [&](pbf_writer& writer) {
    pbf_writer track(writer, packet::track_descriptor);
    track.add_uint64(track::uuid, ++last_track_);
    track.add_uint64(track::parent, parent);
    track.add_string(track::name, well_formed(counter.name));
    if (!counter.help.empty()) track.add_string(track::description, well_formed(counter.help));
    pbf_writer inner(track, track::counter);
    if (counter.unit == "bytes")
      inner.add_enum(counter::unit, counter::bytes);
    else
      inner.add_string(counter::unit_name, well_formed(counter.unit));
    inner.add_bool(counter::is_incremental, false);  // each value is the counter's own, not what was added
  });
  return last_track_;
}

void Trace::begin(const Timeline& timeline, TrackId track, Nanoseconds time, std::string_view category,
                  std::string_view name, std::span<const Note> notes) {
  add_event(out_, timeline, track, time, event::slice_begin, [&](pbf_writer& event) {
    event.add_string(event::category, std::string(category));
    event.add_string(event::name, well_formed(name));
    for (const Note& note : notes)
      if (is_known(note)) add_note(event, note);
  });
}

void Trace::end(const Timeline& timeline, TrackId track, Nanoseconds time) {
  add_event(out_, timeline, track, time, event::slice_end, [](pbf_writer&) {});
}

void Trace::value(const Timeline& timeline, TrackId track, Nanoseconds time, std::int64_t value) {
  add_event(out_, timeline, track, time, event::counter,
            [&](pbf_writer& event) { event.add_int64(event::value, value); });
}

void Trace::value(const Timeline& timeline, TrackId track, Nanoseconds time, double value) {
  add_event(out_, timeline, track, time, event::counter,
            [&](pbf_writer& event) { event.add_double(event::double_value, value); });
}

void SliceTrack::advance(Lane& lane, Nanoseconds to) {
  while (!lane.ends.empty() && lane.ends.back() <= to) {
    trace_->end(timeline_, lane.track, lane.ends.back());
    lane.now = lane.ends.back();
    lane.ends.pop_back();
  }
}

void SliceTrack::add(const Slice& slice) {
  const Nanoseconds end = slice.end ? std::max(*slice.end, slice.begin) : Nanoseconds::max();
  const auto takes_it = [&](Lane& lane) {
    if (slice.begin < lane.now) return false;
    advance(lane, slice.begin);
    return lane.ends.empty() || end <= lane.ends.back();
  };
  auto lane = std::find_if(lanes_.begin(), lanes_.end(), takes_it);
  if (lane == lanes_.end()) {
    lanes_.push_back({.track = trace_->add_track(timeline_, parent_, name_)});
    lane = lanes_.end() - 1;
  }
  trace_->begin(timeline_, lane->track, slice.begin, slice.category, slice.name, slice.notes);
  lane->ends.push_back(end);
  lane->now = slice.begin;
}

void SliceTrack::end_all() {
  for (Lane& lane : lanes_) advance(lane, Nanoseconds::max() - Nanoseconds(1));
}

}  // namespace batchscope::perfetto
