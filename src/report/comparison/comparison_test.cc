// Comparisons of studies made by hand and by simulation: what is found, what is only noise, and what cannot be judged.
#include "report/comparison/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <sstream>

#include "base/error.h"
#include "store/test_folder.h"
#include "study/grid.h"
#include "study/records.h"
#include "study/study_file.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* compared_study = "repeats = 5\n[grid]\nparallel = ['tp2', 'mp2']\nbatch = [8, 32]\n";
constexpr std::int64_t items = 400;

AnswerSheet answers(std::int64_t lost = 0, std::int64_t count = items) {
  AnswerSheet sheet;
  for (std::int64_t i = 0; i < count; ++i) {
    sheet.ids.push_back(std::to_string(i));
    sheet.gold.push_back(i % 4);
    const bool right = i >= lost && i % 5 != 0;
    sheet.answers.push_back({right ? i % 4 : (i + 1) % 4, right});
  }
  return sheet;
}

// A study whose cells all ran, each repeat in one second.
ComparedStudy study_of(const std::string& text) {
  const StudySpec spec = parse_study(text, "s.toml");
  ComparedStudy study;
  study.file = "x.bscope";
  study.report.name = spec.name;
  study.report.environment = {{"cpu_model", "one"}, {"kernel", "Linux"}};
  for (const CellSpec& cell_spec : spec.cells) {
    StrategySummary strategy;
    strategy.spec = cell_spec;
    strategy.label = cell_spec.placement.layout.to_string();
    study.report.strategies.push_back(strategy);
    CellSummary cell;
    cell.spec = cell_spec;
    cell.strategy = study.report.strategies.size() - 1;
    cell.status = "ok";
    for (std::int64_t repeat = 1; repeat <= spec.repeats; ++repeat)
      cell.runs.push_back(
          {.repeat = repeat, .attempt = 0, .status = "ok", .valid = true, .reason = "", .seconds = 1.0});
    DeviceRecord device;
    device.peak_bytes = 1000;
    device.links.resize(1);
    device.links[0].counted_tx_bytes = device.links[0].counted_rx_bytes = 500;
    cell.devices = {device, device};
    cell.result = {{"tokens", {{"computed", 100}, {"padding", 10}}}};
    study.report.cells.push_back(cell);
    auto& sheets = study.sheet_of_cell.emplace_back();
    for (const CellRun& run : cell.runs) sheets[run.repeat] = add_sheet(study, answers());
  }
  return study;
}

using Change = std::function<void(ComparedStudy&)>;

Comparison changed(const Change& change, const Thresholds& thresholds = {}, const std::string& text = compared_study) {
  const ComparedStudy a = study_of(text);
  ComparedStudy b = a;
  change(b);
  return compare(a, b, thresholds);
}

void slow_down(CellSummary& cell, double factor) {
  for (CellRun& run : cell.runs) run.seconds = *run.seconds * factor;
}

void expect_80_columns(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(text_width(line), 80u) << line;
}

TEST(Comparison, AStudyAndItselfAreTheSame) {
  const Comparison same = changed([](ComparedStudy&) {});
  EXPECT_THAT(same.regressions(), IsEmpty());
  EXPECT_THAT(same.not_judged(), IsEmpty());
  EXPECT_EQ(same.cells.size(), 4u);
  const std::string text = to_text(same, false);
  EXPECT_THAT(text, AllOf(HasSubstr("NO REGRESSION"), HasSubstr("4 of 4 cells have the same answer to every item"),
                          HasSubstr("4 of 4 cells are equal"), HasSubstr("environment is the same")));
  expect_80_columns(text);
  EXPECT_EQ(to_json(same).at("regression"), false);
}

// What cells that generate give: times of requests, and no answers.
void generate(ComparedStudy& study, double ttft_ms) {
  for (CellSummary& cell : study.report.cells) {
    cell.spec.workload = Workload{.prompt_tokens = 8, .output_tokens = 4, .requests = 10};
    cell.result["requests"] = 10;
    cell.result["tokens"]["requested"] = 120;
    for (CellRun& run : cell.runs) {
      run.ttft_ms = ttft_ms;
      run.tpot_ms = 5;
    }
  }
  for (auto& sheets : study.sheet_of_cell) sheets.clear();
}

