// Task files and HellaSwag's text rules, checked against Python's own and against lm-evaluation-harness's texts.
#include "task/question.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/shared_data.h"
#include "task/hellaswag.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

std::string error_of(const std::string& text) {
  try {
    parse_questions(text, "t.jsonl");
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

json own() { return {{"id", 1}, {"context", "It rains."}, {"choices", {"wet", "dry"}}, {"gold", 0}}; }
json raw() {
  return {{"ind", 24},
          {"activity_label", "Roofs"},
          {"ctx_a", "A man sits."},
          {"ctx_b", "he STANDS"},
          {"endings", {"up [title] Then  goes", " [step] on", "c", "d"}},
          {"label", "1"}};
}
json with(json object, const std::string& key, const json& value) {
  object[key] = value;
  return object;
}

// Each right side is what Python 3.11's str.capitalize() gives.
TEST(HellaSwag, CapitalizesAsPython) {
  EXPECT_EQ(capitalize(""), "");
  EXPECT_EQ(capitalize("he STANDS up"), "He stands up");
  EXPECT_EQ(capitalize("1ABC"), "1abc");
  EXPECT_EQ(capitalize("\u00dfA"), "Ssa");                            // a letter without a capital
  EXPECT_EQ(capitalize("\u01c6X"), "\u01c5x");                        // title case, not upper case
  EXPECT_EQ(capitalize("\ufb01SH"), "Fish");                          // a ligature falls apart
  EXPECT_EQ(capitalize("\u0130\u0130"), "\u0130i\u0307");             // lower case of two code points
  EXPECT_EQ(capitalize("\u03a3\u0391\u03a3"), "\u03a3\u03b1\u03c2");  // final sigma
  EXPECT_EQ(capitalize("A\u03a3"), "A\u03c2");                        // final, as the first letter stands before it
  EXPECT_EQ(capitalize("A\u03a3B \u03a3"), "A\u03c3b \u03c3");
  EXPECT_EQ(capitalize(" hE"), " he");
  EXPECT_EQ(capitalize("\u10d0\u10d1"), "\u10d0\u10d1");  // Georgian has no title case
}

TEST(HellaSwag, StripsAsPython) {
  EXPECT_EQ(strip(" \t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000 a b \u3000"),
            "a b");
  EXPECT_EQ(strip("\u200ba\ufeff"), "\u200ba\ufeff");  // no white space by Unicode
  EXPECT_EQ(strip(" \u00a0 "), "");
  EXPECT_EQ(strip(""), "");
  EXPECT_EQ(trailing_space("a \u00a0"), 3u);
  EXPECT_EQ(trailing_space("a"), 0u);
}

TEST(HellaSwag, PreprocessesWikiHowArtefacts) {
  EXPECT_EQ(preprocess("  a [title] b  "), "a. b");
  EXPECT_EQ(preprocess("a [step] b"), "a b");
  EXPECT_EQ(preprocess("[header] How to"), " How to");  // no second strip
  EXPECT_EQ(preprocess("a[x[y]z]b"), "az]b");           // the shortest, from the first bracket
  EXPECT_EQ(preprocess("a [b\nc] d"), "a [b\nc] d");    // not across lines
  EXPECT_EQ(preprocess("a [b\n[c] d"), "a [b\n d");
  EXPECT_EQ(preprocess("a [ b"), "a [ b");
  EXPECT_EQ(preprocess("a    b   c"), "a  b  c");  // one pass
  EXPECT_EQ(preprocess("[]"), "");
  EXPECT_EQ(preprocess("a [title][title]"), "a. ");
  EXPECT_EQ(preprocess(std::string(1 << 20, '[')).size(), 1u << 20);  // in linear time
}

TEST(Questions, ReadBothForms) {
  const auto questions = parse_questions(own().dump() + "\r\n\n  \n" + raw().dump(), "t");
  ASSERT_EQ(questions.size(), 2u);
  EXPECT_EQ(questions[0].id, 1);
  EXPECT_EQ(questions[0].context, "It rains.");
  EXPECT_EQ(questions[0].delimiter, " ");
  EXPECT_EQ(questions[1].id, 24);
  EXPECT_EQ(questions[1].context, "Roofs: A man sits. He stands");
  EXPECT_EQ(questions[1].choices, (std::vector<std::string>{"up. Then goes", " on", "c", "d"}));
  EXPECT_EQ(questions[1].gold, 1);
  EXPECT_EQ(parse_questions(with(own(), "delimiter", "").dump(), "t")[0].delimiter, "");
  EXPECT_EQ(parse_questions(with(own(), "id", "q-1").dump(), "t")[0].id, "q-1");
}

TEST(Questions, LengthsStandForTexts) {
  const auto questions = parse_questions(R"({"id": 7, "tokens": [3, 5, 4], "gold": 1})", "q.jsonl");
  ASSERT_EQ(questions.size(), 1u);
  EXPECT_EQ(questions[0].lengths, (std::vector<std::int64_t>{3, 5, 4}));
  EXPECT_EQ(questions[0].choices, (std::vector<std::string>{"??", "?"}));
  EXPECT_EQ(questions[0].gold, 1);
  for (const char* line : {R"({"id": 7, "tokens": [3, 5]})", R"({"id": 7, "tokens": [3, 3, 4]})",
                           R"({"id": 7, "tokens": [0, 5, 4]})", R"({"id": 7, "tokens": [3, "5", 4]})"})
    EXPECT_THAT([&] { parse_questions(line, "q.jsonl"); },
                testing::ThrowsMessage<InputError>(testing::HasSubstr("tokens")))
        << line;
}

TEST(Questions, LimitKeepsTheFirst) {
  const std::string text = own().dump() + "\n" + with(own(), "id", 2).dump() + "\nnot JSON";
  EXPECT_EQ(parse_questions(text, "t", 2).size(), 2u);  // what stands behind them is not looked at
  EXPECT_THROW(parse_questions(text, "t", 0), InputError);
  EXPECT_THROW(parse_questions(text, "t"), InputError);
}

TEST(Questions, MistakesAreNamedWithTheirLine) {
  EXPECT_THAT(error_of(""), HasSubstr("no question"));
  EXPECT_THAT(error_of("\n \n"), HasSubstr("no question"));
  EXPECT_THAT(error_of("\x1f\x8b\x08"), HasSubstr("compressed"));
  EXPECT_THAT(error_of(own().dump() + "\n{]"), HasSubstr("t.jsonl:2:2"));
  EXPECT_THAT(error_of("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(error_of("{}"), HasSubstr("neither endings"));
  EXPECT_THAT(error_of(own().dump() + "\n" + own().dump()), AllOf(HasSubstr("t.jsonl:2: id"), HasSubstr("line 1")));
  EXPECT_THAT(error_of(with(raw(), "label", "").dump()), HasSubstr("test split"));
  for (const json& label : {json(4), json(-1), json("4"), json("x"), json(1.5), json(nullptr), json(" 1")})
    EXPECT_THAT(error_of(with(raw(), "label", label).dump()), HasSubstr("t.jsonl:1: label")) << label;
  for (const json& choices :
       {json::array(), json{"one"}, json(std::vector<std::string>(27, "x")), json{"a", 1}, json("ab")})
    EXPECT_THAT(error_of(with(own(), "choices", choices).dump()), HasSubstr("t.jsonl:1: choices")) << choices;
  for (const char* key : {"context", "gold"}) {
    json question = own();
    question.erase(key);
    EXPECT_THAT(error_of(question.dump()), HasSubstr(std::string("t.jsonl:1: ") + key + ": expected"));
  }
  for (const char* key : {"activity_label", "ctx_a", "ctx_b", "label"}) {
    json question = raw();
    question.erase(key);
    EXPECT_THAT(error_of(question.dump()), HasSubstr(std::string("t.jsonl:1: ") + key + ": expected"));
  }
}

TEST(Questions, WithoutAnIdAreKnownByTheirPlace) {
  json second = own();
  second.erase("id");
  EXPECT_EQ(parse_questions(with(own(), "id", "x").dump() + "\n" + second.dump(), "t")[1].id, 1);
  json first = raw();
  first.erase("ind");
  EXPECT_EQ(parse_questions(first.dump(), "t")[0].id, 0);
}

TEST(Questions, OtherFormsAreNamed) {
  const std::string one = own().dump();
  EXPECT_THAT(error_of("[" + one + "," + one + "]"),
              HasSubstr("t.jsonl: it is one JSON list; write one object per line"));
  EXPECT_THAT(error_of("[\n " + own().dump(1) + "]"), HasSubstr("one JSON list over several lines"));
  EXPECT_THAT(error_of(own().dump(1)), HasSubstr("spread over several lines"));
  EXPECT_THAT(error_of("id,context,gold\n1,a,0"), HasSubstr("it looks like CSV"));
  EXPECT_THAT(error_of(R"({"features": [], "rows": [{"row": {}}]})"), HasSubstr("datasets server"));
  EXPECT_THAT(error_of(R"({"ind": [1, 2], "endings": [["a", "b"], ["c", "d"]]})"), HasSubstr("one object of columns"));
  EXPECT_THAT(error_of(R"({"question": "q", "choices": ["a", "b"], "answer": 1})"), HasSubstr("a question of MMLU"));
  EXPECT_THAT(error_of(R"({"question": "q", "choices": {"text": []}, "answerKey": "A"})"),
              HasSubstr("a question of ARC"));
  EXPECT_THAT(error_of("\xff\xfe{"), HasSubstr("UTF-16"));
}

TEST(Questions, UpToTwentySixChoices) {
  EXPECT_EQ(parse_questions(with(own(), "choices", std::vector<std::string>(26, "x")).dump(), "t")[0].choices.size(),
            26u);
}

TEST(HellaSwag, AnyTextIsCleanedUp) {
  rc::check("texts", [](const std::string& bytes) {
    // Only what JSON lets through gets this far: make it valid by keeping ASCII.
    std::string text;
    for (const char c : bytes) text += static_cast<char>(c & 0x7f);
    RC_ASSERT(preprocess(text).size() <= text.size());
    RC_ASSERT(capitalize(text).size() == text.size());
  });
}

}  // namespace
}  // namespace batchscope
