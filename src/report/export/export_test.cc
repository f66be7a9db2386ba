// Exported tables: hostile_csv texts come back unharmed, unknown stays unknown, every sample is there once.
#include "report/export/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "report/export/export_samples.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::ElementsAre;

// A reader of RFC 4180 that shares no code with the writer.
std::vector<std::vector<std::string>> parse_csv(std::string_view text) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row(1);
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      row.back() += text[i++];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      row.emplace_back();
    } else if (c == '\n' && !quoted) {
      rows.push_back(std::exchange(row, std::vector<std::string>(1)));
    } else {
      row.back() += c;
    }
  }
  EXPECT_FALSE(quoted);
  EXPECT_EQ(row, std::vector<std::string>(1)) << "the last line ends";
  return rows;
}

const ExportTable& table(std::string_view name) {
  const auto tables = export_tables();
  return *std::find_if(tables.begin(), tables.end(), [&](const ExportTable& one) { return one.name == name; });
}

std::string exported(const StoreReader& reader, std::string_view name, RowFormat format) {
  std::string out;
  export_table(reader, table(name), format, [&](std::string_view bytes) { out += bytes; });
  return out;
}

std::vector<json> json_rows(const StoreReader& reader, std::string_view name) {
  std::istringstream lines(exported(reader, name, RowFormat::jsonl));
  std::vector<json> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(json::parse(line));
  return rows;
}

constexpr const char* hostile_csv = "a,\"b\"\n'; DROP TABLE cells;\r\xff \x1b[31m";

// A study with one cell that failed without a result, one that is fine, one never run; a recording beside it.
class ExportTest : public testing::Test {
 protected:
  ExportTest() : writer_(folder_ / "s.bscope", OpenMode::create) {
    session_ = writer_.begin_session("study");
    writer_.set_environment(session_, {{"cpu", hostile_csv}});
    study_ = writer_.add_study(hostile_csv, "{}");
    const std::vector<CellRecord> cells{
        {.key = hostile_csv, .spec_json = R"({"strategy":"tp2","repeat":1,"spec":{"batch":4,"packing":"packed"}})"},
        {.key = "failed", .spec_json = "not JSON", .position = 1},
        {.key = "never run", .spec_json = "[]", .position = 2}};
    const auto ids = writer_.add_cells(study_, cells);
    const auto good = writer_.start_attempt(session_, ids[0]);
    const ItemRecord item{.id_json = "\"7\\n\"",
                          .gold = 1,
                          .log_likelihoods = {-0.1, std::numeric_limits<double>::quiet_NaN()},
                          .tokens = {1, 2, 3}};
    const ItemRecord numbered{.id_json = "7", .log_likelihoods = {}, .tokens = {}, .prediction_bytes = 3};
    const Phase phase{.name = hostile_csv, .track = "cpu:0", .begin = Nanoseconds(5), .end = Nanoseconds(7)};
    const DeviceRecord device{
        .name = "cpu:0", .peak_bytes = 5, .links = {{.kind = "virtual", .predicted_tx_bytes = 1LL << 60}}};
    const LedgerRecord entry{.collective = "all_reduce", .algorithm = "ring", .phase = "layer", .calls = 2};
    const RequestRecord request{.id_json = "\"r\"", .arrival_s = 0.1, .end_s = 2, .output_tokens = 3};
    const std::vector items{item, numbered};
    writer_.finish_attempt(good,
                           {.status = "ok",
                            .valid = false,
                            .reason = "",
                            .seconds = 1.0 / 3,
                            .result_json = R"({"acc":0.1,"tokens":{"requested":12},"batches":null})"},
                           items, {&phase, 1}, {&entry, 1}, {&device, 1}, {&request, 1});
    const auto bad = writer_.start_attempt(session_, ids[1]);
    writer_.finish_attempt(bad, {.status = "failed", .reason = hostile_csv}, {}, {}, {}, {});
  }

  std::int64_t add_series(bool is_integer) {
    return writer_.add_series({.session = session_,
                               .name = "x_total",
                               .unit = "bytes",
                               .kind = "cumulative",
                               .device = hostile_csv,
                               .source = "test",
                               .is_integer = is_integer});
  }