TEST(Comparison, GenerationIsJudgedByItsTime) {
  ComparedStudy a = study_of(compared_study);
  generate(a, 20);
  ComparedStudy b = a;
  generate(b, 30);
  for (CellSummary& cell : b.report.cells) slow_down(cell, 1.3);
  const Comparison found = compare(a, b, {});
  EXPECT_EQ(found.cells[0].time.judgement, Judgement::worse);
  EXPECT_EQ(found.cells[0].accuracy.judgement, Judgement::none);
  EXPECT_NEAR(to_json(found).at("cells").at(0).at("ttft_ms").at("ratio"), 1.5, 1e-9);
  const std::string text = to_text(found, false);
  EXPECT_THAT(text, AllOf(HasSubstr("Time to the first token"), HasSubstr("30.0"), Not(HasSubstr("Accuracy by"))));
  expect_80_columns(text);
}

TEST(Comparison, TimesOfOtherRequestsAreNotJudged) {
  ComparedStudy a = study_of(compared_study);
  generate(a, 20);
  ComparedStudy b = a;
  for (CellSummary& cell : b.report.cells) cell.result["tokens"]["requested"] = 240;
  const Comparison longer = compare(a, b, {});
  EXPECT_EQ(longer.cells[0].time.judgement, Judgement::not_judged);
  EXPECT_THAT(longer.cells[0].time.why, HasSubstr("120 tokens for 10 requests in A, 240 tokens"));
  b = a;
  for (CellSummary& cell : b.report.cells) cell.spec.workload->arrival_rate = 3;
  const Comparison slower = compare(a, b, {});
  EXPECT_THAT(slower.cells[0].time.why, HasSubstr("another rate"));
  ASSERT_EQ(slower.settings.size(), 1u);
  EXPECT_EQ(slower.settings[0].what, "arrival-rate");
}

TEST(Comparison, ASlowCellIsARegressionBeyondTheThreshold) {
  const auto slow = [](ComparedStudy& study) { slow_down(study.report.cells[1], 1.12); };
  const Comparison found = changed(slow);
  ASSERT_EQ(found.regressions().size(), 1u);
  EXPECT_THAT(found.regressions()[0], AllOf(HasSubstr("tp2, batch 32"), HasSubstr("1.12 s, before 1.00 s")));
  EXPECT_EQ(found.cells[1].time.judgement, Judgement::worse);
  EXPECT_EQ(found.cells[0].time.judgement, Judgement::none);
  EXPECT_THAT(to_text(found, false), AllOf(HasSubstr("REGRESSION: 1 found"), HasSubstr("SLOWER")));
  const Comparison allowed = changed(slow, {.time = 0.2});
  EXPECT_THAT(allowed.regressions(), IsEmpty());
  EXPECT_EQ(allowed.cells[1].time.judgement, Judgement::small);
  EXPECT_THAT(to_text(allowed, false), HasSubstr("slower ≤20 %"));
  EXPECT_EQ(changed([](ComparedStudy& study) { slow_down(study.report.cells[1], 0.8); }).cells[1].time.judgement,
            Judgement::better);
}

TEST(Comparison, ThreePointsOfAccuracyInOneCell) {
  const Comparison found = changed([](ComparedStudy& study) {
    const std::size_t sheet = add_sheet(study, answers(15));  // 12 of these were right
    for (auto& [repeat, index] : study.sheet_of_cell[2]) index = sheet;
  });
  EXPECT_EQ(found.cells[2].answers->lost, 12);
  EXPECT_THAT(found.regressions(), ElementsAre(AllOf(HasSubstr("mp2, batch 8"), HasSubstr("12 items lost, 0 gained"))));
  EXPECT_THAT(to_text(found, false), HasSubstr("12 (-12 +0)"));
}

