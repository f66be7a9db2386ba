// Pages of studies and recordings: the terminal's tables are in them, whatever came of the cells, and they stay small.
#include "report/page/study_page.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "report/page/html.h"
#include "report/page/page_series.h"
#include "report/recording/recording_report.h"
#include "report/test_study.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* study_of_page = R"(
name = "small"
repeats = 2
device-memory = "1MiB"
[grid]
parallel = ["mp2", "tp2"]
batch = [1, 8, 64]
)";

CellResult mixed_result(const CellSpec& spec, std::int64_t) {
  CellResult result = test_result(spec, 2, 10);
  if (spec.run.batch == 64) {
    result = {};
    result.status = CellStatus::out_of_memory;
    result.reason = "cpu:0 is out of memory";
  }
  if (spec.run.batch == 8) {
    result.valid = false;
    result.reason = "others used <40 %";
    for (int i = 0; i < 3; ++i) result.items[static_cast<std::size_t>(i)].prediction_norm = 1;
  }
  return result;
}

CellResult failed_result(const CellSpec&, std::int64_t) {
  CellResult result;
  result.status = CellStatus::failed;
  result.reason = "no such <model>";
  return result;
}

std::string page_of(const std::filesystem::path& path) {
  const StoreReader reader(path);
  return to_html(study_page(read_study_report(reader), reader));
}

TEST(StudyPage, HasEveryTableOfTheTerminal) {
  const TestFolder folder;
  write_test_study(folder / "s.bscope", study_of_page, mixed_result);
  const std::string html = page_of(folder / "s.bscope");
  for (const Section& section : study_sections(read_study_report(StoreReader(folder / "s.bscope")))) {
    EXPECT_THAT(html, HasSubstr("id=\"table-" + section.id + "\""));
    if (section.table) {
      EXPECT_THAT(html, HasSubstr(html_table(*section.table, section.title)));
    }
    for (const std::string& note : section.notes) EXPECT_THAT(html, HasSubstr(html_text(note)));
  }
  EXPECT_THAT(html, HasSubstr("VIRTUAL"));
  EXPECT_THAT(html, HasSubstr("not valid"));
  EXPECT_THAT(html, HasSubstr("others used &lt;40 %"));
  EXPECT_THAT(html, HasSubstr("up to 3 of 10"));
  EXPECT_THAT(html, HasSubstr("id=\"cell-6\""));
}

// The header of the column that shows this, up to its end.
std::string column_header(const std::string& html, const std::string& path) {
  const std::size_t at = html.find("data-path=\"" + path + "\"");
  return at == std::string::npos ? "" : html.substr(at, html.find('>', at) - at);
}

TEST(StudyPage, ShowsGenerationWhereAnyCellDoes) {
  const TestFolder folder;
  write_test_study(folder / "plain.bscope", study_of_page, mixed_result);
  write_test_study(folder / "generation.bscope",
                   "name = 'g'\n[grid]\nparallel = 'tp2'\nbatch = [1, 8]\nprompt-tokens = 8\noutput-tokens = 4\n",
                   [](const CellSpec& spec, std::int64_t) { return test_generation(spec, 2, 10); });
  const std::string plain = page_of(folder / "plain.bscope"), generation = page_of(folder / "generation.bscope");
  EXPECT_THAT(column_header(generation, "result.ttft_ms.p50"), Not(HasSubstr("more")));
  EXPECT_THAT(column_header(generation, "result.acc_norm"), HasSubstr("more"));
  EXPECT_THAT(column_header(plain, "result.ttft_ms.p50"), HasSubstr("more"));
  EXPECT_THAT(column_header(plain, "result.acc_norm"), Not(HasSubstr("more")));
  EXPECT_THAT(generation, HasSubstr("id=\"table-requests\""));
  EXPECT_THAT(generation, HasSubstr("Time per output token by batch size"));
  EXPECT_THAT(generation, HasSubstr("40 tokens for 10 requests"));
  EXPECT_THAT(plain, Not(HasSubstr("Time per output token by batch size")));
}

TEST(StudyPage, OfOneCellAndOfNothingButFailures) {
  const TestFolder folder;
  write_test_study(folder / "one.bscope", "name = 'one'\n[grid]\nbatch = [1]\n",
                   [](const CellSpec& spec, std::int64_t) { return test_result(spec, 1, 1); });
  EXPECT_THAT(page_of(folder / "one.bscope"), HasSubstr("1 of 1 done"));
  write_test_study(folder / "failed.bscope", study_of_page, failed_result);
  const std::string failed = page_of(folder / "failed.bscope");
  EXPECT_THAT(failed, HasSubstr("no cell is ok"));
  EXPECT_THAT(failed, HasSubstr("no such &lt;model&gt;"));
  EXPECT_THAT(failed, Not(HasSubstr("<model>")));
}

