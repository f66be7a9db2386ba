// The report of a small study made by hand: its tables fit a terminal and say what happened, its JSON agrees.
#include "report/study_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "base/test_refusal.h"
#include "report/cell_text.h"
#include "report/figure/figures.h"
#include "report/goodput.h"
#include "report/test_study.h"
#include "report/text.h"
#include "store/test_folder.h"
#include "study/grid.h"
#include "study/records.h"
#include "study/study_file.h"

namespace batchscope {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* study_text = R"(
name = "small"
repeats = 2
device-memory = "1MiB"
[grid]
parallel = ["mp2", "tp2"]
batch = [1, 8, 64]
[[cell]]
parallel = "tp2"
batch = 64
max-tokens-per-sequence = 5
when-too-long = "truncate"
)";

CellResult result_of(const CellSpec& spec, std::int64_t repeat) {
  CellResult result;
  if (spec.run.batch == 64 && !spec.max_tokens_per_sequence) {
    result.status = CellStatus::out_of_memory;
    result.reason = "cpu:0 is out of memory";
    return result;
  }
  result.status = spec.max_tokens_per_sequence ? CellStatus::truncated : CellStatus::ok;
  result.valid = spec.run.batch != 8;
  if (spec.run.batch == 8) result.reason = spec.placement.layout.stages() > 1 ? "others used 40 %" : "others used 70 %";
  ScoreReport& run = result.run.emplace();
  run.time = std::chrono::milliseconds(1000 + 100 * repeat + 10 * spec.run.batch);
  run.batches = 1;
  run.tokens = {.requested = 40, .truncated = spec.max_tokens_per_sequence ? 20 : 0, .computed = 40, .padding = 0};
  for (int i = 0; i < 2; ++i) {
    DeviceReport device;
    device.name = "cpu:" + std::to_string(i);
    device.memory = {.capacity_bytes = 1 << 20, .planned_bytes = 5000, .peak_bytes = 5000 + i * (spec.run.batch == 8)};
    LinkReport link;
    link.predicted_tx_bytes = link.counted_tx_bytes = link.link_tx_bytes = 1 << 20;
    link.predicted_rx_bytes = link.counted_rx_bytes = 1 << 20;
    link.link_rx_bytes = 1 << 19;
    device.links = {link};
    device.busy = {.compute = 0.5, .communicate = 0.25, .idle = 0.25};
    run.devices.push_back(device);
  }
  for (int i = 0; i < 10; ++i) {
    ItemScore item;
    item.id = i;
    item.log_likelihoods = {-1, -2};
    item.prediction_norm = spec.max_tokens_per_sequence && i < 6 ? 1 : 0;
    result.items.push_back(item);
  }
  result.scores = summarize(result.items);
  return result;
}

class StudyReportTest : public testing::Test {
 protected:
  StudyReportTest() : path_(std::filesystem::temp_directory_path() / fmt::format("study_report_{}.bscope", getpid())) {
    write_test_study(path_, study_text, result_of);
    StoreWriter store(path_, OpenMode::append);
    const std::int64_t id = store.reader().studies().front().id;
    store.set_frontier({.study = id,
                        .strategy = strategy_name(parse_study(study_text, "s.toml").cells[0]),
                        .spec_json = "{}",
                        .tries = {{.batch = 40, .status = "ok", .reason = ""}},
                        .largest_ran = 40,
                        .largest_plan = 41,
                        .reason = ""});
  }
  ~StudyReportTest() override { std::filesystem::remove(path_); }

  std::filesystem::path path_;
};

