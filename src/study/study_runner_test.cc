// A study's course with a scripted runner: nothing runs twice, nothing is lost, bisection and plan agree.
#include "study/study_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "study/dry_run.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

// Needs 100 bytes a sequence; stops the study after so many cells.
class ScriptedRunner : public CellRunner {
 public:
  explicit ScriptedRunner(ManualClock& clock) : clock_(clock) {}
  CellRecords run(const CellSpec& spec, const SentinelReference*) override {
    if (left_ == 0) throw Interrupted();
    --left_;
    clock_.advance(std::chrono::seconds(1));
    batches.push_back(spec.run.batch);
    layouts.push_back(spec.placement.layout.to_string());
    CellResult result;
    result.status = CellStatus::ok;
    if (spec.run.batch == fails_at) {
      result.status = CellStatus::failed;
      result.reason = "as scripted";
    } else if (spec.run.batch * 100 > spec.run.device_memory_bytes.value_or(1'000'000)) {
      result.status = CellStatus::out_of_memory;
    }
    return to_records(result);
  }
  void stop_after(int cells) { left_ = cells; }

  std::vector<std::int64_t> batches;
  std::vector<std::string> layouts;
  std::int64_t fails_at = 0;

 private:
  ManualClock& clock_;
  int left_ = -1;
};

class ScriptedPlanner : public FrontierPlanner {
 public:
  Answer largest(const CellSpec& spec) override {
    return {.sequences = 64, .largest = *spec.run.device_memory_bytes / 100};
  }
};

class StudyRunnerTest : public testing::Test {
 protected:
  StudyRunnerTest() : path_(std::filesystem::temp_directory_path() / fmt::format("study_runner_{}.bscope", getpid())) {
    std::filesystem::remove(path_);
  }
  ~StudyRunnerTest() override { std::filesystem::remove(path_); }

  // One session; true when it came to its end.
  bool run_session(const StudySpec& study, bool retries_failed = false) {
    StoreWriter store(path_, OpenMode::create_or_append);
    const std::int64_t session = store.begin_session("study");
    ScriptedPlanner planner;
    NoProgress progress;
    try {
      StudyRunner course(study, store, session, runner_, planner, progress, clock_);
      if (retries_failed) course.retry_failed();
      course.run();
    } catch (const Interrupted&) {
      return false;
    }
    store.end_session(session);
    return true;
  }
  std::vector<AttemptRecord> finished() const {
    std::vector<AttemptRecord> found;
    for (const AttemptRecord& attempt : StoreReader(path_).attempts())
      if (attempt.status != "interrupted") found.push_back(attempt);
    return found;
  }

  std::filesystem::path path_;
  ManualClock clock_;
  ScriptedRunner runner_{clock_};
};

constexpr const char* small_study =
    "name = 's'\nrepeats = 2\n[grid]\nparallel = ['tp2', 'mp2']\nbatch = [1, 8, 32]\ndevice-memory = 2100\n";

TEST_F(StudyRunnerTest, EveryCellOnceAndTheFrontierTwice) {
  ASSERT_TRUE(run_session(parse_study(small_study, "s.toml")));
  EXPECT_EQ(finished().size(), 12u);
  const auto frontiers = StoreReader(path_).frontiers();
  ASSERT_EQ(frontiers.size(), 2u);
  for (const FrontierRecord& frontier : frontiers) {
    EXPECT_EQ(frontier.largest_ran, 21);
    EXPECT_EQ(frontier.largest_plan, 21);
    EXPECT_FALSE(frontier.tries.empty());
    EXPECT_LE(frontier.tries.size(), 5u);
  }
}

// Others are compared with it; those that share its model come next.
TEST_F(StudyRunnerTest, TheReferenceRunsFirst) {
  ASSERT_TRUE(run_session(parse_study(std::string(small_study) + "[frontier]\nsearch = false\n"
                                      "[reference]\nparallel = 'mp2'\nbatch = 8\n", "s.toml")));
  ASSERT_EQ(runner_.layouts.size(), 12u);
  EXPECT_EQ(runner_.batches.front(), 8);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(runner_.layouts[static_cast<std::size_t>(i)], "mp2");
  for (int i = 3; i < 6; ++i) EXPECT_EQ(runner_.layouts[static_cast<std::size_t>(i)], "tp2");
}

