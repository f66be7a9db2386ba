// Events out of a stream: ends of lines, comments, pieces, what is left at the end.
#include "http/event_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace batchscope::http {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct ReadEvents {
  std::vector<std::string> events;
  std::size_t unknown_lines;
  bool is_whole, ended_within_line;
};

ReadEvents read_events(std::string_view bytes, std::size_t piece = 1, std::size_t longest = 1000) {
  EventStreamReader reader(longest);
  ReadEvents result{};
  const auto add = [&](std::string_view data) { result.events.emplace_back(data); };
  result.is_whole = true;
  for (std::size_t at = 0; at < bytes.size() && result.is_whole; at += piece)
    result.is_whole = reader.take(bytes.substr(at, piece), add);
  result.ended_within_line = reader.is_within_line();
  reader.end(add);
  result.unknown_lines = reader.unknown_lines();
  return result;
}

TEST(EventStream, EveryEndOfALineInPiecesOfAnySize) {
  for (std::size_t piece = 1; piece < 40; ++piece) {
    EXPECT_THAT(read_events("\xEF\xBB\xBF"
                            "data: a\r\ndata:b\r\n\r\ndata: c\n\n: comment\n\ndata:  d\r\r",
                            piece)
                    .events,
                ElementsAre("a\nb", "c", " d"));
  }
}

TEST(EventStream, FieldsWithoutDataAreNoEvent) {
  const ReadEvents result = read_events("event: ping\nid: 3\nretry: 10\n\ndata\n\ndata:\n\n");
  EXPECT_THAT(result.events, ElementsAre("", ""));
  EXPECT_EQ(result.unknown_lines, 0U);
}

TEST(EventStream, UnknownLinesAreCountedAndIgnored) {
  const ReadEvents result = read_events("{\"a\": 1}\ndta: x\ndata: y\n\n");
  EXPECT_THAT(result.events, ElementsAre("y"));
  EXPECT_EQ(result.unknown_lines, 2U);
}

TEST(EventStream, LastEventNeedsNoEmptyLineButItsLineAnEnd) {
  EXPECT_THAT(read_events("data: a\n").events, ElementsAre("a"));
  const ReadEvents cut = read_events("data: a");
  EXPECT_THAT(cut.events, IsEmpty());
  EXPECT_TRUE(cut.ended_within_line);
}

TEST(EventStream, NothingGrowsBeyondTheLimit) {
  EXPECT_FALSE(read_events("data: " + std::string(100, 'x'), 7, 50).is_whole);
  std::string lines;
  for (int i = 0; i < 20; ++i) lines += "data: 0123456789\n";
  EXPECT_FALSE(read_events(lines, 7, 50).is_whole);
  EXPECT_TRUE(
      read_events("data: 0123456789\n\ndata: 0123456789\n\ndata: 0123456789\n\ndata: 0123456789\n\n", 7, 50).is_whole);
}

}  // namespace
}  // namespace batchscope::http
