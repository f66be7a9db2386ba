// What is read of a phase is what was written of it, also while it is written.
#include "base/current_phase.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace batchscope {
namespace {

TEST(CurrentPhase, IsReadAsItWasShown) {
  CurrentPhase phase;
  EXPECT_FALSE(phase.read());
  phase.show("batch", "batch 12, 64 sequences", Nanoseconds(7));
  const auto state = phase.read();
  ASSERT_TRUE(state);
  EXPECT_EQ(state->name, "batch");
  EXPECT_EQ(state->detail, "batch 12, 64 sequences");
  EXPECT_EQ(state->begin, Nanoseconds(7));
  phase.show("decode", "", Nanoseconds(8));
  EXPECT_EQ(phase.read()->name, "decode");
  EXPECT_EQ(phase.read()->detail, "");
  phase.clear();
  EXPECT_FALSE(phase.read());
}

TEST(CurrentPhase, LongTextsAreCut) {
  CurrentPhase phase;
  const std::string most_name(CurrentPhase::name_bytes, 'n'), most_detail(CurrentPhase::detail_bytes, 'd');
  for (const std::string more : {"", "x"}) {
    phase.show(most_name + more, most_detail + more, Nanoseconds(1));
    EXPECT_EQ(phase.read()->name, most_name);
    EXPECT_EQ(phase.read()->detail, most_detail);
  }
}

// One thread writes numbers, each as all parts of a phase; what another one reads is of one number.
TEST(CurrentPhase, NoReaderSeesHalfAPhase) {
  constexpr int last = 200'000;
  CurrentPhase phase;
  const auto name_of = [](std::int64_t i) { return std::string(1 + i % 30, static_cast<char>('a' + i % 26)); };
  const auto detail_of = [](std::int64_t i) { return std::string(i % 79, static_cast<char>('A' + i % 26)); };
  std::thread writer([&] {
    for (std::int64_t i = 1; i <= last; ++i) phase.show(name_of(i), detail_of(i), Nanoseconds(i));
  });
  std::int64_t seen = 0;
  while (seen < last) {
    const auto state = phase.read();
    if (!state) continue;
    const std::int64_t i = state->begin.count();
    if (i < seen || state->name != name_of(i) || state->detail != detail_of(i)) {
      ADD_FAILURE() << "after " << seen << ": " << i << " " << state->name << " " << state->detail;
      break;
    }
    seen = i;
  }
  writer.join();
}

}  // namespace
}  // namespace batchscope
