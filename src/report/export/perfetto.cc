// What becomes which track (report/export/perfetto.h): each session is a process, and so is each device of a session.
#include "report/export/perfetto.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "report/export/export_samples.h"
#include "report/export/perfetto_trace.h"

namespace batchscope {
namespace {

using perfetto::SliceTrack;
using perfetto::Timeline;
using perfetto::TrackId;

// A session, where its times belong and how it is called.
struct SessionTracks {
  const SessionRecord* session = nullptr;
  Timeline timeline;
  std::string suffix;  // tells its processes from those of other sessions
};

Nanoseconds clamped_sum(Nanoseconds a, Nanoseconds b) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a.count(), b.count(), &sum)) return Nanoseconds(sum);
  return a.count() < 0 ? Nanoseconds::min() : Nanoseconds::max();
}

Nanoseconds middle(Nanoseconds before, Nanoseconds after) {
  return Nanoseconds((before.count() & after.count()) + ((before.count() ^ after.count()) >> 1));  // cannot overflow
}

// The moment at which the session's clock is tied to Unix time: any will do, the offset stays.
Nanoseconds start_of(const SessionRecord& session) {
  constexpr double latest = 9e9;  // s: a damaged date must not leave int64_t; NaN fails the comparison
  const bool known = session.started_unix_s >= 0 && session.started_unix_s < latest;
  const Nanoseconds unix = known ? from_seconds(session.started_unix_s) : Nanoseconds(0);
  const Nanoseconds zero = session.monotonic_zero_unix;
  return zero.count() >= 0 && zero <= unix ? unix - zero : Nanoseconds(0);
}

// Sessions in the order of their dates: Perfetto takes no Unix time that goes back. One session alone has the host's
// monotonic clock; several may be of several hosts or boots, so each has a clock of its own that only Unix time ties to
// the others.
std::vector<SessionTracks> tie_clocks(const std::vector<SessionRecord>& sessions, perfetto::Trace& trace) {
  std::vector<SessionTracks> tracks;
  const bool several = sessions.size() > 1;
  for (const SessionRecord& session : sessions) {
    const auto host = session.environment.find("host");
    tracks.push_back({.session = &session,
                      .timeline = {.sequence = static_cast<std::uint32_t>(tracks.size() + 1),
                                   .clock = several ? perfetto::own_clock : perfetto::monotonic_clock},
                      .suffix = (host == session.environment.end() ? "" : " on " + host->second) +
                                (several ? fmt::format(", session {}", session.id) : "")});
  }
  const auto date = [](const SessionTracks& one) {
    return clamped_sum(start_of(*one.session), one.session->monotonic_zero_unix);
  };
  std::stable_sort(tracks.begin(), tracks.end(), [&](const auto& a, const auto& b) { return date(a) < date(b); });
  for (const SessionTracks& one : tracks)
    trace.add_clock(one.timeline, start_of(*one.session), date(one),
                    several ? perfetto::realtime_clock : perfetto::monotonic_clock);
  return tracks;
}

// Tracks of slices of one process, by name.
class SliceTracks {
 public:
  SliceTracks(perfetto::Trace& trace, const Timeline& timeline, TrackId process)
      : trace_(trace), timeline_(timeline), process_(process) {}
  ~SliceTracks() = default;
  SliceTrack& at(const std::string& name) {
    return tracks_.try_emplace(name, trace_, timeline_, process_, name).first->second;
  }
  void end_all() {
    for (auto& [name, track] : tracks_) track.end_all();
  }

 private:
  perfetto::Trace& trace_;
  Timeline timeline_;
  TrackId process_;
  std::map<std::string, SliceTrack> tracks_;
};