TEST_F(StudyRunnerTest, InterruptedAnywhereItGoesOnWhereItWas) {
  const StudySpec study = parse_study(small_study, "s.toml");
  int sessions = 0;
  do {
    runner_.stop_after(1 + sessions % 3);
    ++sessions;
    ASSERT_LT(sessions, 50);
  } while (!run_session(study));
  std::set<std::int64_t> cells;
  for (const AttemptRecord& attempt : finished()) EXPECT_TRUE(cells.insert(attempt.cell).second);
  EXPECT_EQ(cells.size(), 12u);
  EXPECT_EQ(StoreReader(path_).frontiers().front().largest_ran, 21);
  const std::size_t ran = runner_.batches.size();
  runner_.stop_after(100);
  ASSERT_TRUE(run_session(study));  // once more: nothing is left to do
  EXPECT_EQ(runner_.batches.size(), ran);
}

TEST_F(StudyRunnerTest, WhatFailedRunsAgainWhereThatIsWanted) {
  const StudySpec study = parse_study(small_study, "s.toml");
  runner_.fails_at = 8;
  ASSERT_TRUE(run_session(study));
  runner_.fails_at = 0;
  runner_.batches.clear();
  ASSERT_TRUE(run_session(study));
  EXPECT_TRUE(runner_.batches.empty());
  ASSERT_TRUE(run_session(study, true));
  EXPECT_EQ(std::count(runner_.batches.begin(), runner_.batches.end(), 8), 4);  // two layouts, twice
  for (const AttemptRecord& attempt : finished()) EXPECT_NE(attempt.status, "failed");
}

TEST_F(StudyRunnerTest, AFileKeepsToItsStudy) {
  ASSERT_TRUE(run_session(parse_study(small_study, "s.toml")));
  EXPECT_THROW(run_session(parse_study("name = 's'\n[grid]\nbatch = [1, 8]\n", "s.toml")), InputError);
  EXPECT_THROW(run_session(parse_study("name = 'other'\n[grid]\nbatch = [1, 8]\n", "s.toml")), InputError);
}

TEST_F(StudyRunnerTest, AFailureEndsOnlyTheSearch) {
  runner_.fails_at = 20;
  ASSERT_TRUE(run_session(parse_study(small_study, "s.toml")));
  const FrontierRecord frontier = StoreReader(path_).frontiers().front();
  EXPECT_FALSE(frontier.largest_ran);
  EXPECT_THAT(frontier.reason, HasSubstr("as scripted"));
}

TEST_F(StudyRunnerTest, WithoutALimitThereIsNothingToSearch) {
  ASSERT_TRUE(run_session(parse_study("name = 's'\n[grid]\nbatch = [1, 8]\n", "s.toml")));
  EXPECT_THAT(StoreReader(path_).frontiers().front().reason, HasSubstr("nothing limits"));
}

TEST(FrontierSearch, FindsEveryLimitInFewTries) {
  rc::check([](std::uint16_t bound_drawn, std::uint16_t limit_drawn) {
    const std::int64_t bound = 1 + bound_drawn % 4096, limit = limit_drawn % (bound + 1);
    FrontierSearch search(bound);
    int tries = 0;
    while (const auto batch = search.next()) {
      RC_ASSERT(*batch >= 1 && *batch <= bound);
      RC_ASSERT(++tries <= 14);
      search.know(*batch, *batch <= limit);
    }
    RC_ASSERT(search.largest() == limit);
  });
}

TEST(TimeLeft, GuessesByStrategyThenByAll) {
  TimeLeft time;
  for (int i = 0; i < 3; ++i) time.expect("slow");
  time.expect("unknown");
  EXPECT_FALSE(time.left());
  time.finished("slow", std::chrono::seconds(4));
  EXPECT_EQ(time.left(), std::chrono::seconds(12));  // two slow ones and one as long as the mean
}