TEST(StudyPage, OfStringsThatAreNoFriends) {
  const TestFolder folder;
  const std::string bad = "<img src=x onerror=alert(1)>";
  write_test_study(folder / "s.bscope", "name = \"" + bad + "\"\n[grid]\nbatch = [1, 2]\n",
                   [&](const CellSpec& spec, std::int64_t) {
                     CellResult result = test_result(spec, 1, 2);
                     result.reason = bad;
                     result.valid = false;
                     result.environment = {{bad, bad}};
                     result.items[0].id = bad;
                     result.items[0].prediction_norm = spec.run.batch - 1;
                     return result;
                   });
  EXPECT_THAT(page_of(folder / "s.bscope"), Not(HasSubstr("<img")));
}

// Two digits of base 64 a bucket, as page/series.js reads them.
std::vector<int> codes_of(const std::string& text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::vector<int> codes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    codes.push_back(static_cast<int>(digits.find(text[i]) * 64 + digits.find(text[i + 1])));
  return codes;
}

// Readings each millisecond, values by a function of the tick.
template <class Value>
void add_samples(StoreWriter& store, std::int64_t series, std::int64_t ticks, const Value& value) {
  SampleBlock block;
  block.columns = {{.series = series}};
  for (std::int64_t i = 0; i < ticks; ++i) {
    block.before.push_back(std::chrono::milliseconds(i));
    block.after.push_back(std::chrono::milliseconds(i));
    block.columns[0].integers.push_back(value(i));
  }
  store.append_samples({&block, 1}, {});
}

nlohmann::json one_series(const SeriesRecord& record, std::int64_t ticks, std::int64_t buckets,
                          const std::function<std::int64_t(std::int64_t)>& value) {
  const TestFolder folder;
  StoreWriter store(folder / "s.bscope", OpenMode::create);
  SeriesRecord series = record;
  series.session = store.begin_session("record");
  series.id = store.add_series(series);
  add_samples(store, series.id, ticks, value);
  SeriesNames names;
  return interval_json(store.reader(), {&series, 1}, {}, Nanoseconds(0), std::chrono::milliseconds(ticks),
                       {.buckets = buckets, .phases = 10}, names);
}