  TestFolder folder_;
  StoreWriter writer_;
  std::int64_t session_ = 0, study_ = 0;
};

TEST_F(ExportTest, AllTablesHaveTheirColumnsInBothFormats) {
  const auto series = add_series(false);
  SampleBlock block{.before = {Nanoseconds(1)}, .after = {Nanoseconds(2)}, .columns = {{.series = series}}};
  block.columns[0].reals = {0.5};
  const GapRecord gap{
      .series = series, .begin = Nanoseconds(3), .end = Nanoseconds(4), .ticks = 1, .reason = hostile_csv};
  writer_.append_samples({&block, 1}, {&gap, 1});
  writer_.append_samples({}, {}, {{{.session = session_, .source = "host", .period = Nanoseconds(9)}}});
  writer_.set_frontier(
      {.study = study_, .strategy = hostile_csv, .tries = {{4, "ok", ""}}, .largest_ran = 0, .reason = hostile_csv});
  const auto reader = writer_.reader();
  for (const ExportTable& one : export_tables()) {
    SCOPED_TRACE(one.name);
    const auto csv = parse_csv(exported(reader, one.name, RowFormat::csv));
    const auto lines = json_rows(reader, one.name);
    ASSERT_GE(csv.size(), 2U);
    ASSERT_EQ(csv.size(), lines.size() + 1);
    EXPECT_TRUE(std::equal(csv[0].begin(), csv[0].end(), one.columns.begin(), one.columns.end()));
    for (const auto& row : csv) EXPECT_EQ(row.size(), one.columns.size());
    for (const auto& line : lines) EXPECT_EQ(line.size(), one.columns.size());
    EXPECT_EQ(std::set<std::string_view>(one.columns.begin(), one.columns.end()).size(), one.columns.size());
  }
}

TEST_F(ExportTest, CellsHaveSettingsAndResultsOrNothing) {
  const auto reader = writer_.reader();
  const auto rows = json_rows(reader, "cells");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0]["batch"], 4);
  EXPECT_EQ(rows[0]["packing"], "packed");
  EXPECT_EQ(rows[0]["seconds"], 1.0 / 3);  // unrounded
  EXPECT_EQ(rows[0]["valid"], false);
  EXPECT_EQ(rows[0]["reason"], "");
  EXPECT_EQ(rows[0]["acc"], 0.1);
  EXPECT_EQ(rows[0]["tokens_requested"], 12);
  EXPECT_TRUE(rows[0]["batches"].is_null());
  EXPECT_EQ(rows[1]["status"], "failed");
  EXPECT_TRUE(rows[1]["batch"].is_null());
  EXPECT_TRUE(rows[1]["seconds"].is_null());
  EXPECT_EQ(rows[2]["key"], "never run");
  EXPECT_TRUE(rows[2]["status"].is_null());
  EXPECT_TRUE(rows[2]["attempt"].is_null());

  const auto csv = parse_csv(exported(reader, "cells", RowFormat::csv));
  EXPECT_EQ(csv[1][0], hostile_csv);
  EXPECT_EQ(csv[1][1], hostile_csv);
  const auto column = [&](std::string_view name) {
    return static_cast<std::size_t>(std::find(csv[0].begin(), csv[0].end(), name) - csv[0].begin());
  };
  EXPECT_EQ(csv[1][column("seconds")], "0.3333333333333333");
  EXPECT_EQ(csv[2][column("seconds")], "");
}

TEST_F(ExportTest, ItemsKeepIdsListsAndWhatIsNoNumber) {
  const auto rows = json_rows(writer_.reader(), "items");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0]["id"], "7\n");
  EXPECT_EQ(rows[0]["ll"], (json{-0.1, nullptr}));
  EXPECT_EQ(rows[0]["tokens"], (json{1, 2, 3}));
  EXPECT_TRUE(rows[0]["pred_bytes"].is_null());
  EXPECT_EQ(rows[1]["id"], 7);
  EXPECT_EQ(rows[1]["position"], 1);
  EXPECT_EQ(rows[1]["pred_bytes"], 3);
  EXPECT_EQ(json_rows(writer_.reader(), "links")[0]["predicted_tx_bytes"], 1LL << 60);
}