// Every kernel takes a microsecond, and every collective.
class FakeRates : public RateSource {
 public:
  std::vector<TimedStep> measure(const RateQuestion& question) override {
    questions.push_back(question);
    if (are_unknown) return {};
    TimedStep step{.seconds = 1e-3, .first_seconds = 1e-3};
    const auto add = [&](const Trace& trace) {
      auto& stage = step.stages.emplace_back();
      for (const TraceEntry& entry : trace.entries()) stage.push_back({entry, 1e-6});
    };
    Placement placement = question.placement;
    const auto requests = question.scored.empty() ? std::vector<ScoreRequest>() : question.scored.back().requests;
    if (!requests.empty()) add(plan_score(question.config, placement, question.settings, requests).traces.front());
    if (!question.generated.empty())
      add(plan_generate(question.config, placement, question.settings, question.generated.back().requests).traces.front());
    return {step};
  }
  std::vector<RateQuestion> questions;
  bool are_unknown = false;
};

TEST(DryRun, PlansWithoutRunning) {
  FakeRates rates;
  const DryRun plan = plan_study(
      parse_study("[grid]\nlimit = 3\nparallel = ['tp2']\nbatch = [1, 12]\ndevice-memory = ['1KiB', '1GiB']\n", "s.toml"),
      rates);
  ASSERT_EQ(plan.rows.size(), 4u);
  double sum = 0;
  for (const DryRun::Row& row : plan.rows) {
    EXPECT_GT(row.planned_bytes.value(), 1024);
    EXPECT_EQ(row.fits, *row.capacity_bytes > 1024);
    EXPECT_EQ(row.seconds.has_value(), *row.fits);
    sum += row.seconds.value_or(0);
  }
  EXPECT_NEAR(plan.seconds.value(), sum, 1e-12);
  EXPECT_GT(sum, 0);
  EXPECT_THAT(to_text(plan), HasSubstr("no room"));
  EXPECT_THAT(to_text(plan), HasSubstr("about: by what kernels"));
  EXPECT_EQ(rates.questions.size(), 1u);  // all four cells are of one kind
  EXPECT_LE(rates.questions.front().scored.size(), 5u);
}

TEST(DryRun, WithoutTheDevicesThereIsNoTime) {
  FakeRates rates;
  rates.are_unknown = true;
  const DryRun plan = plan_study(parse_study("[grid]\nlimit = 3\nbatch = [1]\n", "s.toml"), rates);
  EXPECT_FALSE(plan.rows.front().seconds);
  EXPECT_FALSE(plan.seconds);
  EXPECT_TRUE(to_json(plan).at("estimated_seconds").is_null());
  EXPECT_TRUE(to_json(plan).at("cells").front().at("estimated_seconds").is_null());
  EXPECT_THAT(to_text(plan), HasSubstr("no times"));
}

// Ten requests come a second; each takes some milliseconds.
TEST(DryRun, AGenerationEndsBehindItsLastArrival) {
  FakeRates rates;
  const DryRun plan = plan_study(
      parse_study("[task]\nkind = 'generate'\nprompt-tokens = 8\noutput-tokens = 4\nrequests = 12\n"
                  "[grid]\nbatch = [4]\narrival-rate = [10]\n[[cell]]\nbatch = 4\n",
                  "s.toml"),
      rates);
  ASSERT_EQ(plan.rows.size(), 2u);
  const double arriving = plan.rows[0].seconds.value(), at_once = plan.rows[1].seconds.value();
  EXPECT_GT(arriving, 0.2);
  EXPECT_GT(at_once, 0);
  EXPECT_LT(at_once, arriving);
}

TEST_F(StudyRunnerTest, WhatWasExpectedIsKeptBesideWhatCame) {
  const StudySpec study = parse_study("name = 's'\n[grid]\nbatch = [1, 8]\n", "s.toml");
  StoreWriter store(path_, OpenMode::create_or_append);
  ScriptedPlanner planner;
  NoProgress progress;
  StudyRunner course(study, store, store.begin_session("study"), runner_, planner, progress, clock_);
  EXPECT_EQ(course.cells_left(), 2);
  course.expect_seconds({0.25, std::nullopt});
  course.run();
  std::vector<nlohmann::json> expected;
  for (const AttemptRecord& attempt : finished())
    expected.push_back(parse_json(attempt.result_json, "result").value("estimated_seconds", nlohmann::json()));
  EXPECT_THAT(expected, testing::UnorderedElementsAre(nlohmann::json(0.25), nlohmann::json()));
}

}  // namespace
}  // namespace batchscope
