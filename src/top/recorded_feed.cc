// A recording on the screen (top/recorded_feed.h).
#include "top/recorded_feed.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace batchscope::top {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Nanoseconds page_length = seconds(64);
constexpr std::size_t buckets_a_page = 512;  // of a series
constexpr std::int64_t pages_shown = 5;      // more than the columns of a screen
constexpr std::size_t pages_kept = 12;
constexpr Nanoseconds shortest_sight = milliseconds(500);  // of a phase: a mark has no length

// Short recordings fill the graphs of a screen, too.
Nanoseconds step_for(Nanoseconds length) {
  for (const Nanoseconds step : {milliseconds(100), milliseconds(200), milliseconds(500)})
    if (length <= 100 * step) return step;
  return seconds(1);
}

CounterKind kind_of(const SeriesRecord& series) {
  for (const CounterKind kind : {CounterKind::gauge, CounterKind::cumulative, CounterKind::window})
    if (series.kind == name_of(kind)) return kind;
  return CounterKind::gauge;
}

Counter counter_of(const SeriesRecord& series) {
  return {.name = series.name,
          .unit = series.unit,
          .device = series.device,
          .kind = kind_of(series),
          .is_virtual = series.is_virtual,
          .is_integer = series.is_integer};
}

// A bucket is its mean, from its begin on; of levels and totals its first and last value.
std::vector<Track::Point> points_of(const std::vector<SeriesBucket>& buckets, const SeriesRecord& series) {
  const bool is_mean = kind_of(series) == CounterKind::window || series.unit == "ratio";
  std::vector<Track::Point> points;
  for (const SeriesBucket& bucket : buckets) {
    if (!bucket.first || !bucket.last || !bucket.sum) continue;
    points.push_back({bucket.begin, is_mean ? *bucket.sum / static_cast<double>(bucket.count) : *bucket.first});
    if (!is_mean && bucket.end > bucket.begin) points.push_back({bucket.end, *bucket.last});
  }
  return points;
}

SessionRecord session_of(const StoreReader& reader, std::optional<std::int64_t> wanted) {
  const auto sessions = reader.sessions();
  for (auto session = sessions.rbegin(); session != sessions.rend(); ++session)
    if (wanted ? session->id == *wanted : !reader.series(session->id).empty()) return *session;
  if (!wanted)
    throw InputError("{} has no counters to replay; make a recording with: batchscope record -o FILE.bscope -- COMMAND",
                     reader.path().string());
  std::string known;
  for (const SessionRecord& session : sessions)
    known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", session.id, session.verb);
  throw InputError("--session {}: {} has no such session; it has {}", *wanted, reader.path().string(),
                   known.empty() ? "none" : known);
}

}  // namespace

RecordedTracks::RecordedTracks(const StoreReader& reader, std::int64_t session) : reader_(reader) {
  begin_ = Nanoseconds::max();
  for (SeriesRecord& record : reader.series(session)) {
    if (!is_on_screen(record.name)) continue;
    const SeriesSummary summary = reader.summary(record.id);
    if (!summary.begin || !summary.end) continue;
    begin_ = std::min(begin_, *summary.begin);
    end_ = std::max(end_, *summary.end);
    Track& track = tracks_.add(counter_of(record));
    auto gaps = reader.gaps(record.id);
    series_.push_back({.record = std::move(record), .track = &track, .gaps = std::move(gaps)});
  }
}

void RecordedTracks::load(Nanoseconds at) {
  const std::int64_t last = (at - begin_) / page_length, first = std::max<std::int64_t>(last - pages_shown + 1, 0);
  bool is_new = false;
  for (std::int64_t page = first; page <= last; ++page)
    if (!pages_.contains(page)) {
      pages_.emplace(page, read(page));
      is_new = true;
    }
  // The farthest are forgotten first.
  while (pages_.size() > pages_kept) {
    const bool is_low = last - pages_.begin()->first > pages_.rbegin()->first - last;
    pages_.erase(is_low ? pages_.begin() : std::prev(pages_.end()));
  }
  if (is_new) fill_tracks();
}

RecordedTracks::Page RecordedTracks::read(std::int64_t page) const {
  const Nanoseconds from = begin_ + page * page_length, to = from + page_length - Nanoseconds(1);
  Page out;
  for (const Series& series : series_)
    out.push_back(points_of(reader_.buckets(series.record, buckets_a_page, from, to), series.record));
  return out;
}

