// The Perfetto trace, decoded again: slices, their nesting and times, counters, clocks of several sessions.
#include "report/export/perfetto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <protozero/pbf_reader.hpp>
#include <random>
#include <set>

#include "report/export/perfetto_trace.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using protozero::pbf_reader;
using testing::HasSubstr;

struct DecodedTrack {
  std::string name, unit_name;
  std::uint64_t parent = 0;
  bool is_process = false, is_counter = false;
  std::int32_t unit = 0;
};

struct DecodedSlice {
  std::string name, category;
  std::int64_t begin = 0;
  std::optional<std::int64_t> end;
  std::size_t depth = 0;
  std::uint64_t track = 0;
  std::map<std::string, std::string> notes;
};

struct DecodedValue {
  std::uint64_t track = 0;
  std::int64_t time = 0;
  double value = 0;
};

// By the rules that a reader of traces follows: an end closes the innermost open slice of its track.
struct DecodedTrace {
  std::map<std::uint64_t, DecodedTrack> tracks;
  std::vector<DecodedSlice> slices;
  std::vector<DecodedValue> values;
  // Offset of a clock to Unix time, by sequence and clock.
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::int64_t> offsets;
  std::vector<std::int64_t> dates;  // of the clocks, in the order of the file
  std::map<std::uint64_t, std::vector<std::size_t>> open;
  std::map<std::uint64_t, std::int64_t> now;  // of each track

  explicit DecodedTrace(const std::string& bytes) {
    pbf_reader trace(bytes);
    while (trace.next(1)) take_packet(trace.get_message());
  }

  void take_packet(pbf_reader packet) {
    std::uint32_t sequence = 0, clock = 0;
    std::int64_t time = 0;
    while (packet.next()) switch (packet.tag()) {
        case 8:
          time = static_cast<std::int64_t>(packet.get_uint64());
          break;
        case 10:
          sequence = packet.get_uint32();
          break;
        case 58:
          clock = packet.get_uint32();
          break;
        case 6:
          take_clocks(packet.get_message(), sequence);
          break;
        case 60:
          take_track(packet.get_message());
          break;
        case 11:
          take_event(packet.get_message(), time + offsets.at({sequence, clock}));
          break;
        default:
          packet.skip();
      }
  }

  void take_clocks(pbf_reader snapshot, std::uint32_t sequence) {
    std::map<std::uint32_t, std::int64_t> moments;
    while (snapshot.next(1)) {
      std::uint32_t id = 0;
      std::int64_t time = 0;
      pbf_reader moment = snapshot.get_message();
      while (moment.next()) moment.tag() == 1 ? (id = moment.get_uint32()) : (time = moment.get_int64());
      moments[id] = time;
    }
    for (const auto& [id, time] : moments)
      if (id != 1) offsets[{sequence, id}] = moments.at(1) - time;
    dates.push_back(moments.at(1));
  }

  void take_track(pbf_reader descriptor) {
    DecodedTrack track;
    std::uint64_t id = 0;
    while (descriptor.next()) switch (descriptor.tag()) {
        case 1:
          id = descriptor.get_uint64();
          break;
        case 2:
          track.name = descriptor.get_string();
          break;
        case 3: {
          track.is_process = true;
          pbf_reader process = descriptor.get_message();
          ASSERT_TRUE(process.next(6));
          track.name = process.get_string();
          break;
        }
        case 5:
          track.parent = descriptor.get_uint64();
          break;
        case 8: {
          track.is_counter = true;
          pbf_reader counter = descriptor.get_message();
          while (counter.next())
            if (counter.tag() == 3)
              track.unit = counter.get_enum();
            else if (counter.tag() == 6)
              track.unit_name = counter.get_string();
            else
              EXPECT_FALSE(counter.get_bool());
          break;
        }
        default:
          descriptor.skip();
      }
    ASSERT_TRUE(tracks.emplace(id, track).second) << "a track's id is its own";
    ASSERT_TRUE(track.is_process || tracks.at(track.parent).is_process);
  }

  void take_event(pbf_reader event, std::int64_t time) {
    DecodedSlice slice;
    std::int32_t type = 0;
    double value = 0;
    while (event.next()) switch (event.tag()) {
        case 4: {
          pbf_reader note = event.get_message();
          std::string name, text;
          while (note.next()) {
            if (note.tag() == 10)
              name = note.get_string();
            else if (note.tag() == 6)
              text = note.get_string();
            else if (note.tag() == 4)
              text = std::to_string(note.get_int64());
            else if (note.tag() == 2)
              text = note.get_bool() ? "true" : "false";
            else
              note.skip();
          }
          slice.notes[name] = text;
          break;
        }
        case 9:
          type = event.get_enum();
          break;
        case 11:
          slice.track = event.get_uint64();
          break;
        case 22:
          slice.category = event.get_string();
          break;
        case 23:
          slice.name = event.get_string();
          break;
        case 30:
          value = static_cast<double>(event.get_int64());
          break;
        case 44:
          value = event.get_double();
          break;
        default:
          event.skip();
      }
    ASSERT_TRUE(tracks.contains(slice.track));
    auto& stack = open[slice.track];
    const auto [at, first] = now.try_emplace(slice.track, time);
    ASSERT_LE(at->second, time) << "time does not go back on a track";
    at->second = time;
    if (type == 1) {
      slice.begin = time;
      slice.depth = stack.size();
      stack.push_back(slices.size());
      slices.push_back(slice);
    } else if (type == 2) {
      ASSERT_FALSE(stack.empty());
      slices[stack.back()].end = time;
      stack.pop_back();
    } else {
      ASSERT_EQ(type, 4);
      values.push_back({.track = slice.track, .time = time, .value = value});
    }
  }

