// The figures of a study made by hand: their numbers are those of its JSON, and what is not ok does not look ok.
#include "report/figure/figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "study/axes.h"
#include "study/grid.h"

namespace batchscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

DeviceRecord device(std::int64_t index, std::int64_t peak) {
  LinkRecord link{.kind = "virtual"};
  link.predicted_tx_bytes = link.counted_tx_bytes = link.link_tx_bytes = 1000 * (index + 1);
  link.predicted_rx_bytes = link.counted_rx_bytes = 2000;
  link.link_rx_bytes = 1000;
  return {.name = "cpu:" + std::to_string(index),
          .capacity_bytes = 1 << 20,
          .planned_bytes = peak,
          .peak_bytes = peak,
          .busy_compute = 0.5,
          .busy_communicate = 0.25,
          .busy_idle = 0.25,
          .links = {link}};
}

CellSummary cell(std::size_t strategy, std::int64_t batch, const std::string& status) {
  CellSummary made;
  made.spec = cell_of({{"parallel", strategy == 0 ? "mp2" : "tp2"}, {"batch", std::to_string(batch)}});
  made.strategy = strategy;
  made.status = status;
  made.devices = {device(0, 1000 * batch), device(1, 1200 * batch)};
  if (status != "ok" && status != "truncated") {
    for (DeviceRecord& one : made.devices) one.peak_bytes.reset();
    return made;
  }
  made.valid = true;
  made.seconds = {2.0 / static_cast<double>(batch), 2.2 / static_cast<double>(batch)};
  made.time = mean_interval(made.seconds);
  made.result = {{"seconds", made.seconds[0]},
                 {"tokens_per_s", 100 * batch},
                 {"batch_ms", {{"p50", 10 * batch}, {"p90", 11 * batch}, {"p99", nullptr}}},
                 {"acc_norm", 0.8},
                 {"acc_norm_low", 0.7},
                 {"acc_norm_high", 0.88}};
  return made;
}

// Two strategies × batches 1, 8, 64: one cell not valid, one out of memory, one truncated, one failed.
StudyReport small_study() {
  StudyReport report{.name = "small", .repeats = 2};
  report.strategies = {{.name = "a", .label = "MP2", .column = 0, .capacity_bytes = 1 << 20},
                       {.name = "b", .label = "TP2", .column = 1, .capacity_bytes = 1 << 20},
                       {.name = "c", .label = "TP2 ≤5 tok", .column = 1}};
  report.cells = {cell(0, 8, "ok"), cell(0, 1, "ok"),     cell(0, 64, "out_of_memory"),
                  cell(1, 1, "ok"), cell(1, 8, "failed"), cell(2, 64, "truncated")};
  report.cells[0].valid = false;
  report.cells[0].reason = "other processes used 40 % of the CPUs";
  report.cells[3].paired = Paired{.items = 10, .changed = 4, .lost = 2, .gained = 1, .p = 1};
  report.cells[5].spec.max_tokens_per_sequence = 5;
  report.strategies[0].frontier = FrontierRecord{.strategy = "a", .largest_ran = 0, .largest_plan = 0};
  report.strategies[1].frontier = FrontierRecord{.strategy = "b", .largest_ran = 40, .largest_plan = 41};
  report.effects = {{.axis = "fusion",
                     .from = "off",
                     .to = "on",
                     .baseline = 1,
                     .cell = 3,
                     .time = RatioInterval{.ratio = 0.9, .low = 0.8, .high = 1.02, .pairs = 2}},
                    {.axis = "fusion", .from = "off", .to = "on", .baseline = 0, .cell = 4}};
  report.chance = 0.25;
  report.has_virtual_devices = true;
  return report;
}

const Figure& figure(const std::vector<Figure>& figures, const std::string& id) {
  const auto found = std::find_if(figures.begin(), figures.end(), [&](const Figure& one) { return one.id == id; });
  if (found == figures.end()) throw std::runtime_error("no figure " + id);
  return *found;
}

