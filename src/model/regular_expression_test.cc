// Regular expressions: what Oniguruma and PCRE2 read differently, and where matches lie.
#include "model/regular_expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace batchscope {
namespace {

using testing::ElementsAre;

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  std::vector<Span> spans;
  RegularExpression(pattern, "r").find_all(text, spans);
  std::vector<std::string> found;
  for (const Span& span : spans) found.emplace_back(text.substr(span.begin, span.end - span.begin));
  return found;
}

TEST(RegularExpression, MeansWhatOnigurumaMeans) {
  EXPECT_THAT(matches("\\s+", "a\u180eb\u0085c\x1c d\u3000"), ElementsAre("\u0085", " ", "\u3000"));
  EXPECT_THAT(matches("\\w+", "\u00e9_\u203f\u24d0\u200dx\u093c b"),
              ElementsAre("\u00e9_\u203f\u24d0", "x\u093c", "b"));
  EXPECT_THAT(matches("[^\\s\\w]+", "a? !\u200d"), ElementsAre("?", "!\u200d"));
  EXPECT_THAT(matches("\\d", "1\u0662x"), ElementsAre("1", "\u0662"));
  EXPECT_THAT(matches("\\v", "a\vb\nc"), ElementsAre("\v"));
  EXPECT_THAT(matches("\\u0061|\\x62", "abc"), ElementsAre("a", "b"));
  EXPECT_THAT(matches("a{1,2}+a", "aaaa"), ElementsAre("aaaa"));  // PCRE2's own {1,2}+ gives nothing back
  EXPECT_THAT(matches("(x|\\p{N}{2})+y{2}+", "x12yyyy"), ElementsAre("x12yyyy"));
  EXPECT_THAT(matches("a?+a", "a"), ElementsAre());
  EXPECT_THAT(matches("a{,2}", "aaab"), ElementsAre("aa", "a", ""));
  EXPECT_THAT(matches("a{", "a{"), ElementsAre("a{"));
  EXPECT_THAT(matches("^a$", "a\nb\na"), ElementsAre("a", "a"));
  EXPECT_THAT(matches("(?i:'s|K)", "'S'\u017f\u212a"), ElementsAre("'S", "'\u017f", "\u212a"));
  EXPECT_THAT(matches("(?i)k", "K"), ElementsAre("K"));
}

TEST(RegularExpression, MayMatchNothing) {
  EXPECT_THAT(matches("x*", "axxb"), ElementsAre("", "xx", ""));  // none right behind "xx"
  EXPECT_THAT(matches("", "\u00e9"), ElementsAre("", ""));
  EXPECT_THAT(matches("x", ""), ElementsAre());
}

TEST(RegularExpression, RefusesWhatTheTwoReadDifferently) {
  for (const char* pattern :
       {"\\h",   "\\b",    "\\R",         "\\X",    "\\K",         "\\G",   "\\1", "\\Q",    "\\p",     "\\x80",
        "\\u12", "[a[b]]", "[[:alpha:]]", "[a&&b]", "[]a]",        "[\\W]", "[a",  "(?m:.)", "(?<n>a)", "a(?i)b",
        "a{2}?", ")",      "(",           "*",      "\\p{Letter}", "\\p{",  "\\",  "(?",     "[\\"})
    EXPECT_THROW(RegularExpression(pattern, "r"), InputError) << pattern;
  EXPECT_THROW(RegularExpression(std::string(1 << 20, 'a'), "r"), InputError);
}

TEST(RegularExpression, LongTextsTakeNoLonger) {
  const std::string spaces(1 << 18, ' ');
  EXPECT_EQ(matches("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", spaces + "x").size(), 2u);
  EXPECT_EQ(matches("(?:a|b)+", std::string(1 << 18, 'a')).size(), 1u);  // needs a stack as deep as the text is long
}

}  // namespace
}  // namespace batchscope