void add_phases(SliceTracks& tracks, std::vector<Phase> phases) {
  for (Phase& phase : phases) {
    phase.begin = clamped_sum(phase.begin, phase.clock_offset);
    phase.end = clamped_sum(phase.end, phase.clock_offset);
  }
  std::stable_sort(phases.begin(), phases.end(), [](const Phase& a, const Phase& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  for (const Phase& phase : phases) {
    std::vector<perfetto::Note> notes{{"detail", phase.detail}};
    if (phase.clock_error != Nanoseconds(0)) notes.push_back({"clock_error_ns", phase.clock_error});
    tracks.at(phase.track)
        .add({.category = "phase", .name = phase.name, .begin = phase.begin, .end = phase.end, .notes = notes});
  }
}

// Cells by id, with their study's name.
using NamedCells = std::map<std::int64_t, std::pair<std::string, CellRecord>>;

NamedCells named_cells(const StoreReader& reader) {
  NamedCells cells;
  for (const StudyRecord& study : reader.studies())
    for (CellRecord& cell : reader.cells(study.id)) cells[cell.id] = {study.name, std::move(cell)};
  return cells;
}

void add_attempt(SliceTracks& tracks, const AttemptRecord& attempt, const NamedCells& cells) {
  const auto named = cells.find(attempt.cell);
  if (named == cells.end()) return;
  const auto& [study, cell] = named->second;
  const auto spec = nlohmann::json::parse(cell.spec_json, nullptr, false);
  const nlohmann::json::json_pointer batch_place("/spec/batch");
  perfetto::Note batch{"batch", ExportValue()};
  if (spec.contains(batch_place) && spec[batch_place].is_number_integer())
    batch.second = spec[batch_place].get<std::int64_t>();
  tracks.at("cells").add({.category = "cell",
                          .name = cell.key,
                          .begin = attempt.begin,
                          .end = attempt.end,
                          .notes = {{"study", study},
                                    {"key", cell.key},
                                    {"attempt", attempt.number},
                                    {"status", attempt.status},
                                    batch,
                                    {"valid", attempt.valid},
                                    {"reason", attempt.reason},
                                    {"seconds", attempt.seconds}}});
}

void add_session(perfetto::Trace& trace, const StoreReader& reader, const SessionTracks& tracks,
                 const NamedCells& cells) {
  const SessionRecord& session = *tracks.session;
  SliceTracks slices(trace, tracks.timeline, trace.add_process(tracks.timeline, session.verb + tracks.suffix));
  std::vector<AttemptRecord> attempts = reader.attempts();
  std::erase_if(attempts, [&](const AttemptRecord& attempt) { return attempt.session != session.id; });
  std::stable_sort(attempts.begin(), attempts.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  for (const AttemptRecord& attempt : attempts) {
    add_attempt(slices, attempt, cells);
    add_phases(slices, reader.phases(attempt.id));
  }
  add_phases(slices, reader.session_phases(session.id));
  slices.end_all();
}

void add_series(perfetto::Trace& trace, const StoreReader& reader, const Timeline& timeline, TrackId device,
                const SeriesRecord& series) {
  const TrackId track =
      trace.add_counter(timeline, device, {.name = series.name, .unit = series.unit, .help = series.help});
  each_portion(reader, series, [&](const SampleSeries& samples) {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const Nanoseconds time = middle(samples.before[i], samples.after[i]);
      if (series.is_integer)
        trace.value(timeline, track, time, samples.integers[i]);
      else
        trace.value(timeline, track, time, samples.reals[i]);
    }
  });
  SliceTrack gaps(trace, timeline, device, series.name + " gaps");
  for (const GapRecord& gap : reader.gaps(series.id))
    gaps.add({.category = "gap",
              .name = gap.reason,
              .begin = gap.begin,
              .end = gap.end,
              .notes = {{"counter", series.name}, {"readings", gap.ticks}}});
  gaps.end_all();
}

void add_counters(perfetto::Trace& trace, const StoreReader& reader, const SessionTracks& tracks) {
  std::map<std::string, TrackId> devices;
  for (const SeriesRecord& series : reader.series(tracks.session->id)) {
    const std::string name = series.device + (series.is_virtual ? ", virtual" : "") + tracks.suffix;
    const auto [device, is_new] = devices.try_emplace(name, 0);
    if (is_new) device->second = trace.add_process(tracks.timeline, name);
    add_series(trace, reader, tracks.timeline, device->second, series);
  }
}

}  // namespace

void export_perfetto(const StoreReader& reader, const ByteSink& out) {
  perfetto::Trace trace(out);
  const std::vector<SessionRecord> sessions = reader.sessions();
  const NamedCells cells = named_cells(reader);
  const std::vector<SessionTracks> tracks = tie_clocks(sessions, trace);
  for (const SessionTracks& session : tracks) add_session(trace, reader, session, cells);
  for (const SessionTracks& session : tracks) add_counters(trace, reader, session);
  trace.flush();
}

}  // namespace batchscope
