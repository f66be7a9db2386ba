// JSON from others: what is accepted, and that each refusal is one line with its place.
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

#include "base/error.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Json, ErrorsNameTheirPlace) {
  EXPECT_THAT(error_of([] { parse_json("{\n  \"a\": nope}", "config.json"); }),
              HasSubstr("config.json:2:9: not valid JSON"));
  EXPECT_THAT(error_of([] { parse_json("{\"a\":}", "tasks.jsonl", 17); }), HasSubstr("tasks.jsonl:17:6: "));
  EXPECT_THAT(error_of([] { parse_json("", "empty"); }), HasSubstr("empty:1:1: "));
  EXPECT_THAT(error_of([] { parse_json("{\"a\": \"\xff\"}", "f"); }), HasSubstr("f:1:8: "));
  EXPECT_THAT(error_of([] { parse_json("1e999", "f"); }), HasSubstr("too large"));
}

TEST(Json, WhatPeopleHaveInsteadIsNamed) {
  EXPECT_THAT(error_of([] { parse_json("<!DOCTYPE html>", "f"); }), HasSubstr("f: it is a web page"));
  EXPECT_THAT(error_of([] { parse_json("{\"a\": \"caf\xe9\"}", "f", 3); }), HasSubstr("f:3:11: not UTF-8 (Latin-1"));
  EXPECT_THAT(error_of([] { parse_json("{\"a\": \"\\ud83d\"}", "f"); }), HasSubstr("half a character"));
}

// As Python writes and reads them; no number to us.
TEST(Json, NanAndInfinityAreReadAsTexts) {
  const auto value = parse_json(R"({"a": NaN, "b": [Infinity, -Infinity], "c": "NaN, \"Infinity", "d": 1})", "f");
  EXPECT_EQ(value["a"], "NaN");
  EXPECT_EQ(value["b"][1], "-Infinity");
  EXPECT_EQ(value["c"], "NaN, \"Infinity");
  EXPECT_EQ(value["d"], 1);
  EXPECT_THAT(error_of([&] { JsonObject(value, "f").number("a", 0, 1); }), HasSubstr("found \"NaN\""));
  EXPECT_THAT(error_of([] { parse_json("{NaN}", "f"); }), HasSubstr("not valid JSON"));
}

TEST(Json, DeepNestingIsRefusedBeforeItCosts) {
  EXPECT_THAT(error_of([] { parse_json(std::string(10'000'000, '['), "deep"); }), HasSubstr("nested deeper than 64"));
  EXPECT_NO_THROW(parse_json(std::string(64, '[') + std::string(64, ']'), "ok"));
  EXPECT_NO_THROW(parse_json("\"" + std::string(100, '[') + "\\\"" + std::string(100, '{') + "\"", "in a string"));
}

TEST(Json, TheLastOfEqualKeysWins) { EXPECT_EQ(parse_json(R"({"a": 1, "a": 2})", "f")["a"], 2); }

TEST(Json, AccessorsCheckTypeAndRange) {
  const auto value = parse_json(
      R"({"n": 3, "f": 2.5, "big": 18446744073709551615, "t": "abc", "b": true, "none": null, "l": ["x", 1], "o": {"n": -1}})",
      "f");
  const JsonObject object(value, "config.json");
  EXPECT_EQ(object.integer("n", 1, 3), 3);
  EXPECT_EQ(object.integer("none", 1, 3, 2), 2);
  EXPECT_EQ(object.number("f", 0, 3), 2.5);
  EXPECT_EQ(object.text("t"), "abc");
  EXPECT_FALSE(object.has("none"));
  EXPECT_EQ(error_of([&] { object.integer("t", 1, 65536); }),
            "config.json: t: expected a whole number from 1 to 65536, found \"abc\"");
  EXPECT_EQ(error_of([&] { object.integer("absent", 1, 2); }),
            "config.json: absent: expected a whole number from 1 to 2, found nothing");
  EXPECT_EQ(error_of([&] { object.object("o").integer("n", 0, 9); }),
            "config.json: o.n: expected a whole number from 0 to 9, found -1");
  for (const char* key : {"f", "big", "b", "none", "l"})
    EXPECT_THROW(object.integer(key, -9, 1LL << 62), InputError) << key;
  EXPECT_THROW(object.number("f", 2.5, 3), InputError);  // above, not at, the lower end
  EXPECT_THROW(object.boolean("n"), InputError);
  EXPECT_THROW(object.texts("l"), InputError);
  EXPECT_THROW(object.object("l"), InputError);
}

TEST(Json, QuotesStayOneReadableLine) {
  EXPECT_EQ(quote("a\"b\\\n\t"), "\"a\\\"b\\\\\\x0a\\x09\"");
  EXPECT_EQ(quote("\xc3\xbc\xff\xed\xa0\x80\xc2\x9b"), "\"\xc3\xbc\\xff\\xed\\xa0\\x80\\xc2\\x9b\"");
  EXPECT_LT(quote(std::string(1000, 'x')).size(), 100u);
}

TEST(Json, VisibleTextIsWholeAndObeyedByNoTerminal) {
  EXPECT_EQ(visible("a\"b\\ \xc3\xbc"), "a\"b\\ \xc3\xbc");
  EXPECT_EQ(visible("\x1b[2J\n\x7f\xc2\x9b"), "\\x1b[2J\\x0a\\x7f\\xc2\\x9b");
  EXPECT_EQ(visible("\u202egpj"), "\\xe2\\x80\\xaegpj");
  EXPECT_EQ(visible(std::string(1000, 'x')).size(), 1000u);
}

TEST(Json, VisibleLinesKeepLinesAndColoursAlone) {
  const std::string text = "a\tb\n\x1b[31;1mred\x1b[0m \x1b]0;title\x07 \x1b[2J \x1b[38;5;200;1;4m\r \u200f";
  EXPECT_EQ(visible_lines(text, true),
            "a\tb\n\x1b[31;1mred\x1b[0m \\x1b]0;title\\x07 \\x1b[2J \\x1b[38;5;200;1;4m\\x0d \\xe2\\x80\\x8f");
  EXPECT_EQ(visible_lines("\x1b[31m\n", false), "\\x1b[31m\n");
  EXPECT_EQ(visible_lines("\x1b[", true), "\\x1b[");
}

TEST(Json, AnyBytesParseOrAreRefused) {
  rc::check("bytes", [](const std::string& bytes) {
    try {
      (void)parse_json(bytes, "f");
    } catch (const InputError& error) {
      RC_ASSERT(std::string(error.what()).find('\n') == std::string::npos);
    }
  });
}

}  // namespace
}  // namespace batchscope
