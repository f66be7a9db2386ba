// A session of a .bscope file. Counters are read as they are needed, some time at once: a file of hours opens at once.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "store/store.h"
#include "top/feed.h"
#include "top/playback.h"

namespace batchscope::top {

// The counters of one session, in pages of time; at hand are those before one moment.
class RecordedTracks {
 public:
  RecordedTracks(const StoreReader& reader, std::int64_t session);

  bool empty() const { return series_.empty(); }
  Nanoseconds begin() const { return begin_; }  // of the first reading
  Nanoseconds end() const { return end_; }      // of the last
  // Has all that a screen shows as of `at`. Reads only what is not at hand.
  void load(Nanoseconds at);
  const Tracks& tracks() const { return tracks_; }

 private:
  struct Series {
    SeriesRecord record{};
    Track* track = nullptr;
    std::vector<GapRecord> gaps{};
  };
  using Page = std::vector<std::vector<Track::Point>>;  // [series]

  Page read(std::int64_t page) const;
  void fill_tracks();

  const StoreReader& reader_;
  std::vector<Series> series_;
  Tracks tracks_;
  Nanoseconds begin_{0}, end_{0};
  std::map<std::int64_t, Page> pages_;  // by number, from the begin
};

// Phases of a session and of its attempts, which are read one at a time.
class RecordedPhases {
 public:
  RecordedPhases(const StoreReader& reader, std::int64_t session);
  // What ran then, on each track the innermost.
  std::vector<RunningPhase> at(Nanoseconds time) const;
  void load(Nanoseconds time);

 private:
  struct Attempt {
    std::int64_t id = 0;
    Nanoseconds begin{0}, end{0};
  };
  const StoreReader& reader_;
  std::vector<Attempt> attempts_;
  std::vector<Phase> of_session_, of_attempt_;
  std::optional<std::int64_t> loaded_;  // attempt
};

struct ReplayOptions {
  std::optional<std::int64_t> session{};  // absent: the last that has counters
  double speed = 1;
  Nanoseconds at{0};
};

class RecordedFeed : public Feed {
 public:
  // InputError: no such session, or none with counters.
  RecordedFeed(const std::filesystem::path& file, const ReplayOptions& options);

  Nanoseconds update_interval() const override { return std::chrono::milliseconds(100); }
  bool update(bool paused) override;
  Observation observation() const override;
  Caption caption() const override;
  bool handle(const Key& key) override;

 private:
  Nanoseconds at() const { return tracks_.begin() + playback_.position(); }
  void load();

  StoreReader reader_;
  SessionRecord session_;
  RecordedTracks tracks_;
  RecordedPhases phases_;
  Playback playback_;
  Nanoseconds step_;  // of a column
  SamplingCost sampling_;
  std::optional<Nanoseconds> updated_;  // absent: not shown yet
};

}  // namespace batchscope::top
