// Values, rates and histories of one counter: what is unknown stays so.
#include "top/track.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchscope::top {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::Optional;

constexpr Nanoseconds step = seconds(1);

Track track_of(CounterKind kind) { return Track(Counter{.name = "c", .unit = "bytes", .device = "d", .kind = kind}); }
auto nearly(double value) { return Optional(DoubleNear(value, 1e-9)); }

TEST(Track, RateIsOfTheLastStepAndNotOfWhatCameLater) {
  Track track = track_of(CounterKind::cumulative);
  for (int i = 0; i <= 10; ++i) track.add(milliseconds(500 * i), i < 6 ? 10.0 * i : 50.0 + 30.0 * (i - 5));
  EXPECT_THAT(track.now(milliseconds(2500), step), nearly(20));
  EXPECT_THAT(track.now(milliseconds(3000), step), nearly(40));  // 40 → 80 within the second
  EXPECT_THAT(track.now(milliseconds(5000), step), nearly(60));
  EXPECT_THAT(track.last(milliseconds(2500)), nearly(50));
  EXPECT_EQ(track.now(Nanoseconds(-1), step), std::nullopt);
  EXPECT_EQ(track.now(Nanoseconds(0), step), std::nullopt);  // one reading is no rate
}

TEST(Track, RateOfReadingsThatAreFartherApartThanAStep) {
  Track track = track_of(CounterKind::cumulative);
  track.add(seconds(0), 0);
  track.add(seconds(4), 40);
  EXPECT_THAT(track.now(seconds(4), step), nearly(10));
}

TEST(Track, NoRateAcrossAnUnknownIncrease) {
  Track track = track_of(CounterKind::cumulative);
  track.add(seconds(0), 0);
  track.add(seconds(1), 10);
  track.add_absence(seconds(1), seconds(2), "longer than it may take to wrap");
  track.add(seconds(2), 10);
  EXPECT_EQ(track.now(seconds(2), step), std::nullopt);
  track.add(seconds(3), 30);
  EXPECT_THAT(track.now(seconds(3), 2 * step), nearly(20));
  EXPECT_THAT(track.history(seconds(3), step, 3), ElementsAre(nearly(10), std::nullopt, nearly(20)));
}

TEST(Track, WindowIsTheMeanOfAStepAndAGaugeItsLastValue) {
  Track window = track_of(CounterKind::window), gauge = track_of(CounterKind::gauge);
  for (int i = 1; i <= 8; ++i)
    for (Track* track : {&window, &gauge}) track->add(milliseconds(250 * i), i);
  EXPECT_THAT(window.now(seconds(2), step), nearly(6.5));
  EXPECT_THAT(gauge.now(seconds(2), step), nearly(8));
  EXPECT_THAT(window.history(seconds(2), step, 2), ElementsAre(nearly(2.5), nearly(6.5)));
}

TEST(Track, AbsenceSaysWhyAndIsBlank) {
  Track track = track_of(CounterKind::gauge);
  track.add(seconds(1), 5);
  track.add_absence(seconds(1), seconds(2), "lost");
  track.add_absence(seconds(1), seconds(4), "lost");
  EXPECT_EQ(track.now(seconds(4), step), std::nullopt);
  EXPECT_EQ(track.why_absent(seconds(4)), "lost");
  EXPECT_TRUE(track.is_read(seconds(4)));
  EXPECT_THAT(track.history(seconds(4), step, 4), ElementsAre(nearly(5), std::nullopt, std::nullopt, std::nullopt));
  track.add(seconds(5), 6);
  EXPECT_THAT(track.now(seconds(5), step), nearly(6));
  EXPECT_EQ(track.why_absent(seconds(5)), "");
  // As it was before.
  EXPECT_THAT(track.now(seconds(1), step), nearly(5));
  EXPECT_EQ(track.why_absent(seconds(1)), "");
}

TEST(Track, ReadingsThatCeaseAreBelievedForAWhile) {
  Track track = track_of(CounterKind::gauge);
  track.add(seconds(1), 5);
  track.add(seconds(2), 5);
  EXPECT_THAT(track.now(seconds(5), step), nearly(5));
  EXPECT_EQ(track.now(seconds(6), step), std::nullopt);
  EXPECT_FALSE(track.is_read(seconds(6)));
  // Of one that comes every 10 s for longer.
  Track rare = track_of(CounterKind::gauge);
  rare.add(seconds(10), 1);
  rare.add(seconds(20), 2);
  EXPECT_THAT(rare.now(seconds(39), step), nearly(2));
  EXPECT_THAT(rare.history(seconds(20), 5 * step, 3), ElementsAre(nearly(1), nearly(1), nearly(2)));
}

TEST(Track, ZeroIsNoAbsence) {
  Track track = track_of(CounterKind::cumulative);
  track.add(seconds(0), 7);
  track.add(seconds(2), 7);
  EXPECT_THAT(track.history(seconds(2), step, 3), ElementsAre(std::nullopt, nearly(0), nearly(0)));
  EXPECT_THAT(track.now(seconds(2), step), nearly(0));
}

TEST(Track, ColumnsDoNotChangeOnceDrawn) {
  Track track = track_of(CounterKind::cumulative);
  double total = 0;
  History before;
  for (int i = 0; i < 200; ++i) {
    const Nanoseconds now = milliseconds(170 * i);
    track.add(now, total += i % 7);
    const History history = track.history(now, step, 20);
    const bool moved = now / step != (now - milliseconds(170)) / step;
    for (std::size_t c = 0; !before.empty() && c + 1 < history.size(); ++c)
      if (const auto& old = before[c + (moved ? 1 : 0)]) {
        EXPECT_NEAR(history[c].value_or(-1), *old, 1e-9) << i;
      }
    before = history;
  }
}

TEST(Track, KeepsTheLastPoints) {
  Track track = track_of(CounterKind::gauge);
  for (int i = 0; i < 1000; ++i) {
    track.add(seconds(i), i);
    track.keep_last(10);
  }
  EXPECT_THAT(track.now(seconds(999), step), nearly(999));
  EXPECT_THAT(track.now(seconds(990), step), nearly(990));
  EXPECT_EQ(track.now(seconds(900), step), std::nullopt);
}

TEST(Tracks, TheNewestOfANameIsFound) {
  Tracks tracks;
  Track& first = tracks.add({.name = "a", .device = "gpu"});
  Track& second = tracks.add({.name = "a", .device = "gpu"});
  tracks.add({.name = "b", .device = "host"});
  ASSERT_EQ(tracks.devices().size(), 2U);
  EXPECT_EQ(tracks.device("gpu")->find("a"), &second);
  EXPECT_NE(&first, &second);
  EXPECT_EQ(tracks.device("gpu")->find("b"), nullptr);
  EXPECT_EQ(tracks.device("disk"), nullptr);
}

}  // namespace
}  // namespace batchscope::top