  const DecodedSlice& slice(std::string_view name) const {
    const auto found = std::find_if(slices.begin(), slices.end(), [&](const auto& one) { return one.name == name; });
    EXPECT_NE(found, slices.end()) << name;
    return *found;
  }
};

DecodedTrace decoded(const StoreReader& reader) {
  std::string bytes;
  export_perfetto(reader, [&](std::string_view piece) { bytes += piece; });
  return DecodedTrace(bytes);
}

Phase phase_of(const char* name, std::int64_t begin, std::int64_t end) {
  return {.name = name, .track = "cpu:0", .begin = Nanoseconds(begin), .end = Nanoseconds(end), .detail = "d"};
}

class PerfettoTest : public testing::Test {
 protected:
  PerfettoTest() : writer_(folder_ / "s.bscope", OpenMode::create) {}

  // A session with an attempt that has these phases, one that never ended, and a counter with a gap.
  std::int64_t add_session(const std::string& key, const std::vector<Phase>& phases) {
    const auto session = writer_.begin_session("study");
    const auto study = writer_.add_study("s", "{}");
    const std::vector<CellRecord> cells{{.key = key, .spec_json = R"({"spec":{"batch":16}})"},
                                        {.key = key + " open", .spec_json = "{}", .position = 1}};
    const auto ids = writer_.add_cells(study, cells);
    const auto attempt = writer_.start_attempt(session, ids[0]);
    writer_.finish_attempt(attempt, {.status = "out_of_memory", .valid = true, .reason = "bytes \xff"}, {}, phases, {},
                           {});
    writer_.start_attempt(session, ids[1]);
    const auto series = writer_.add_series({.session = session,
                                            .name = "link_tx_bytes_total",
                                            .unit = "bytes",
                                            .kind = "cumulative",
                                            .device = "cpu:0 (pid 1)",
                                            .source = "virtual",
                                            .is_virtual = true});
    SampleBlock block{.before = {Nanoseconds(100), Nanoseconds(200), Nanoseconds(300)},
                      .after = {Nanoseconds(104), Nanoseconds(204), Nanoseconds(304)},
                      .columns = {{.series = series, .integers = {1, 0, 3}, .present = {1, 0, 1}}}};
    const GapRecord gap{
        .series = series, .begin = Nanoseconds(200), .end = Nanoseconds(204), .ticks = 1, .reason = "gone"};
    writer_.append_samples({&block, 1}, {&gap, 1});
    return session;
  }
  std::int64_t zero(std::int64_t session) const {
    for (const auto& one : writer_.reader().sessions())
      if (one.id == session) return one.monotonic_zero_unix.count();
    return 0;
  }

  TestFolder folder_;
  StoreWriter writer_;
};

TEST_F(PerfettoTest, PhasesNestAndOverlapsKeepTheirEnds) {
  const auto session =
      add_session("c", {phase_of("outer", 10, 100), phase_of("inner", 10, 50), phase_of("next", 50, 100),
                        phase_of("crossing", 90, 120), phase_of("moment", 100, 100), phase_of("after", 120, 130)});
  const DecodedTrace trace = decoded(writer_.reader());
  const std::int64_t offset = zero(session);
  const auto expect = [&](const char* name, std::int64_t begin, std::int64_t end, std::size_t depth) {
    const DecodedSlice& slice = trace.slice(name);
    EXPECT_EQ(slice.begin, offset + begin) << name;
    EXPECT_EQ(slice.end, offset + end) << name;
    EXPECT_EQ(slice.depth, depth) << name;
    EXPECT_EQ(trace.tracks.at(slice.track).name, "cpu:0");
    EXPECT_EQ(slice.notes.at("detail"), "d");
  };
  expect("outer", 10, 100, 0);
  expect("inner", 10, 50, 1);
  expect("next", 50, 100, 1);
  expect("crossing", 90, 120, 0);
  expect("moment", 100, 100, 0);
  expect("after", 120, 130, 0);
  EXPECT_NE(trace.slice("crossing").track, trace.slice("outer").track);
}

