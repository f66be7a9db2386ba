// Rows of a query (report/query_text.h).
#include "report/query_text.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/csv.h"
#include "base/error.h"
#include "base/json.h"
#include "report/text.h"

namespace batchscope {
namespace {

constexpr std::size_t widest_value = 60;
constexpr std::size_t piece_bytes = 1 << 16;

std::string note(const SqlBlob& blob) { return fmt::format("(blob of {} bytes)", blob.bytes); }

// With a point or an exponent where it is not an integer in the file.
std::string number_text(double value) {
  if (!std::isfinite(value)) return value > 0 ? "Inf" : "-Inf";
  return nlohmann::json(value).dump();
}

struct TableValue {
  TextTable::Field operator()(std::monostate) const { return {"NULL", Colour::dim}; }
  TextTable::Field operator()(std::int64_t value) const { return {fmt::format("{}", value)}; }
  TextTable::Field operator()(double value) const { return {number_text(value)}; }
  TextTable::Field operator()(const std::string& value) const { return {shorten(visible(value), widest_value)}; }
  TextTable::Field operator()(const SqlBlob& value) const { return {note(value), Colour::dim}; }
};

struct CsvValue {
  std::string operator()(std::monostate) const { return ""; }
  std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const { return number_text(value); }
  std::string operator()(const std::string& value) const { return csv_field(value); }
  std::string operator()(const SqlBlob& value) const { return note(value); }
};

struct JsonValue {
  nlohmann::json operator()(std::monostate) const { return nullptr; }
  nlohmann::json operator()(std::int64_t value) const { return value; }
  nlohmann::json operator()(double value) const {
    return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(number_text(value));
  }
  nlohmann::json operator()(const std::string& value) const { return value; }
  nlohmann::json operator()(const SqlBlob& value) const { return note(value); }
};

std::string csv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (std::size_t i = 0; i < fields.size(); ++i) line += (i == 0 ? "" : ",") + fields[i];
  return line + "\n";
}

// A key of an object stands once: the second column "n" becomes "n_2".
std::vector<std::string> unique_names(const std::vector<std::string>& names) {
  std::vector<std::string> unique;
  std::set<std::string> taken;
  for (const std::string& name : names) {
    std::string candidate = name;
    for (int number = 2; !taken.insert(candidate).second; ++number) candidate = fmt::format("{}_{}", name, number);
    unique.push_back(candidate);
  }
  return unique;
}

// Collects small pieces into large ones.
class Pieces {
 public:
  explicit Pieces(const std::function<bool(std::string_view)>& put) : put_(put) {}
  void add(std::string_view text) {
    piece_ += text;
    if (piece_.size() >= piece_bytes) flush();
  }
  void flush() {
    wanted_ = wanted_ && put_(piece_);
    piece_.clear();
  }
  bool wanted() const { return wanted_; }

 private:
  const std::function<bool(std::string_view)>& put_;
  std::string piece_;
  bool wanted_ = true;
};

bool write_table(StoreQuery& query, bool colour, Pieces& out) {
  std::vector<std::string> header;
  for (const std::string& name : query.columns()) header.push_back(shorten(visible(name), widest_value));
  TextTable table(std::move(header));
  std::vector<SqlValue> row;
  std::int64_t rows = 0;
  while (rows < most_table_rows && query.next(row)) {
    std::vector<TextTable::Field> fields;
    for (const SqlValue& value : row) fields.push_back(std::visit(TableValue(), value));
    table.add(std::move(fields));
    ++rows;
  }
  out.add(table.print(colour));
  return rows < most_table_rows || !query.next(row);
}

void write_csv(StoreQuery& query, Pieces& out) {
  std::vector<std::string> fields;
  for (const std::string& name : query.columns()) fields.push_back(csv_field(name));
  out.add(csv_line(fields));
  for (std::vector<SqlValue> row; out.wanted() && query.next(row);) {
    fields.clear();
    for (const SqlValue& value : row) fields.push_back(std::visit(CsvValue(), value));
    // A line of one empty field would be no line to many readers.
    out.add(csv_line(fields) == "\n" ? "\"\"\n" : csv_line(fields));
  }
}

void write_json(StoreQuery& query, bool lines, Pieces& out) {
  const std::vector<std::string> names = unique_names(query.columns());
  std::string before = lines ? "" : "[";
  for (std::vector<SqlValue> row; out.wanted() && query.next(row);) {
    nlohmann::ordered_json object = nlohmann::ordered_json::object();
    for (std::size_t i = 0; i < row.size(); ++i) object[names[i]] = std::visit(JsonValue(), row[i]);
    out.add(before + object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
            (lines ? "\n" : ""));
    if (!lines) before = ",\n ";
  }
  if (!lines) out.add(before == "[" ? "[]\n" : "]\n");
}

}  // namespace

QueryFormat parse_query_format(std::string_view text, std::string_view what) {
  if (text == "table") return QueryFormat::table;
  if (text == "csv") return QueryFormat::csv;
  if (text == "json") return QueryFormat::json;
  if (text == "jsonl") return QueryFormat::json_lines;
  throw InputError("{}: '{}' is not a format; use table, csv, json or jsonl", what, text);
}

bool write_rows(StoreQuery& query, QueryFormat format, bool colour, const std::function<bool(std::string_view)>& put) {
  Pieces out(put);
  bool whole = true;
  switch (format) {
    case QueryFormat::table:
      whole = write_table(query, colour, out);
      break;
    case QueryFormat::csv:
      write_csv(query, out);
      break;
    case QueryFormat::json:
    case QueryFormat::json_lines:
      write_json(query, format == QueryFormat::json_lines, out);
      break;
  }
  out.flush();
  return whole;
}

}  // namespace batchscope