// One repeat that answers otherwise is enough, and equal answers of many cells are one test.
TEST(Comparison, EveryRepeatsAnswersCount) {
  std::string many = "repeats = 5\n[grid]\nparallel = ['tp2', 'mp2']\nbatch = [1";
  for (int batch = 2; batch <= 150; ++batch) many += "," + std::to_string(batch);
  const Comparison found = changed(
      [](ComparedStudy& study) { study.sheet_of_cell[7][4] = add_sheet(study, answers(15)); }, {}, many + "]\n");
  EXPECT_EQ(found.cells[7].accuracy.judgement, Judgement::worse);
  EXPECT_EQ(found.regressions().size(), 1u);
}

TEST(Comparison, OtherQuestionsAreNotComparable) {
  const Comparison found = changed([](ComparedStudy& study) {
    for (auto& [repeat, index] : study.sheet_of_cell[0]) index = add_sheet(study, answers(0, 380));
    AnswerSheet other = answers();
    other.gold[7] = 9;
    for (auto& [repeat, index] : study.sheet_of_cell[1]) index = add_sheet(study, other);
    slow_down(study.report.cells[0], 3);  // of other questions this says nothing
  });
  EXPECT_THAT(found.regressions(), IsEmpty());
  EXPECT_EQ(found.cells[0].time.judgement, Judgement::not_judged);
  EXPECT_THAT(found.cells[0].accuracy.why, HasSubstr("400 items in A, 380 in B"));
  EXPECT_THAT(found.cells[1].accuracy.why, HasSubstr("count as correct"));
  EXPECT_THAT(to_text(found, false), HasSubstr("not judged: accuracy, the questions differ"));
}

TEST(Comparison, DisturbedTimesProveNothing) {
  const auto disturbed = [](ComparedStudy& study) {
    for (CellSummary& cell : study.report.cells) slow_down(cell, 1.3);
    for (CellRun& run : study.report.cells[0].runs) {
      run.valid = run.repeat > 4;
      run.reason = "other processes used 40 % of the CPUs meanwhile";
    }
    study.report.cells[1].runs[0].valid = false;  // four repeats are left
    for (std::size_t cell : {2u, 3u})
      for (CellRun& run : study.report.cells[cell].runs) run.seconds = 1;
  };
  const Comparison found = changed(disturbed);
  EXPECT_EQ(found.cells[0].time.judgement, Judgement::not_judged);
  EXPECT_EQ(found.cells[1].time.judgement, Judgement::worse);
  EXPECT_THAT(found.cells[1].time.why, HasSubstr("0 of 5 in A, 1 of 5 in B"));
  EXPECT_THAT(to_text(found, false), HasSubstr("1 of 4 cells without the repeats that other programs disturbed"));
  EXPECT_THAT(found.not_judged(), ElementsAre(AllOf(HasSubstr("time, other programs disturbed it"),
                                                    HasSubstr("0 of 5 repeats in A, 4 of 5 in B"), HasSubstr("40 %"))));
  EXPECT_EQ(changed(disturbed, {.judge_disturbed = true}).cells[0].time.judgement, Judgement::worse);
}

TEST(Comparison, OneRepeatRaisesNoAlarmAndSaysSo) {
  const Comparison found = changed([](ComparedStudy& study) { slow_down(study.report.cells[0], 4); }, {},
                                   "[grid]\nparallel = ['tp2', 'mp2']\n");
  EXPECT_THAT(found.regressions(), IsEmpty());
  EXPECT_NEAR(*found.cells[0].time.ratio, 4, 1e-12);
  EXPECT_THAT(found.not_judged(), ElementsAre(AllOf(HasSubstr("repeats = 5"), HasSubstr("tp2, batch 1"))));
}

