// Tests of the phases that a generation's steps make.
#include "engine/step_phases.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

namespace batchscope {
namespace {

struct PhaseVector : PhaseSink {
  void record(Phase phase) override { phases.push_back(std::move(phase)); }
  std::vector<Phase> phases;
};

GenerationStep step_of(bool is_prefill, std::size_t sequences) {
  GenerationStep step{.is_prefill = is_prefill};
  step.requests.resize(sequences);
  step.batch.tokens.resize(is_prefill ? 10 * sequences : sequences);
  return step;
}

TEST(StepPhases, EachPrefillAndEachRunOfDecodeStepsIsOne) {
  PhaseVector sink;
  CurrentPhase current;
  {
    StepPhases phases(&sink, "cpu:1", current);
    const auto add = [&](bool is_prefill, std::size_t sequences, int begin, int end) {
      const GenerationStep step = step_of(is_prefill, sequences);
      phases.begin(step, Nanoseconds(begin));
      phases.end(step, Nanoseconds(begin), Nanoseconds(end));
    };
    add(true, 2, 0, 5);
    add(false, 2, 5, 6);
    add(false, 1, 6, 7);
    add(true, 1, 8, 9);
    add(true, 1, 9, 10);
    add(false, 3, 10, 12);
    EXPECT_EQ(sink.phases.size(), 4u);
  }
  ASSERT_EQ(sink.phases.size(), 5u);
  std::string names;
  for (const Phase& phase : sink.phases) {
    names += phase.name + " ";
    EXPECT_EQ(phase.track, "cpu:1");
  }
  EXPECT_EQ(names, "prefill decode prefill prefill decode ");
  EXPECT_EQ(sink.phases[0].detail, "2 prompts, 20 tokens");
  EXPECT_EQ(sink.phases[1].detail, "2 steps, at most 2 sequences");
  EXPECT_EQ(sink.phases[1].begin, Nanoseconds(5));
  EXPECT_EQ(sink.phases[1].end, Nanoseconds(7));
  EXPECT_EQ(sink.phases[4].detail, "1 steps, at most 3 sequences");
}

// Nothing is recorded, but shown all the same.
TEST(StepPhases, AreShownWhileTheyLast) {
  CurrentPhase current;
  const auto shown = [&] {
    const auto state = current.read();
    return state ? fmt::format("{} since {}: {}", state->name, state->begin.count(), state->detail) : "";
  };
  {
    StepPhases phases(nullptr, "cpu:0", current);
    const auto begin = [&](bool is_prefill, std::size_t sequences, int at) {
      phases.begin(step_of(is_prefill, sequences), Nanoseconds(at));
      const std::string meanwhile = shown();
      phases.end(step_of(is_prefill, sequences), Nanoseconds(at), Nanoseconds(at + 1));
      EXPECT_EQ(shown(), meanwhile);  // until something else begins
      return meanwhile;
    };
    EXPECT_EQ(shown(), "");
    EXPECT_EQ(begin(true, 2, 3), "prefill since 3: 2 prompts, 20 tokens");
    EXPECT_EQ(begin(false, 2, 4), "decode since 4: 2 sequences");
    EXPECT_EQ(begin(false, 2, 5), "decode since 4: 2 sequences");
    EXPECT_EQ(begin(false, 1, 6), "decode since 4: 1 sequences");
    phases.pause();
    EXPECT_EQ(shown(), "");
    EXPECT_EQ(begin(false, 1, 9), "decode since 9: 1 sequences");
    EXPECT_EQ(begin(true, 1, 10), "prefill since 10: 1 prompts, 10 tokens");
  }
  EXPECT_EQ(shown(), "");
}

}  // namespace
}  // namespace batchscope
