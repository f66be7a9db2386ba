// Tests of the phases that a generation's steps make.
#include "engine/step_phases.h"

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
  {
    StepPhases phases(&sink, "cpu:1");
    const auto add = [&](bool is_prefill, std::size_t sequences, int begin, int end) {
      phases.add(step_of(is_prefill, sequences), Nanoseconds(begin), Nanoseconds(end));
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

TEST(StepPhases, NobodyListening) {
  StepPhases phases(nullptr, "cpu:0");
  phases.add(step_of(true, 1), Nanoseconds(0), Nanoseconds(1));
  phases.add(step_of(false, 1), Nanoseconds(1), Nanoseconds(2));
}

}  // namespace
}  // namespace batchscope
