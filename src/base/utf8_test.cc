// Code points out of bytes and back; ill-formed bytes as Python cuts them.
#include "base/utf8.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/json.h"

namespace batchscope {
namespace {

TEST(Utf8, IllFormedPartsAreThoseOfPython) {
  EXPECT_EQ(well_formed("a\xff\xf0\x9f\x98z\xc0\xaf"), "a\ufffd\ufffdz\ufffd\ufffd");
  EXPECT_EQ(well_formed("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");  // a surrogate
  EXPECT_EQ(well_formed("x\xe2\x82"), "x\ufffd");
  EXPECT_EQ(first_not_utf8("x\xe2\x82"), 1u);
  EXPECT_EQ(first_not_utf8("Größe ✓"), std::nullopt);
  EXPECT_EQ(first_not_utf8("\xf4\x90\x80\x80"), 0u);  // beyond Unicode
}

RC_GTEST_PROP(Utf8, EveryCodePointComesBack, ()) {
  const auto value = *rc::gen::oneOf(rc::gen::inRange<std::uint32_t>(0, 0xd800), rc::gen::inRange<std::uint32_t>(0xe000, 0x110000));
  std::string text = "a";
  append_code_point(value, text);
  RC_ASSERT(code_points(text) == 2u);
  RC_ASSERT(well_formed(text) == text);
  std::size_t at = 1;
  RC_ASSERT(next_code_point(text, at) == char32_t{value});
  RC_ASSERT(at == text.size());
}

RC_GTEST_PROP(Utf8, WhatIsMadeWellFormedIsSo, (const std::string& bytes)) {
  const std::string text = well_formed(bytes);
  RC_ASSERT(!first_not_utf8(text));
  RC_ASSERT(first_not_utf8(bytes).has_value() == (text != bytes));
  RC_ASSERT(well_formed(text) == text);
}

}  // namespace
}  // namespace batchscope