TEST_F(ExportTest, SamplesComeOnceEachInPortions) {
  const auto integers = add_series(true), reals = add_series(false);
  constexpr std::int64_t count = 400'000;
  for (std::int64_t from = 0; from < count; from += 50'000) {
    SampleBlock block;
    block.columns.resize(2);
    block.columns[0].series = integers;
    block.columns[1].series = reals;
    for (std::int64_t i = from; i < from + 50'000; ++i) {
      // Ten times as dense from the middle on.
      const std::int64_t time = i < count / 2 ? 1000 * i : 900 * (count / 2) + 100 * i;
      block.before.push_back(Nanoseconds(time));
      block.after.push_back(Nanoseconds(time + 10));
      block.columns[0].integers.push_back(7 * i);
      block.columns[1].reals.push_back(0.5);
      block.columns[1].present.push_back(i % 100'000 == 3 ? 1 : 0);
    }
    writer_.append_samples({&block, 1}, {});
  }
  const auto reader = writer_.reader();
  std::int64_t next = 0;
  std::size_t largest = 0;
  each_portion(reader, reader.series()[0], [&](const SampleSeries& samples) {
    largest = std::max(largest, samples.size());
    for (const std::int64_t value : samples.integers) ASSERT_EQ(value, 7 * next++);
  });
  EXPECT_EQ(next, count);
  EXPECT_LT(largest, static_cast<std::size_t>(count));

  const auto rows = parse_csv(exported(reader, "samples", RowFormat::csv));
  EXPECT_EQ(rows.size(), 1 + count + 4U);  // absent ones have no row
  const auto zero = reader.sessions()[0].monotonic_zero_unix.count();
  EXPECT_THAT(rows[2], ElementsAre(std::to_string(session_), std::to_string(integers), "x_total", hostile_csv, "bytes",
                                   "1000", "1010", std::to_string(zero + 1000), "7"));
  EXPECT_EQ(rows.back().back(), "0.5");
}

TEST(ExportRows, EmptyFilesHaveOnlyHeaders) {
  const TestFolder folder;
  StoreWriter writer(folder / "s.bscope", OpenMode::create);
  for (const ExportTable& one : export_tables()) {
    EXPECT_EQ(parse_csv(exported(writer.reader(), one.name, RowFormat::csv)).size(), 1U) << one.name;
    EXPECT_EQ(exported(writer.reader(), one.name, RowFormat::jsonl), "") << one.name;
  }
}

TEST(ExportRows, UnknownIsEmptyOrNullAndAnEmptyTextIsNot) {
  const std::vector<std::string_view> columns{"a", "b", "c", "d"};
  const auto written = [&](RowFormat format) {
    std::string text;
    BufferedOutput out([&](std::string_view bytes) { text += bytes; });
    RowWriter rows(format, columns, out);
    rows.row({ExportValue(), std::string_view(), std::numeric_limits<double>::infinity(), std::optional<bool>()});
    rows.row({true, -5.0, std::numeric_limits<std::int64_t>::min(), 1e300});
    out.flush();
    return text;
  };
  EXPECT_EQ(written(RowFormat::csv), "a,b,c,d\n,\"\",,\ntrue,-5,-9223372036854775808,1e+300\n");
  EXPECT_EQ(written(RowFormat::jsonl),
            "{\"a\":null,\"b\":\"\",\"c\":null,\"d\":null}\n"
            "{\"a\":true,\"b\":-5,\"c\":-9223372036854775808,\"d\":1e+300}\n");
}

RC_GTEST_PROP(ExportRows, AnyTextComesBackFromCsv, (const std::string& first, const std::string& second)) {
  const std::vector<std::string_view> columns{"a", "b"};
  std::string text;
  BufferedOutput out([&](std::string_view bytes) { text += bytes; });
  RowWriter rows(RowFormat::csv, columns, out);
  rows.row({first, second});
  out.flush();
  const auto parsed = parse_csv(text);
  RC_ASSERT(parsed.size() == 2U);
  RC_ASSERT(parsed[1] == (std::vector<std::string>{first, second}));
}

}  // namespace
}  // namespace batchscope