TEST(Comparison, ExactFiguresNeedNoTest) {
  const Comparison found = changed([](ComparedStudy& study) {
    auto& cells = study.report.cells;
    cells[0].devices[1].peak_bytes = 1011;
    cells[1].devices[1].peak_bytes = 1009;  // within 1 %
    cells[2].devices[0].links[0].counted_tx_bytes = 600;
    cells[3].devices[0].peak_bytes.reset();
    cells[3].result["tokens"]["padding"] = 12;
  });
  EXPECT_EQ(found.cells[0].memory.judgement, Judgement::worse);
  EXPECT_EQ(found.cells[1].memory.judgement, Judgement::small);
  EXPECT_EQ(found.cells[2].traffic.judgement, Judgement::worse);
  EXPECT_EQ(found.cells[3].memory.judgement, Judgement::not_judged);
  EXPECT_EQ(found.cells[3].padding.judgement, Judgement::none);
  EXPECT_EQ(found.regressions().size(), 2u);
  const std::string text = to_text(found, false);
  EXPECT_THAT(text, AllOf(HasSubstr("MORE"), HasSubstr("more ≤1 %"), HasSubstr("padding")));
  expect_80_columns(text);
}

TEST(Comparison, HowCellsEnd) {
  const Comparison found = changed([](ComparedStudy& study) {
    auto& cells = study.report.cells;
    cells[0].status = "out_of_memory";
    cells[0].reason = "cpu:0 is full";
    cells[1].status = "truncated";
    cells[2].status = "not run";
  });
  EXPECT_THAT(found.regressions(), ElementsAre(HasSubstr("ok in A, out of memory in B: cpu:0 is full"),
                                               HasSubstr("ok in A, TRUNCATED in B")));
  EXPECT_THAT(found.not_judged(), ElementsAre(HasSubstr("not run in B")));
  const ComparedStudy good = study_of(compared_study);
  ComparedStudy bad = good;
  bad.report.cells[0].status = "failed";
  EXPECT_EQ(compare(bad, good, {}).cells[0].status.judgement, Judgement::better);
  EXPECT_EQ(compare(bad, bad, {}).cells[0].status.judgement, Judgement::none);
}

TEST(Comparison, ASmallerLargestBatch) {
  const auto with = [](std::optional<std::int64_t> largest) {
    return [largest](ComparedStudy& study) {
      for (StrategySummary& strategy : study.report.strategies) {
        strategy.frontier.emplace();
        strategy.frontier->largest_ran = largest;
      }
    };
  };
  ComparedStudy a = study_of(compared_study), b = a;
  with(40)(a);
  with(39)(b);
  EXPECT_THAT(compare(a, b, {}).regressions(), testing::Contains(HasSubstr("largest batch 39, before 40")));
  EXPECT_THAT(compare(b, a, {}).regressions(), IsEmpty());
  with(std::nullopt)(b);
  EXPECT_THAT(compare(a, b, {}).not_judged(), ElementsAre(HasSubstr("largest batch, unknown in B")));
}

TEST(Comparison, CellsAreMatchedByWhatTheyAre) {
  const ComparedStudy a = study_of("[grid]\nparallel = ['tp2', 'mp2']\nbatch = [1, 2]\n");
  const Comparison part = compare(a, study_of("[grid]\nparallel = ['tp2', 'pp2']\nbatch = [2, 4]\n"), {});
  EXPECT_EQ(part.cells.size(), 1u);
  EXPECT_EQ(part.only_in_a.size(), 3u);
  EXPECT_EQ(part.only_in_b.size(), 3u);
  // A setting that all of A has otherwise than all of B is what is compared.
  const Comparison paced =
      compare(a, study_of("link = '1GB/s'\n[grid]\nparallel = ['tp2', 'mp2']\nbatch = [1, 2]\n"), {});
  EXPECT_EQ(paced.cells.size(), 4u);
  EXPECT_THAT(to_text(paced, false), HasSubstr("setting: link"));
  EXPECT_THROW(compare(a, study_of("[grid]\nparallel = ['pp2', 'dp2']\n"), {}), InputError);
}

TEST(Comparison, TheEnvironmentsDifferences) {
  const Comparison found = changed([](ComparedStudy& study) {
    study.report.environment["cpu_model"] = "another";
    study.report.environment.erase("kernel");
  });
  ASSERT_EQ(found.environment.size(), 2u);
  EXPECT_EQ(found.environment[1].what, "kernel");
  EXPECT_EQ(found.environment[1].b, "");
  EXPECT_THAT(to_text(found, false), HasSubstr("another"));
}