void RecordedTracks::fill_tracks() {
  const Nanoseconds from = begin_ + pages_.begin()->first * page_length;
  const Nanoseconds to = begin_ + (pages_.rbegin()->first + 1) * page_length;
  for (std::size_t i = 0; i < series_.size(); ++i) {
    std::vector<Track::Point> points;
    std::vector<Track::Absence> absences;
    std::int64_t next = pages_.begin()->first;
    for (const auto& [number, page] : pages_) {
      // Between pages that are not neighbours nothing is known here.
      if (number != next) absences.push_back({begin_ + next * page_length, begin_ + number * page_length, "not read"});
      next = number + 1;
      // A chunk that was not cut reaches into two pages.
      for (const Track::Point& point : page[i])
        if (points.empty() || point.at > points.back().at) points.push_back(point);
    }
    for (const GapRecord& gap : series_[i].gaps)
      if (gap.begin < to && gap.end > from) absences.push_back({gap.begin, gap.end, gap.reason});
    std::stable_sort(absences.begin(), absences.end(), [](const auto& a, const auto& b) { return a.end < b.end; });
    series_[i].track->set(std::move(points), std::move(absences));
  }
}

RecordedPhases::RecordedPhases(const StoreReader& reader, std::int64_t session)
    : reader_(reader), of_session_(reader.session_phases(session)) {
  for (const AttemptRecord& attempt : reader.attempts())
    if (attempt.session == session)
      attempts_.push_back({attempt.id, attempt.begin, attempt.end.value_or(Nanoseconds::max())});
}

void RecordedPhases::load(Nanoseconds time) {
  for (const Attempt& attempt : attempts_) {
    if (attempt.begin > time || attempt.end < time || loaded_ == attempt.id) continue;
    of_attempt_ = reader_.phases(attempt.id);
    loaded_ = attempt.id;
    return;
  }
}

std::vector<RunningPhase> RecordedPhases::at(Nanoseconds time) const {
  std::map<std::string, RunningPhase> by_track;
  for (const auto* phases : {&of_session_, &of_attempt_})
    for (const Phase& phase : *phases) {
      const Nanoseconds begin = phase.begin + phase.clock_offset;
      const Nanoseconds end = std::max(phase.end + phase.clock_offset, begin + shortest_sight);
      if (begin > time || end <= time) continue;
      auto& running = by_track[phase.track];
      if (running.track.empty() || time - begin < running.since)
        running = {.track = phase.track, .name = phase.name, .detail = phase.detail, .since = time - begin};
    }
  std::vector<RunningPhase> out;
  for (auto& [track, phase] : by_track) out.push_back(std::move(phase));
  return out;
}

RecordedFeed::RecordedFeed(const std::filesystem::path& file, const ReplayOptions& options)
    : reader_(file),
      session_(session_of(reader_, options.session)),
      tracks_(reader_, session_.id),
      phases_(reader_, session_.id),
      playback_(tracks_.empty() ? Nanoseconds(0) : tracks_.end() - tracks_.begin(), options.speed),
      step_(step_for(playback_.length())) {
  if (tracks_.empty())
    throw InputError("session {} of {} has no counters that a screen shows", session_.id, file.string());
  for (const SamplerRecord& sampler : reader_.samplers(session_.id)) {
    if (sampler.cpu_share) sampling_.cpu_share = sampling_.cpu_share.value_or(0) + *sampler.cpu_share;
    sampling_.missed += sampler.missed + sampler.dropped;
  }
  if (options.at > playback_.length())
    throw InputError("--at: the recording is only {:.1f} s long", to_seconds(playback_.length()));
  playback_.go_to(options.at);
  load();
}

void RecordedFeed::load() {
  tracks_.load(at());
  phases_.load(at());
}

bool RecordedFeed::update(bool paused) {
  const Nanoseconds now = monotonic_clock().now(), before = playback_.position();
  const bool is_first = !updated_;
  if (!paused && updated_) playback_.advance(now - *updated_);
  updated_ = now;
  if (playback_.position() == before) return is_first;
  load();
  return true;
}

Observation RecordedFeed::observation() const {
  return {.tracks = tracks_.tracks(),
          .at = at(),
          .step = step_,
          .environment = session_.environment,
          .sampling = sampling_,
          .phases = phases_.at(at())};
}

Caption RecordedFeed::caption() const {
  return {.title = "replay of " + reader_.path().filename().string(),
          .when = date_text(session_.monotonic_zero_unix + at()),
          .no_boards = "No GPU and no virtual device in this recording.",
          .bar = TimeBar{playback_.position(), playback_.length(), playback_.speed()}};
}

bool RecordedFeed::handle(const Key& key) {
  if (key.code == Key::left || key.code == Key::right)
    playback_.seek(key.code == Key::left ? seconds(-1) : seconds(1));
  else if (key.code == Key::shift_left || key.is(','))
    playback_.seek(seconds(-10));
  else if (key.code == Key::shift_right || key.is('.'))
    playback_.seek(seconds(10));
  else if (key.is('['))
    playback_.seek(seconds(-60));
  else if (key.is(']'))
    playback_.seek(seconds(60));
  else if (key.code == Key::home)
    playback_.go_to(Nanoseconds(0));
  else if (key.code == Key::end)
    playback_.go_to(playback_.length());
  else if (key.is('+') || key.is('='))
    playback_.faster();
  else if (key.is('-'))
    playback_.slower();
  else
    return false;
  load();
  return true;
}

}  // namespace batchscope::top
