// Rows as table, CSV and JSON: NULL, empty text, numbers, blobs and hostile bytes stay apart.
#include "report/query_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "report/text.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

class QueryText : public testing::Test {
 protected:
  QueryText() { StoreWriter writer(folder_ / "s.bscope", OpenMode::create); }
  std::string rows(const std::string& sql, QueryFormat format, bool whole = true) const {
    StoreQuery query(folder_ / "s.bscope", sql);
    std::string text;
    EXPECT_EQ(write_rows(query, format, false, [&](std::string_view piece) { return text += piece, true; }), whole);
    return text;
  }
  TestFolder folder_;
};

constexpr const char* kinds = "SELECT 7 AS i, 2.0 AS r, 1e999 AS inf, 'a' AS t, '' AS e, NULL AS n, x'010203' AS b";

TEST_F(QueryText, Table) {
  EXPECT_EQ(rows(kinds, QueryFormat::table),
            "i    r  inf  t  e     n                  b\n"
            "7  2.0  Inf  a     NULL  (blob of 3 bytes)\n");
  EXPECT_EQ(rows("SELECT 1 AS a WHERE 0", QueryFormat::table), "a\n");
}

TEST_F(QueryText, TableObeysNothing) {
  EXPECT_EQ(
      rows("SELECT 'x' || char(27) || '[2J' || char(10) || char(0x202e) || x'ff' AS \"a\x07\"", QueryFormat::table),
      pad_right("a\\x07", 28) + "\nx\\x1b[2J\\x0a\\xe2\\x80\\xae\\xff\n");
}

TEST_F(QueryText, TableEnds) {
  constexpr const char* many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
  EXPECT_EQ(rows(many, QueryFormat::table, false).size(),
            rows(std::string(many) + " LIMIT 10000", QueryFormat::table).size());
}

TEST_F(QueryText, Csv) {
  EXPECT_EQ(rows(kinds, QueryFormat::csv), "i,r,inf,t,e,n,b\n7,2.0,Inf,a,\"\",,(blob of 3 bytes)\n");
  EXPECT_EQ(rows("SELECT 'a,b' AS \"x\"\"y\", 'say \"hi\"' AS q, 'two' || char(10) || 'lines' AS l", QueryFormat::csv),
            "\"x\"\"y\",q,l\n\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\n");
  EXPECT_EQ(rows("SELECT NULL AS n", QueryFormat::csv), "n\n\"\"\n");
}

TEST_F(QueryText, Json) {
  const auto parsed =
      nlohmann::json::parse(rows(std::string(kinds) + " UNION ALL SELECT 1, 2, 3, 4, 5, 6, 7", QueryFormat::json));
  ASSERT_EQ(parsed.size(), 2U);
  EXPECT_EQ(parsed[0].dump(), R"_({"b":"(blob of 3 bytes)","e":"","i":7,"inf":"Inf","n":null,"r":2.0,"t":"a"})_");
  EXPECT_EQ(rows("SELECT 1 AS n, 2 AS n, x'ff' || 'a' AS n_2", QueryFormat::json_lines),
            "{\"n\":1,\"n_2\":2,\"n_2_2\":\"\ufffda\"}\n");
  EXPECT_EQ(rows("SELECT 1 AS a WHERE 0", QueryFormat::json), "[]\n");
  EXPECT_EQ(rows("SELECT 1 AS a WHERE 0", QueryFormat::json_lines), "");
}

TEST_F(QueryText, FormatsByName) {
  EXPECT_EQ(parse_query_format("jsonl", "--format"), QueryFormat::json_lines);
  EXPECT_THROW(parse_query_format("xml", "--format"), InputError);
}

}  // namespace
}  // namespace batchscope