TEST_F(PerfettoTest, CellsCountersAndGapsAreThere) {
  const auto session = add_session("c", {});
  const StoreReader reader = writer_.reader();
  const DecodedTrace trace = decoded(reader);
  const DecodedSlice& cell = trace.slice("c");
  const AttemptRecord attempt = reader.attempts()[0];
  EXPECT_EQ(cell.begin, zero(session) + attempt.begin.count());
  EXPECT_EQ(cell.end, zero(session) + attempt.end->count());
  EXPECT_EQ(cell.category, "cell");
  EXPECT_EQ(cell.notes.at("status"), "out_of_memory");
  EXPECT_EQ(cell.notes.at("batch"), "16");
  EXPECT_EQ(cell.notes.at("valid"), "true");
  EXPECT_THAT(cell.notes.at("reason"), HasSubstr("bytes \xef\xbf\xbd"));
  EXPECT_FALSE(cell.notes.contains("seconds"));  // unknown
  EXPECT_EQ(trace.slice("c open").end, std::nullopt);

  ASSERT_EQ(trace.values.size(), 2U);
  EXPECT_EQ(trace.values[1].time, zero(session) + 302);
  EXPECT_EQ(trace.values[1].value, 3);
  const DecodedTrack& counter = trace.tracks.at(trace.values[0].track);
  EXPECT_TRUE(counter.is_counter);
  EXPECT_EQ(counter.name, "link_tx_bytes_total");
  EXPECT_EQ(counter.unit, 3);
  EXPECT_EQ(trace.tracks.at(counter.parent).name, "cpu:0 (pid 1), virtual");
  const DecodedSlice& gap = trace.slice("gone");
  EXPECT_EQ(gap.begin, zero(session) + 200);
  EXPECT_EQ(gap.end, zero(session) + 204);
  EXPECT_EQ(trace.tracks.at(gap.track).name, "link_tx_bytes_total gaps");
}

TEST_F(PerfettoTest, SeveralSessionsLieWhereUnixTimePutsThem) {
  std::vector<std::int64_t> sessions;
  for (int i = 0; i < 3; ++i) {
    sessions.push_back(add_session("c" + std::to_string(i), {phase_of(("p" + std::to_string(i)).c_str(), 10, 20)}));
    writer_.end_session(sessions.back());
  }
  const DecodedTrace trace = decoded(writer_.reader());
  for (std::size_t i = 0; i < sessions.size(); ++i)
    EXPECT_EQ(trace.slice("p" + std::to_string(i)).begin, zero(sessions[i]) + 10);
  EXPECT_EQ(trace.offsets.size(), 3U);
  EXPECT_TRUE(std::is_sorted(trace.dates.begin(), trace.dates.end()));
  std::set<std::string> processes;
  for (const auto& [id, track] : trace.tracks)
    if (track.is_process && !processes.insert(track.name).second) ADD_FAILURE() << track.name << " twice";
  EXPECT_EQ(processes.size(), 6U);
}

TEST_F(PerfettoTest, FarTimesAndClocksOfTheirOwnDoNoHarm) {
  Phase early = phase_of("early", std::numeric_limits<std::int64_t>::min(), 5);
  Phase late = phase_of("late", 5, std::numeric_limits<std::int64_t>::max());
  late.clock_offset = Nanoseconds(1000);
  Phase backwards = phase_of("backwards", 50, 40);
  const auto session = add_session("c", {early, late, backwards});
  const DecodedTrace trace = decoded(writer_.reader());
  EXPECT_EQ(trace.slice("early").begin, zero(session));
  EXPECT_EQ(trace.slice("late").begin, zero(session) + 1005);
  EXPECT_EQ(trace.slice("backwards").end, trace.slice("backwards").begin);
}

// Whatever intervals: each keeps its begin and its end when read by the rule of the innermost open slice.
RC_GTEST_PROP(SliceTrack, KeepsEveryInterval, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(0, 30);
  std::multiset<std::pair<std::int64_t, std::int64_t>> wanted, found;
  std::string bytes;
  {
    perfetto::Trace trace([&](std::string_view piece) { bytes += piece; });
    const perfetto::Timeline timeline;
    trace.add_clock(timeline, Nanoseconds(0), Nanoseconds(0), perfetto::monotonic_clock);
    perfetto::SliceTrack track(trace, timeline, trace.add_process(timeline, "p"), "t");
    for (std::size_t i = 0; i < count; ++i) {
      const auto begin = *rc::gen::inRange<std::int64_t>(0, 20), length = *rc::gen::inRange<std::int64_t>(0, 8);
      track.add({.category = "c", .name = "s", .begin = Nanoseconds(begin), .end = Nanoseconds(begin + length)});
      wanted.emplace(begin, begin + length);
    }
    track.end_all();
    trace.flush();
  }
  for (const DecodedSlice& slice : DecodedTrace(bytes).slices) {
    RC_ASSERT(slice.end.has_value());
    found.emplace(slice.begin, *slice.end);
  }
  RC_ASSERT(wanted == found);
}

}  // namespace
}  // namespace batchscope
