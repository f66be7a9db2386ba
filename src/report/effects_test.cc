// Effects of single settings: which cells are paired, by which repeats, and what the tables say.
#include "report/effects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "study/study_file.h"

namespace batchscope {
namespace {

using testing::HasSubstr;
using testing::Not;

CellSummary cell_of(const CellSpec& spec, std::vector<double> seconds) {
  CellSummary cell;
  cell.spec = spec;
  cell.status = "ok";
  for (const double value : seconds) {
    CellRun run;
    run.repeat = std::ssize(cell.runs) + 1;
    run.status = value > 0 ? "ok" : "failed";
    if (value > 0) {
      run.seconds = value;
      cell.seconds.push_back(value);
    }
    cell.runs.push_back(run);
  }
  if (!cell.seconds.empty()) cell.time = mean_interval(cell.seconds);
  cell.result = {{"tokens", {{"computed", 1000}, {"padding", spec.run.packing == Packing::padded ? 500 : 0}}}};
  return cell;
}

// A study's cells, whose seconds come from a function of the spec.
template <class Seconds>
StudyReport report_of(const char* study, const Seconds& seconds) {
  StudyReport report;
  for (const CellSpec& spec : parse_study(study, "s.toml").cells) {
    report.strategies.push_back({.spec = spec});
    report.cells.push_back(cell_of(spec, seconds(spec)));
    report.cells.back().strategy = report.strategies.size() - 1;
  }
  report.effects = study_effects(report.cells);
  return report;
}

std::string text_of(const StudyReport& report) {
  std::string text;
  for (const Section& section : effects_sections(report)) text += to_text(section, false);
  return text;
}

const Effect* find(const StudyReport& report, const std::string& from, const std::string& to, std::int64_t batch) {
  for (const Effect& effect : report.effects)
    if (effect.from == from && effect.to == to && report.cells[effect.cell].spec.run.batch == batch) return &effect;
  return nullptr;
}

TEST(Effects, OneFusionAgainstOffAndOn) {
  const StudyReport report =
      report_of("[grid]\nparallel = 'tp2'\nfusion = 'each'\nbatch = [1, 8]\n", [](const CellSpec& spec) {
        const double speed = spec.run.fusion == Fusion() ? 1 : spec.run.fusion == parse_fusion("on") ? 0.5 : 0.8;
        return std::vector<double>{2 * speed, 2.2 * speed, 4 * speed};
      });
  EXPECT_EQ(report.effects.size(), 2 * (11u + 10u));
  const Effect* off = find(report, "off", "norm", 8);
  ASSERT_NE(off, nullptr);
  EXPECT_EQ(off->axis, "fusion");
  EXPECT_NEAR(off->time->ratio, 0.8, 1e-12);  // a round's weather cancels: all its cells are slow alike
  EXPECT_NEAR(*off->time->high, 0.8, 1e-9);
  EXPECT_EQ(off->time->pairs, 3);
  EXPECT_NEAR(find(report, "on", "norm", 1)->time->ratio, 1.6, 1e-12);
  EXPECT_NEAR(find(report, "on", "qkv,swiglu,attention,comm,graph,overlap", 1)->time->ratio, 1.6, 1e-12);
  EXPECT_EQ(find(report, "on", "off", 1), nullptr);
  const std::string text = text_of(report);
  EXPECT_THAT(text, HasSubstr("on without norm"));
  EXPECT_THAT(text, HasSubstr("0.80 (0.80–0.80)"));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(text_width(line), 80u) << line;
}

TEST(Effects, RepeatsArePairedByTheirNumber) {
  const StudyReport report = report_of("[grid]\nfusion = ['off', 'on']\n", [](const CellSpec& spec) {
    return spec.run.fusion == Fusion() ? std::vector<double>{1, 0, 10, 3} : std::vector<double>{2, 4, 20, 0};
  });
  ASSERT_EQ(report.effects.size(), 1u);
  EXPECT_NEAR(report.effects[0].time->ratio, 2, 1e-12);  // of repeats 1 and 3: in the others one of them failed
  EXPECT_EQ(report.effects[0].time->pairs, 2);
}

TEST(Effects, NothingBeyondNoiseIsCalledNone) {
  const StudyReport report = report_of("[grid]\nfusion = ['off', 'on']\n", [](const CellSpec& spec) {
    return spec.run.fusion == Fusion() ? std::vector<double>{1, 1.1, 0.9} : std::vector<double>{1.1, 0.9, 1};
  });
  EXPECT_THAT(text_of(report), HasSubstr("none (0."));
}

TEST(Effects, OneRepeatSaysWhatIsMissing) {
  const StudyReport report =
      report_of("[grid]\nfusion = ['off', 'on']\n", [](const CellSpec&) { return std::vector<double>{1}; });
  EXPECT_FALSE(report.effects.at(0).time->low);
  EXPECT_THAT(text_of(report), testing::AllOf(HasSubstr("1.00 (?)"), HasSubstr("repeats = 5")));
}

TEST(Effects, PackingShowsItsTokens) {
  const StudyReport report =
      report_of("[grid]\nparallel = ['tp2', 'mp2']\npacking = ['padded', 'packed']\n", [](const CellSpec& spec) {
        return std::vector<double>{spec.run.packing == Packing::padded ? 3.0 : 2.0, 3, 3};
      });
  EXPECT_EQ(report.effects.size(), 2u);
  const std::string text = text_of(report);
  EXPECT_THAT(text, HasSubstr("0.67"));  // 1000 of 1500 tokens
  EXPECT_THAT(text, HasSubstr("500"));
  EXPECT_THAT(text, Not(HasSubstr("Fusion")));
}

TEST(Effects, WhatDidNotRunAlikeHasNoRatio) {
  StudyReport report = report_of("[grid]\nfusion = ['off', 'on', 'qkv']\n", [](const CellSpec& spec) {
    return spec.run.fusion == Fusion() ? std::vector<double>{1, 2} : std::vector<double>{0, 0};
  });
  for (CellRun& run : report.cells[1].runs) {
    run.status = "truncated";  // faster, but not at the same work
    run.seconds = 0.1;
  }
  for (const Effect& effect : study_effects(report.cells)) {
    if (effect.from != "off") continue;
    EXPECT_FALSE(effect.time) << effect.to;
  }
  EXPECT_THAT(text_of(report), HasSubstr(" -"));
  EXPECT_TRUE(study_effects({}).empty());
  EXPECT_TRUE(report_of("[grid]\nparallel = ['tp2', 'mp2']\n", [](const CellSpec&) {
                return std::vector<double>{1};
              }).effects.empty());
}

}  // namespace
}  // namespace batchscope
