#include "http/error_words.h"

#include <gtest/gtest.h>

namespace batchscope::http {
namespace {

TEST(ErrorWords, AreFoundInWhateverForm) {
  EXPECT_EQ(error_words(R"({"error": {"message": "too long", "code": 400}})"), "too long");
  EXPECT_EQ(error_words(R"({"error": "too long"})"), "too long");
  EXPECT_EQ(error_words(R"({"object": "error", "message": "too long"})"), "too long");
  EXPECT_EQ(error_words(R"({"detail": [{"loc": ["body", "prompt"], "msg": "not a string"}]})"), "prompt: not a string");
  EXPECT_EQ(error_words(R"({"detail": "no"})"), "no");
  EXPECT_EQ(error_words(R"({"error": {"message": "7 errors:\n  one"}})"), "7 errors");
  EXPECT_EQ(error_words("<html>"), "");
  EXPECT_EQ(error_words("[]"), "");
}

}  // namespace
}  // namespace batchscope::http
