// Figures of a recording: rates of what is counted, levels of what is measured, nothing of what stands still.
#include "report/figure/recording_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "report/svg/svg.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

class RecordingFigures : public testing::Test {
 protected:
  // A reading every 10 ms, for 10 s.
  RecordingFigures() {
    StoreWriter writer(file(), OpenMode::create);
    add_session(writer, std::chrono::milliseconds(5000));
  }
  static void add_session(StoreWriter& writer, Nanoseconds begin) {
    const auto session = writer.begin_session("record");
    const auto add = [&](const char* name, const char* unit, const char* kind) {
      return writer.add_series(
          {.session = session, .name = name, .unit = unit, .kind = kind, .device = "gpu:0 (GPU-1)", .source = "s"});
    };
    SampleBlock block;
    for (const std::int64_t id :
         {add("gpu_pcie_tx_bytes_total", "bytes", "cumulative"), add("gpu_memory_used_bytes", "bytes", "gauge"),
          add("gpu_memory_capacity_bytes", "bytes", "gauge")})
      block.columns.push_back({.series = id});
    for (int i = 0; i < 1000; ++i) {
      block.before.push_back(begin + std::chrono::milliseconds(10 * i));
      block.after.push_back(block.before.back());
      block.columns[0].integers.push_back(i < 500 ? 0 : (i - 500) * 1000);
      block.columns[1].integers.push_back(i % 100);
      block.columns[2].integers.push_back(80);
    }
    writer.append_samples({{block}}, {});
  }
  std::string file() const { return folder_ / "r.bscope"; }
  TestFolder folder_;
};

TEST_F(RecordingFigures, GroupsByDeviceAndQuantity) {
  const StoreReader reader(file());
  const auto figures = recording_figures(reader, read_recorded_sessions(reader), {});
  ASSERT_EQ(figures.size(), 2U);
  EXPECT_EQ(figures[0].id, "gpu-0-traffic");
  EXPECT_EQ(figures[0].series.at(0).name, "pcie tx");
  EXPECT_NEAR(figures[0].series[0].points.back().y, 100'000, 1);  // bytes per second
  EXPECT_EQ(figures[0].series[0].points.front().y, 0);
  EXPECT_EQ(figures[1].id, "gpu-0-memory");
  ASSERT_EQ(figures[1].series.size(), 1U);  // the capacity never moves
  EXPECT_NEAR(figures[1].series[0].points.back().x, 10, 0.1);
  for (const Figure& figure : figures) EXPECT_THAT(to_svg(figure), testing::HasSubstr("<path"));
}

TEST_F(RecordingFigures, LongNamesAreFitForFiles) {
  {
    StoreWriter writer(file(), OpenMode::create_or_append);
    const auto session = writer.begin_session("record");
    SampleBlock block;
    for (const char* end : {"a", "b"})
      block.columns.push_back({.series = writer.add_series({.session = session,
                                                            .name = "x",
                                                            .unit = "watts",
                                                            .kind = "gauge",
                                                            .device = "../" + std::string(5000, 'x') + "\xff" + end,
                                                            .source = "s"})});
    for (int i = 0; i < 10; ++i) {
      block.before.push_back(std::chrono::milliseconds(5000 + 10 * i));
      block.after.push_back(block.before.back());
      for (SampleColumn& column : block.columns) column.integers.push_back(i);
    }
    writer.append_samples({{block}}, {});
  }
  const StoreReader reader(file());
  const auto figures = recording_figures(reader, read_recorded_sessions(reader), {});
  ASSERT_EQ(figures.size(), 4U);
  EXPECT_NE(figures[2].id, figures[3].id);
  for (const Figure& figure : figures) {
    EXPECT_LT(figure.id.size(), 200U);
    EXPECT_EQ(figure.id.find_first_of("/."), std::string::npos);
  }
}

// Of a session that was added an hour later: neither is as wide as both, and what lies between is in none.
TEST_F(RecordingFigures, SessionsStayApart) {
  {
    StoreWriter writer(file(), OpenMode::append);
    add_session(writer, std::chrono::hours(1));
  }
  const StoreReader reader(file());
  const auto sessions = read_recorded_sessions(reader);
  ASSERT_EQ(sessions.size(), 2U);
  for (const RecordedSession& recorded : sessions) {
    EXPECT_NEAR(to_seconds(recorded.summary.elapsed), 10, 0.1);
    EXPECT_EQ(recorded.summary.counters.size(), 3U);
  }
  EXPECT_THAT(to_text(sessions, false, SummaryDetail::brief), testing::HasSubstr("Session 2: unknown host, record, "));
  EXPECT_EQ(to_json(sessions)["sessions"].size(), 2U);
  const auto figures = recording_figures(reader, sessions, {});
  ASSERT_EQ(figures.size(), 4U);
  EXPECT_EQ(figures[3].id, "session-2-gpu-0-memory");
  EXPECT_NEAR(figures[3].series[0].points.back().x, 10, 0.1);
  EXPECT_EQ(read_recorded_sessions(reader, 2).at(0).session.id, 2);
  EXPECT_THROW(read_recorded_sessions(reader, 3), InputError);
}

TEST_F(RecordingFigures, APartIsDrawnInFull) {
  const StoreReader reader(file());
  const auto figures = recording_figures(reader, read_recorded_sessions(reader),
                                         {.from = std::chrono::seconds(6), .to = std::chrono::seconds(7)});
  const auto& points = figures.at(1).series.at(0).points;
  EXPECT_EQ(points.size(), 101U);
  EXPECT_NEAR(points.front().x, 6, 1e-9);
  EXPECT_FALSE(points.front().low);
  EXPECT_THROW(recording_figures(reader, read_recorded_sessions(reader), {.from = std::chrono::seconds(60)}),
               InputError);
}

}  // namespace
}  // namespace batchscope