// The figure's point for a cell; null where it has none.
const FigurePoint* point(const Figure& figure, const StudyReport& report, const CellSummary& cell,
                         FigureStroke stroke = FigureStroke::solid) {
  for (const FigureSeries& series : figure.series)
    if (series.name == report.label(cell) && series.stroke == stroke)
      for (const FigurePoint& one : series.points)
        if (one.x == static_cast<double>(cell.spec.run.batch)) return &one;
  return nullptr;
}

TEST(Figures, AreThoseThatTheStudyHasDataFor) {
  std::vector<std::string> ids;
  for (const Figure& one : study_figures(small_study())) {
    ids.push_back(one.id);
    EXPECT_THAT(one.title, HasSubstr("(virtual devices)"));
  }
  EXPECT_THAT(ids, ElementsAre("time", "throughput", "latency", "traffic_tx", "traffic_rx", "traffic_utilisation",
                               "memory", "accuracy", "changed", "busy", "frontier", "closure", "effects"));
  EXPECT_THAT(study_figures(StudyReport{}), IsEmpty());
  StudyReport failed;
  failed.strategies = {{.name = "a", .label = "MP2"}};
  failed.cells = {cell(0, 1, "failed")};
  failed.cells[0].devices.clear();
  EXPECT_THAT(study_figures(failed), IsEmpty());
}

TEST(Figures, NumbersAreThoseOfTheJson) {
  const StudyReport report = small_study();
  const std::vector<Figure> figures = study_figures(report);
  const nlohmann::json json = to_json(report);
  for (std::size_t i = 0; i < report.cells.size(); ++i) {
    const CellSummary& summary = report.cells[i];
    const nlohmann::json& expected = json.at("cells").at(i);
    const FigurePoint* time = point(figure(figures, "time"), report, summary);
    ASSERT_EQ(time != nullptr, !expected.at("time").is_null()) << i;
    if (time == nullptr) continue;
    EXPECT_EQ(time->y, expected.at("time").at("mean").get<double>());
    EXPECT_EQ(*time->low, expected.at("time").at("low").get<double>());
    EXPECT_EQ(*time->high, expected.at("time").at("high").get<double>());
    const nlohmann::json& result = expected.at("result");
    EXPECT_EQ(point(figure(figures, "throughput"), report, summary)->y, result.at("tokens_per_s").get<double>());
    EXPECT_EQ(point(figure(figures, "latency"), report, summary, FigureStroke::dashed)->y,
              result.at("batch_ms").at("p90").get<double>());
    EXPECT_EQ(point(figure(figures, "latency"), report, summary, FigureStroke::dotted), nullptr);
    EXPECT_EQ(*point(figure(figures, "accuracy"), report, summary)->high, result.at("acc_norm_high").get<double>());
    EXPECT_EQ(point(figure(figures, "traffic_tx"), report, summary)->y, 1500 / result.at("seconds").get<double>());
    EXPECT_EQ(point(figure(figures, "closure"), report, summary, FigureStroke::dashed)->y,
              expected.at("closure").at(0).at("rx_closure_link").get<double>());
  }
  const FigurePoint& effect = figure(figures, "effects").series.at(0).points.at(0);
  EXPECT_EQ(effect.y, json.at("effects").at(0).at("time_ratio").at("ratio").get<double>());
  EXPECT_EQ(figure(figures, "accuracy").limits.at(0).y, json.at("chance").get<double>());
}

TEST(Figures, WhatIsNotOkDoesNotLookOk) {
  const StudyReport report = small_study();
  const std::vector<Figure> figures = study_figures(report);
  const auto in = [&](const char* id, std::size_t i, FigureStroke stroke = FigureStroke::solid) {
    return point(figure(figures, id), report, report.cells[i], stroke);
  };
  EXPECT_TRUE(in("time", 0)->hollow);
  EXPECT_THAT(in("time", 0)->note, HasSubstr("not valid: other processes used 40 %"));
  EXPECT_FALSE(in("memory", 0)->hollow);  // others' work moves no byte
  EXPECT_FALSE(in("time", 1)->hollow);
  EXPECT_THAT(in("time", 1)->note, IsEmpty());
  EXPECT_EQ(in("memory", 2), nullptr);
  EXPECT_THAT(in("memory", 2, FigureStroke::dashed)->note, HasSubstr("out of memory: needs 75.0 KiB"));
  EXPECT_TRUE(in("memory", 2, FigureStroke::dashed)->hollow);
  EXPECT_TRUE(in("accuracy", 5)->hollow);
  EXPECT_EQ(in("accuracy", 5)->note, "truncated to 5 tokens");
  EXPECT_EQ(figure(figures, "time").series.at(2).style, 1u);  // the colour of the strategy that is cut
  EXPECT_THAT(figure(figures, "time").caption, HasSubstr("Cells without a marker: 1 failed, 1 out of memory."));
  EXPECT_THAT(figure(figures, "busy").x.categories,
              ElementsAre("MP2, batch 1", "MP2, batch 8, not valid", "TP2, batch 1",
                          "TP2 ≤5 tok, batch 64, truncated to 5 tokens"));
  EXPECT_TRUE(figure(figures, "frontier").series.at(0).points.at(0).hollow);
}