TEST(Comparison, ItsFigureHasEveryRatio) {
  const Figure figure = time_ratio_figure(changed([](ComparedStudy& study) {
    slow_down(study.report.cells[1], 2);
    for (CellRun& run : study.report.cells[0].runs) run.valid = false;
  }));
  EXPECT_EQ(figure.x.categories.size(), 5u);  // four cells, and all together
  ASSERT_EQ(figure.series.size(), 2u);
  EXPECT_EQ(figure.series[0].points.size(), 4u);
  EXPECT_TRUE(figure.series[1].hollow);
}

// What the whole comparison promises, with noise as times have it.
struct Simulated {
  double slower = 1;
  std::int64_t lost = 0;
  int alarms(int comparisons) {
    const ComparedStudy plain = study_of(compared_study);
    int count = 0;
    for (int i = 0; i < comparisons; ++i) {
      ComparedStudy a = plain, b = plain;
      run(a);
      run(b);
      for (CellSummary& cell : b.report.cells) slow_down(cell, slower);
      if (lost > 0) b.sheet_of_cell[0][1] = add_sheet(b, answers(lost));
      count += compare(a, b, {}).regressions().empty() ? 0 : 1;
    }
    return count;
  }
  void run(ComparedStudy& study) {
    const double between_runs = 0.015 * normal(random);
    for (CellSummary& cell : study.report.cells)
      for (CellRun& one : cell.runs) one.seconds = std::exp(between_runs + 0.03 * normal(random));
  }
  std::mt19937_64 random{11};
  std::normal_distribution<double> normal;
};

TEST(ComparisonSimulated, FalseAlarmsAndPower) {
  EXPECT_LE(Simulated{}.alarms(200), 10);                // 5 %
  EXPECT_GE(Simulated{.slower = 1.1}.alarms(200), 160);  // 80 %
  EXPECT_EQ(Simulated{.lost = 15}.alarms(50), 50);       // 12 of 400 items
}

// From files, with the items in another order.
TEST(Comparison, ReadsWhatAFileHolds) {
  const TestFolder folder;
  const StudySpec spec = parse_study("name = 'f'\nrepeats = 2\n[grid]\nparallel = 'tp2'\n", "f.toml");
  const auto write = [&](const std::string& name, bool backwards) {
    StoreWriter store(folder / name, OpenMode::create);
    const std::int64_t session = store.begin_session("study"), study = store.add_study("f", to_json(spec).dump());
    for (std::int64_t repeat : {1, 2}) {
      const CellRecord cell{.key = cell_key(spec.cells[0], repeat),
                            .spec_json = stored_cell(spec.cells[0], repeat).dump(),
                            .position = repeat};
      const std::int64_t attempt = store.start_attempt(session, store.add_cells(study, {&cell, 1}).front());
      std::vector<ItemRecord> records;
      for (int i = 0; i < 3; ++i) records.push_back({.id_json = i == 2 ? "\"b\"" : "\"a\"", .prediction_norm = i});
      if (backwards) std::rotate(records.begin(), records.begin() + 2, records.end());
      store.finish_attempt(attempt, {.status = "ok", .valid = true, .seconds = 1.5, .result_json = "{}"}, records, {},
                           {}, {});
    }
  };
  write("a.bscope", false);
  write("b.bscope", true);
  const ComparedStudy a = read_compared_study(StoreReader(folder / "a.bscope"));
  const ComparedStudy b = read_compared_study(StoreReader(folder / "b.bscope"));
  EXPECT_EQ(a.sheets.size(), 1u);  // both repeats answer alike
  const Comparison same = compare(a, b, {});
  EXPECT_EQ(same.cells[0].answers->changed, 0);
  EXPECT_EQ(same.cells[0].answers->items, 3);
  EXPECT_NEAR(*same.cells[0].time.ratio, 1, 1e-12);
}

}  // namespace
}  // namespace batchscope