TEST_F(StudyReportTest, TablesSayWhatHappenedIn80Columns) {
  const std::string text = to_text(read_study_report(StoreReader(path_)), false);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(text_width(line), 80u) << line;
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("1.16 / 100.0 % *"));
  EXPECT_THAT(text, HasSubstr("out of memory"));
  EXPECT_THAT(text, HasSubstr("1.79 / 40.0 % TRUNCATED"));
  EXPECT_THAT(text, HasSubstr("64 ≤5 tok"));
  EXPECT_THAT(text, HasSubstr("50 / 25 / 25"));
  EXPECT_THAT(text, HasSubstr("(plan 4.9 KiB)"));  // one byte more than planned shows
  EXPECT_THAT(text, HasSubstr("50.0 %"));          // the link's own counter saw half
  EXPECT_THAT(text, HasSubstr("6 (-6 +0)"));
  EXPECT_THAT(text, HasSubstr("Not valid as measurements: others used 40 to 70 %: MP2, batch 8; TP2, batch 8"));
  EXPECT_THAT(text, HasSubstr("VIRTUAL"));
  EXPECT_THAT(to_text(read_study_report(StoreReader(path_)), true), HasSubstr("\x1b[32m"));
}

TEST_F(StudyReportTest, JsonHasTheSameNumbers) {
  const nlohmann::json json = to_json(read_study_report(StoreReader(path_)));
  ASSERT_EQ(json.at("cells").size(), 7u);
  const nlohmann::json& first = json.at("cells").at(0);
  EXPECT_EQ(json.at("reference"), first.at("key"));
  EXPECT_EQ(first.at("repeats"), 2);
  EXPECT_NEAR(first.at("time").at("mean"), 1.16, 1e-9);
  EXPECT_NEAR(first.at("time").at("high").get<double>() - 1.16, 12.7062 * 0.05, 1e-5);
  EXPECT_TRUE(first.at("against_reference").is_null());
  const nlohmann::json& cut = json.at("cells").at(6);
  EXPECT_EQ(cut.at("status"), "truncated");
  EXPECT_EQ(cut.at("against_reference").at("lost"), 6);
  EXPECT_NEAR(cut.at("against_reference").at("mcnemar_mid_p"), 1.0 / 64, 1e-9);
  EXPECT_EQ(cut.at("result").at("tokens").at("truncated"), 20);
  EXPECT_EQ(json.at("strategies").at(0).at("largest_batch_planned"), 41);
  EXPECT_TRUE(json.at("strategies").at(1).at("largest_batch_ran").is_null());
}

constexpr const char* mixed_text = R"(
name = "mixed"
[[grid]]
parallel = "mp2"
batch = [1, 8]
[[grid]]
parallel = "tp2"
batch = [1, 8]
prompt-tokens = 8
output-tokens = 4
arrival-rate = [2, 20]
)";

CellResult mixed_result_of(const CellSpec& spec, std::int64_t) {
  return spec.workload ? test_generation(spec, 2, 10) : test_result(spec, 2, 10);
}

TEST(MixedStudyReport, ShowsQuestionsAndRequestsEachInTheirOwnTables) {
  const TestFolder folder;
  write_test_study(folder / "s.bscope", mixed_text, mixed_result_of);
  const StudyReport report = read_study_report(StoreReader(folder / "s.bscope"));
  const std::string text = to_text(report, false);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(text_width(line), 80u) << line;
  EXPECT_THAT(text, HasSubstr("Time and accuracy"));
  EXPECT_THAT(text, HasSubstr("Generation: "));
  EXPECT_FALSE(report.best);  // questions and requests have no time in common
  EXPECT_TRUE(report.strategies.back().best);
  std::size_t generating = 0, scored = 0;
  for (const Section& section : study_sections(report)) {
    if (section.id == "requests") generating = section.table->rows().size();
    if (section.id == "accuracy") scored = section.table->rows().size();
    if (section.id == "requests") {
      EXPECT_EQ(section.table->rows()[0][3].value, 40 / 0.91);
      EXPECT_EQ(section.table->rows()[0][4].value, 20);
      EXPECT_EQ(section.table->rows()[0][6].value, 5);
    }
  }
  EXPECT_EQ(generating, 4u);
  EXPECT_EQ(scored, 2u);  // the reference, and the other batch
  const nlohmann::json cell = to_json(report).at("cells").back();
  EXPECT_EQ(cell.at("result").at("latency_ms").at("p99"), 35);
  EXPECT_EQ(cell.at("spec").at("workload").at("arrival_rate"), 20);
  EXPECT_TRUE(cell.at("against_reference").is_null());
}

