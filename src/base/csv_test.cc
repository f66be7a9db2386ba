// Quoting of fields, read back.
#include "base/csv.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace batchscope {
namespace {

TEST(Csv, IsQuotedWhereReadersWouldDiffer) {
  EXPECT_EQ(csv_field("TP4 fused"), "TP4 fused");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("say \"no\""), "\"say \"\"no\"\"\"");
  EXPECT_EQ(csv_field("two\nlines"), "\"two\nlines\"");
  EXPECT_EQ(csv_field(" x"), "\" x\"");
  EXPECT_EQ(csv_field(""), "\"\"");
}

// Without its quotes and doublings a quoted field is the text; an unquoted one has nothing that ends a field.
RC_GTEST_PROP(Csv, KeepsEveryText, (const std::string& text)) {
  std::string field = csv_field(text);
  if (!field.starts_with('"')) {
    RC_ASSERT(field == text);
    RC_ASSERT(field.find_first_of(",\"\r\n") == std::string::npos);
    return;
  }
  RC_ASSERT(field.size() >= 2 && field.ends_with('"'));
  std::string read;
  for (std::size_t i = 1; i + 1 < field.size(); ++i) {
    if (field[i] == '"') RC_ASSERT(field[++i] == '"');
    read += field[i];
  }
  RC_ASSERT(read == text);
}

}  // namespace
}  // namespace batchscope
