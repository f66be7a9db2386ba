// Keys.
#include "top/view.h"

#include <gtest/gtest.h>

namespace batchscope::top {
namespace {

constexpr std::size_t boards = 3, page = 20;

Key key(char character) { return {Key::character, character}; }

TEST(View, QuitsAsHtopAndNvtopDo) {
  for (const Key quit : {key('q'), Key{Key::f10}, Key{Key::hung_up}}) {
    View view;
    EXPECT_TRUE(handle(view, quit, {boards, page, {}}));
    EXPECT_TRUE(view.quit);
  }
}

TEST(View, AnyKeyLeavesTheHelp) {
  for (const Key help : {key('h'), key('?'), Key{Key::f1}}) {
    View view;
    handle(view, help, {boards, page, {}});
    EXPECT_TRUE(view.help);
    handle(view, {Key::resized}, {boards, page, {}});
    EXPECT_TRUE(view.help);
    handle(view, key('q'), {boards, page, {}});
    EXPECT_FALSE(view.help);
    EXPECT_FALSE(view.quit);
  }
}

TEST(View, GpusOneByOne) {
  View view;
  std::vector<std::optional<std::size_t>> seen;
  for (int i = 0; i < 5; ++i) {
    handle(view, key('g'), {boards, page, {}});
    seen.push_back(view.only_board);
  }
  EXPECT_EQ(seen, (std::vector<std::optional<std::size_t>>{0, 1, 2, std::nullopt, 0}));
  handle(view, key('G'), {boards, page, {}});
  EXPECT_EQ(view.only_board, std::nullopt);
  handle(view, key('G'), {boards, page, {}});
  EXPECT_EQ(view.only_board, 2U);
  handle(view, key('1'), {boards, page, {}});
  EXPECT_EQ(view.only_board, 1U);
  handle(view, key('7'), {boards, page, {}});  // there is none
  EXPECT_EQ(view.only_board, 1U);
  handle(view, key('1'), {boards, page, {}});
  EXPECT_EQ(view.only_board, std::nullopt);
}

TEST(View, OrdersProcesses) {
  View view;
  handle(view, key('M'), {boards, page, {}});
  EXPECT_EQ(view.order, ProcessOrder::memory);
  EXPECT_TRUE(view.reversed);
  handle(view, key('N'), {boards, page, {}});
  EXPECT_EQ(view.order, ProcessOrder::pid);
  EXPECT_FALSE(view.reversed);
  handle(view, key('P'), {boards, page, {}});
  EXPECT_EQ(view.order, ProcessOrder::utilization);
  handle(view, key('N'), {boards, page, {}});
  handle(view, key('I'), {boards, page, {}});
  EXPECT_TRUE(view.reversed);
  for (std::size_t i = 0; i < process_orders; ++i) handle(view, {Key::f6}, {boards, page, {}});
  EXPECT_EQ(view.order, ProcessOrder::pid);
  EXPECT_FALSE(view.reversed);
}

TEST(View, ScrollsAndStopsAtTheTop) {
  View view;
  handle(view, {Key::page_down}, {boards, page, {}});
  handle(view, {Key::up}, {boards, page, {}});
  EXPECT_EQ(view.scroll, page - 1);
  handle(view, {Key::page_up}, {boards, page, {}});
  handle(view, {Key::up}, {boards, page, {}});
  EXPECT_EQ(view.scroll, 0U);
}

TEST(View, EndsAProcessThatIsChosenAndMeant) {
  const KeyTargets targets{boards, page, {11, 12, 13}};
  View view;
  for (const Key pressed : {key('k'), Key{Key::down}, key('y')}) EXPECT_TRUE(handle(view, pressed, targets));
  ASSERT_TRUE(view.ending);
  EXPECT_EQ(view.ending->pid, 12);
  EXPECT_EQ(view.to_end, std::nullopt) << "not by one answer";
  handle(view, {Key::resized}, targets);
  handle(view, key('y'), {boards, page, {13, 12}});  // the order has changed meanwhile
  EXPECT_EQ(view.to_end, 12);
  EXPECT_FALSE(view.ending);
}

TEST(View, AnyOtherAnswerEndsNothing) {
  const KeyTargets targets{boards, page, {11}};
  for (const Key other : {key('n'), key('k'), key('q'), Key{Key::escape}, Key{Key::down}}) {
    View view;
    for (const Key pressed : {Key{Key::f9}, key('y'), other}) handle(view, pressed, targets);
    EXPECT_EQ(view.to_end, std::nullopt);
    EXPECT_FALSE(view.ending);
    EXPECT_FALSE(view.quit);
  }
  View view;
  EXPECT_FALSE(handle(view, key('k'), {boards, page, {}})) << "a recording has none to end";
}

TEST(View, SaysWhatIsNoKey) {
  View view;
  EXPECT_FALSE(handle(view, key('x'), {boards, page, {}}));
  EXPECT_FALSE(handle(view, {Key::left}, {boards, page, {}}));
  EXPECT_TRUE(handle(view, key(' '), {boards, page, {}}));
  EXPECT_TRUE(view.paused);
}

}  // namespace
}  // namespace batchscope::top