TEST(MixedStudyReport, GoodputIsOfRequestsThatAreFastEnough) {
  const TestFolder folder;
  write_test_study(folder / "s.bscope", mixed_text, mixed_result_of);
  const auto read = [&](const char* slo) {
    return read_study_report(StoreReader(folder / "s.bscope"), {}, {}, parse_study_slo(slo, "--slo"));
  };
  const StudyReport report = read("ttft=21ms,tpot=6ms,e2e=36ms");
  const load::Goodput all = report.cells.back().goodput.value();
  EXPECT_EQ(all.met, 10);
  EXPECT_EQ(all.share, 1);
  EXPECT_THAT(to_text(report, false), HasSubstr("Goodput: requests with TTFT ≤ 21 ms, TPOT ≤ 6 ms, E2E ≤ 36 ms"));
  EXPECT_EQ(to_json(report).at("cells").back().at("goodput").at("requests_per_s"), all.requests_per_s);
  EXPECT_FALSE(report.cells.front().goodput);  // of questions
  std::set<std::string> figures;
  for (const Figure& figure : study_figures(report)) figures.insert(figure.id);
  EXPECT_TRUE(figures.contains("goodput") && figures.contains("goodput_rate"));

  EXPECT_EQ(read("ttft=19ms").cells.back().goodput->met, 0);
  EXPECT_THAT(refusal([] { parse_study_slo("itl=5ms", "--slo"); }), HasSubstr("--slo: a study keeps no gaps"));
  EXPECT_THAT(refusal([] { parse_study_slo("fast", "--slo"); }), HasSubstr("METRIC=TIME"));
}

TEST(MixedStudyReport, DetailsAreOfTheFirstRepeatThatRan) {
  const TestFolder folder;
  write_test_study(folder / "s.bscope", "repeats = 3\n" + std::string(mixed_text),
                   [](const CellSpec& spec, std::int64_t repeat) {
                     CellResult result = mixed_result_of(spec, repeat);
                     if (repeat == 1) result.status = CellStatus::failed;
                     result.reason = std::to_string(repeat);
                     return result;
                   });
  for (const CellSummary& cell : read_study_report(StoreReader(folder / "s.bscope")).cells)
    EXPECT_EQ(cell.result.at("reason"), "2");
}

// A time that others disturbed is no time to win with; bytes are what they are.
TEST(StudyReport, TheModelsTimeStandsBesideTheMeasuredOne) {
  const TestFolder folder;
  const auto half_at_8 = [](const CellSpec& spec) { return spec.run.batch == 8 ? 0.61 : 1.15; };
  write_test_study(folder / "s.bscope", study_text, result_of, half_at_8);
  const StudyReport report = read_study_report(StoreReader(folder / "s.bscope"));
  const std::string text = to_text(report, false);
  EXPECT_THAT(text, HasSubstr("Time by the performance model"));
  EXPECT_THAT(text, HasSubstr("0.610 ×2.02"));  // 1.23 s on average
  EXPECT_THAT(text, HasSubstr("2 of 5 within a factor of 1.5"));
  const nlohmann::json json = to_json(report);
  for (const auto& cell : json.at("cells")) {
    if (cell.at("time").is_null()) {
      EXPECT_TRUE(cell.at("measured_to_estimated").is_null());
      continue;
    }
    EXPECT_DOUBLE_EQ(cell.at("measured_to_estimated").get<double>(),
                     cell.at("time").at("mean").get<double>() / cell.at("estimated_seconds").get<double>());
  }
}

