// Names of engines, and command lines in words.
#include "engine/engine_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/engine.h"

namespace batchscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(EngineSpec, NamesSurviveText) {
  EXPECT_TRUE(parse_engine("batchscope", "--engine").is_ours());
  EXPECT_EQ(to_string(EngineSpec()), "batchscope");
  const EngineSpec spec = parse_engine("command:python3 'my engine.py' --x=1", "--engine");
  EXPECT_FALSE(spec.is_ours());
  EXPECT_EQ(parse_engine(to_string(spec), "engine"), spec);
  for (const char* bad : {"", "vllm", "command:", "command:  ", "command:a 'b", "Batchscope"})
    EXPECT_THROW(parse_engine(bad, "--engine"), InputError) << bad;
}

TEST(EngineSpec, LabelsAreShort) {
  const auto label_of = [](const char* text) { return label(parse_engine(text, "--engine")); };
  EXPECT_EQ(label_of("batchscope"), "batchscope");
  EXPECT_EQ(label_of("command:/usr/bin/env python3 tools/engines/letters_engine.py --wrong-beyond 8"),
            "letters_engine.py --wrong-beyond 8");
  EXPECT_EQ(label_of("command:./engine /models/a/ -x"), "engine /models/a/ -x");
  EXPECT_EQ(label_of("command:python3"), "python3");
}

TEST(EngineSpec, WordsAreAShells) {
  const auto words = [](const char* text) { return split_command(text, "--engine"); };
  EXPECT_THAT(words("  a  b\tc "), ElementsAre("a", "b", "c"));
  EXPECT_THAT(words("a 'b c' \"d 'e'\" f\\ g '' $HOME|*"), ElementsAre("a", "b c", "d 'e'", "f g", "", "$HOME|*"));
  EXPECT_THAT(words("--x='1 2'3"), ElementsAre("--x=1 23"));
  EXPECT_THROW(words("a \"b"), InputError);
}

TEST(Capabilities, WhatAnEngineDoesNotKnowIsRefused) {
  const Capabilities any, some{.layouts = {"tp"}, .dtypes = {"bf16"}};
  Placement placement;
  EXPECT_NO_THROW(check(any, "x", placement, {}));
  placement.dtype = DType::bf16;
  EXPECT_THROW(check(any, "x", placement, {}), InputError);
  EXPECT_NO_THROW(check(some, "x", placement, {}));
  placement.layout = Layout::parse("tp2");
  EXPECT_NO_THROW(check(some, "x", placement, {}));
  for (const char* layout : {"dp2.tp2", "mp2", "pp2"}) {
    placement.layout = Layout::parse(layout);
    EXPECT_THROW(check(some, "x", placement, {}), InputError) << layout;
  }
  EXPECT_THROW(check(some, "x", {}, {.packing = Packing::packed}), InputError);
  EXPECT_THROW(check(some, "x", {}, {.fusion = parse_fusion("on")}), InputError);
}

}  // namespace
}  // namespace batchscope
