// Rows of a query as a table, CSV, JSON or JSON lines.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "store/query.h"

namespace batchscope {

enum class QueryFormat { table, csv, json, json_lines };
// "table", "csv", "json", "jsonl"; InputError otherwise, naming `what`.
QueryFormat parse_query_format(std::string_view text, std::string_view what);

constexpr std::int64_t most_table_rows = 10'000;

// Runs the query and gives the text piece by piece, until `put` says false: more would be for nobody. NULL is NULL in a
// table, an empty field in CSV (an empty text is
// "" there), null in JSON; of blobs the length is told. A table escapes what a terminal would obey, shortens long
// values and ends after most_table_rows: false then.
bool write_rows(StoreQuery& query, QueryFormat format, bool colour, const std::function<bool(std::string_view)>& put);

}  // namespace batchscope