TEST(StudyReport, OnlyValidCellsAreCalledFastest) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("study_valid_{}.bscope", getpid());
  const auto report_where = [&](const std::function<std::optional<bool>(std::int64_t batch)>& is_valid,
                                CellStatus status = CellStatus::ok) {
    write_test_study(path, study_text, [&](const CellSpec& spec, std::int64_t) {
      CellResult result = test_result(spec, 2, 4);
      result.valid = is_valid(spec.run.batch);
      if (result.valid == true) return result;
      result.run->time = std::chrono::milliseconds(10);
      result.status = status;
      return result;
    });
    return read_study_report(StoreReader(path));
  };
  const StudyReport some = report_where([](std::int64_t batch) { return batch != 8; });
  ASSERT_TRUE(some.best);
  EXPECT_EQ(some.cells[*some.best].spec.run.batch, 1);
  for (const StrategySummary& strategy : some.strategies)
    if (strategy.best) {
      EXPECT_NE(some.cells[*strategy.best].spec.run.batch, 8);
    }
  EXPECT_EQ(some.cells[*some.strategies[0].fastest].spec.run.batch, 8);
  const StudyReport none = report_where([](std::int64_t) { return false; });
  EXPECT_FALSE(none.best);
  EXPECT_THAT(to_text(none, false), HasSubstr("no fastest cell: none is valid as a measurement"));
  EXPECT_TRUE(to_json(none).at("best").is_null());
  // What nobody knows to be valid does not win, nor does what answered wrongly.
  const auto unknown = [](std::int64_t batch) { return batch != 8 ? std::optional(true) : std::nullopt; };
  EXPECT_EQ(report_where(unknown).cells[report_where(unknown).best.value()].spec.run.batch, 1);
  const StudyReport degraded = report_where(unknown, CellStatus::degraded);
  EXPECT_EQ(degraded.cells[degraded.best.value()].spec.run.batch, 1);
  EXPECT_EQ(degraded.cells[degraded.strategies[0].fastest.value()].spec.run.batch, 1);
  EXPECT_THAT(to_text(degraded, false), HasSubstr("DEGRADED"));
  std::filesystem::remove(path);
}

TEST(CellText, SaysWhatGenerationGave) {
  const CellSpec spec = parse_study(mixed_text, "s.toml").cells.back();
  const std::string text = cell_text(to_json(test_generation(spec, 2, 10)), false);
  EXPECT_THAT(text, HasSubstr("for 10 requests in 1 steps"));
  EXPECT_THAT(text, HasSubstr("output    40 tokens"));
  EXPECT_THAT(text, HasSubstr("queue     p50 1.00 ms"));
  EXPECT_THAT(text, HasSubstr("TTFT      p50 20.0 ms"));
  EXPECT_THAT(text, HasSubstr("TPOT      p50 5.00 ms"));
  EXPECT_THAT(text, HasSubstr("latency   p50 35.0 ms"));
  EXPECT_THAT(text, Not(HasSubstr("accuracy")));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(text_width(line), 80u) << line;
}

TEST(CellText, FitsATerminalAndIsLoudWhereItMustBe) {
  const StudySpec study = parse_study(study_text, "s.toml");
  const std::string cut = cell_text(to_json(result_of(study.cells[6], 1)), false);
  EXPECT_THAT(cut, HasSubstr("TRUNCATED"));
  EXPECT_THAT(cell_text(to_json(result_of(study.cells[2], 1)), false), HasSubstr("out of memory"));
  std::istringstream lines(cut);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(text_width(line), 80u) << line;
}

TEST(Text, TablesSplitRatherThanWrap) {
  TextTable table({"row", "a", "b", "c"});
  table.add({{"1"}, {std::string(40, 'x')}, {std::string(40, 'y')}, {"z"}});
  std::istringstream lines(table.print(false));
  int headers = 0;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80u);
    headers += line.starts_with("row") ? 1 : 0;
  }
  EXPECT_EQ(headers, 2);
  EXPECT_EQ(shorten("größer als", 5), "größ…");
  EXPECT_EQ(wrap("aa bb cc", 5, 2), "aa bb\n  cc");
}

}  // namespace
}  // namespace batchscope