TEST(Figures, PointsFollowTheBatchAndLimitsTheMemory) {
  const std::vector<Figure> figures = study_figures(small_study());
  const FigureSeries& first = figure(figures, "time").series.at(0);
  EXPECT_EQ(first.points.at(0).x, 1);  // although the study has batch 8 first
  EXPECT_EQ(first.points.at(1).x, 8);
  ASSERT_EQ(figure(figures, "memory").limits.size(), 1u);  // both have the same
  EXPECT_EQ(figure(figures, "memory").limits.at(0).y, 1 << 20);
  const Figure& changed = figure(figures, "changed");
  EXPECT_EQ(changed.series.at(0).points.at(0).y, 2);
  EXPECT_EQ(changed.series.at(1).points.at(0).y, 1);
  EXPECT_EQ(changed.series.at(2).points.at(0).y, 1);
  EXPECT_EQ(changed.caption, "1 of 1 cells differ in at least one answer; only those are shown.");
}

TEST(Figures, OneBatchIsNoCurveButSeveralRatesAre) {
  StudyReport report;
  report.strategies = {{.name = "a", .label = "1/s"}, {.name = "b", .label = "2/s"}};
  for (const char* rate : {"2", "1"}) {
    CellSummary& made = report.cells.emplace_back(cell(report.cells.size(), 8, "ok"));
    made.spec = cell_of({{"prompt-tokens", "4"}, {"output-tokens", "4"}, {"arrival-rate", rate}, {"batch", "8"}});
    made.result["ttft_ms"] = {{"p50", 10}, {"p90", 20}, {"p99", nullptr}};
  }
  const std::vector<Figure> figures = study_figures(report);
  EXPECT_FALSE(std::any_of(figures.begin(), figures.end(), [](const Figure& one) { return one.id == "time"; }));
  const Figure& ttft = figure(figures, "ttft_rate");
  ASSERT_EQ(ttft.series.size(), 2u);  // p50, p90
  EXPECT_EQ(ttft.series[0].name, "TP1, batch 8");
  EXPECT_EQ(ttft.series[0].points.front().x, 1);
  EXPECT_EQ(ttft.series[1].points.back().y, 20);
}

TEST(Figures, OfManyCellsABarAStrategy) {
  StudyReport report;
  for (std::size_t strategy = 0; strategy < 50; ++strategy) {
    report.strategies.push_back({.name = std::to_string(strategy), .label = "S" + std::to_string(strategy)});
    for (const std::int64_t batch : {1, 2}) report.cells.push_back(cell(strategy, batch, "ok"));
  }
  const std::vector<Figure> figures = study_figures(report);
  EXPECT_EQ(figure(figures, "busy").x.categories.size(), 50u);
  EXPECT_EQ(figure(figures, "busy").x.categories.at(7), "S7, batch 2");
  EXPECT_THAT(figure(figures, "busy").caption, HasSubstr("fastest batch"));
  EXPECT_EQ(figure(figures, "time").series.size(), 50u);
}

TEST(Figures, CsvHasALineAPoint) {
  const std::string csv = to_csv(figure(study_figures(small_study()), "time"));
  EXPECT_THAT(csv, HasSubstr("\nMP2,1,2.1,"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
}

}  // namespace
}  // namespace batchscope