TEST(PageSeries, SpikesStayWhenLevelsAreThinned) {
  const nlohmann::json json =
      one_series(test_series(0, 0), 10'000, 50, [](std::int64_t i) { return i == 4321 ? 1'000'000 : i % 10; });
  EXPECT_EQ(json.at("buckets"), 50);
  const nlohmann::json& series = json.at("series").at(0);
  EXPECT_EQ(series.at(1), 0);
  EXPECT_EQ(series.at(2), 1'000'000);
  const std::vector<int> max = codes_of(series.at(5)), mean = codes_of(series.at(3));
  ASSERT_EQ(max.size(), 50u);
  EXPECT_EQ(max[21], 4093);  // tick 4321 of 200 a bucket
  EXPECT_EQ(mean[21], 20);   // (1 000 000 + 199 * 4.5) / 200 of 1 000 000, in 4093 steps
  EXPECT_EQ(std::count(max.begin(), max.end(), 4093), 1);
}

TEST(PageSeries, CumulativeCountersAreRates) {
  // 5 a millisecond, and once 1000 more.
  const nlohmann::json json =
      one_series(test_series(0, 1), 1000, 100, [](std::int64_t i) { return 5 * i + (i >= 500 ? 1000 : 0); });
  const nlohmann::json& series = json.at("series").at(0);
  EXPECT_NEAR(series.at(1).get<double>(), 5000, 1e-6);
  EXPECT_NEAR(series.at(2).get<double>(), 1'005'000, 1e-6);
  const std::vector<int> max = codes_of(series.at(5));
  EXPECT_EQ(std::count(max.begin(), max.end(), 4093), 1);
  EXPECT_EQ(max[49], 4093);
}

TEST(PageSeries, WhatStandsStillCostsNothingAndWhatIsAbsentIsNoZero) {
  const nlohmann::json still = one_series(test_series(0, 0), 100, 50, [](std::int64_t) { return 7; });
  EXPECT_EQ(still.at("series").at(0), nlohmann::json({0, 7.0, 7.0}));
  EXPECT_TRUE(one_series(test_series(0, 1), 1, 50, [](std::int64_t) { return 7; }).at("series").empty());
}

TEST(PageSeries, ShortPhasesAreDrawnTogether) {
  const TestFolder folder;
  StoreWriter store(folder / "s.bscope", OpenMode::create);
  std::vector<Phase> phases{{.name = "load", .track = "cpu:0", .begin = Nanoseconds(0), .end = Nanoseconds(500'000)}};
  for (std::int64_t i = 0; i < 10'000; ++i)
    phases.push_back({.name = "batch",
                      .track = "cpu:0",
                      .begin = Nanoseconds(600'000 + 1000 * i),
                      .end = Nanoseconds(600'900 + 1000 * i)});
  SeriesNames names;
  const nlohmann::json json = interval_json(store.reader(), {}, phases, Nanoseconds(0), std::chrono::milliseconds(11),
                                            {.buckets = 50, .phases = 100}, names);
  const nlohmann::json& drawn = json.at("tracks").at(0).at("phases");
  EXPECT_LE(drawn.size(), 100u);
  std::int64_t count = 0;
  for (const nlohmann::json& phase : drawn) count += phase.at(3).get<std::int64_t>();
  EXPECT_EQ(count, 10'001);
  EXPECT_EQ(drawn.at(0).at(0), "load");
}

// 500 cells and 50 series of noise. With BATCHSCOPE_LARGE_PAGE the page stays there, for the test in a browser.
TEST(StudyPage, OfFiveHundredCellsStaysSmall) {
  const TestFolder folder;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  constexpr std::int64_t batch_sizes = 125;
#else
  constexpr std::int64_t batch_sizes = 10;  // all of them take minutes there
#endif
  constexpr std::int64_t cells = 4 * batch_sizes, series = 50, ticks = 200;
  std::string batches;
  for (int batch = 1; batch <= batch_sizes; ++batch) batches += std::to_string(batch) + ",";
  write_test_study(
      folder / "s.bscope",
      "name = 'large'\n[grid]\nparallel = ['mp4', 'tp4']\nfusion = ['off', 'on']\nbatch = [" + batches + "]\n",
      [](const CellSpec& spec, std::int64_t) { return test_result(spec, 4, 20); });
  set_test_times(folder / "s.bscope");
  {
    StoreWriter store(folder / "s.bscope", OpenMode::append);
    const std::int64_t session = store.reader().sessions().front().id;
    SampleBlock block;
    for (std::int64_t i = 0; i < series; ++i)
      block.columns.push_back({.series = store.add_series(test_series(session, i))});
    std::mt19937_64 noise(1);
    std::int64_t total = 0;
    for (std::int64_t attempt = 1; attempt <= cells; ++attempt) {
      for (std::int64_t tick = 0; tick < ticks; ++tick) {
        block.before.push_back(test_attempt_begin(attempt) + test_attempt_length * tick / ticks);
        total += static_cast<std::int64_t>(noise() % (1 << 20));
        for (std::size_t i = 0; i < block.columns.size(); ++i)
          block.columns[i].integers.push_back(i % 2 == 1 ? total : static_cast<std::int64_t>(noise() % (1 << 20)));
      }
      if (attempt % 10 != 0) continue;  // a chunk every ten attempts
      block.after = block.before;
      store.append_samples({&block, 1}, {});
      block.before.clear();
      for (SampleColumn& column : block.columns) column.integers.clear();
    }
  }
  const std::string html = page_of(folder / "s.bscope");
  EXPECT_LE(html.size(), 9'000'000u);  // of 10 MB: the rest is for ledgers, phases and changed answers
  EXPECT_THAT(html, HasSubstr("id=\"series-cell-" + std::to_string(cells) + "\""));
  if (const char* keep = std::getenv("BATCHSCOPE_LARGE_PAGE")) write_file_atomically(keep, html);
}

TEST(RecordingPage, HasItsCountersAndTheirSeries) {
  const TestFolder folder;
  StoreWriter store(folder / "r.bscope", OpenMode::create);
  const std::int64_t session = store.begin_session("record");
  const std::int64_t series = store.add_series(test_series(session, 0));
  add_samples(store, series, 100, [](std::int64_t i) { return i; });
  const StoreReader reader = store.reader();
  const std::string html = to_html(recording_page(read_recorded_sessions(reader), reader));
  EXPECT_THAT(html, HasSubstr("gpu_memory_used_bytes"));
  EXPECT_THAT(html, HasSubstr("cpu:0 (VIRTUAL)"));
  EXPECT_THAT(html, HasSubstr("series-session-1"));
}

TEST(RecordingPage, DrawsAPartInFull) {
  const TestFolder folder;
  StoreWriter store(folder / "r.bscope", OpenMode::create);
  const std::int64_t session = store.begin_session("record");
  const std::int64_t series = store.add_series(test_series(session, 0));
  add_samples(store, series, 10'000, [](std::int64_t i) { return i; });
  const StoreReader reader = store.reader();
  const auto sessions = read_recorded_sessions(reader);
  const auto whole = recording_interval(reader, session, {});
  ASSERT_TRUE(whole);
  const Nanoseconds length = whole->end - whole->begin, from = length / 2, to = from + length / 100;
  const std::string html = to_html(recording_page(sessions, reader, {.from = from, .to = to}));
  EXPECT_THAT(html, HasSubstr(fmt::format("Over time, from {} to {}", format_duration(from), format_duration(to))));
  EXPECT_THAT(html, HasSubstr(fmt::format("\"seconds\":{}", to_seconds(to - from))));
  EXPECT_THAT(html, HasSubstr(fmt::format("\"since\":{}", to_seconds(from))));
  EXPECT_THROW(recording_page(sessions, reader, {.from = 2 * length}), InputError);
  EXPECT_THROW(recording_page(sessions, reader, {.from = to, .to = from}), InputError);
}

}  // namespace
}  // namespace batchscope
