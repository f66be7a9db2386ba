// A study's course with a scripted runner: nothing runs twice, nothing is lost, bisection and plan agree.
#include "study/study_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "base/error.h"
#include "study/dry_run.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

// Needs 100 bytes a sequence; stops the study after so many cells.
class ScriptedRunner : public CellRunner {
 public:
  explicit ScriptedRunner(ManualClock& clock) : clock_(clock) {}
  CellRecords run(const CellSpec& spec) override {
    if (left_ == 0) throw Interrupted();
    --left_;
    clock_.advance(std::chrono::seconds(1));
    batches.push_back(spec.run.batch);
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
  bool run_session(const StudySpec& study) {
    StoreWriter store(path_, OpenMode::create_or_append);
    const std::int64_t session = store.begin_session("study");
    ScriptedPlanner planner;
    NoProgress progress;
    try {
      StudyRunner(study, store, session, runner_, planner, progress, clock_).run();
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

TEST(DryRun, PlansWithoutRunning) {
  const DryRun plan = plan_study(parse_study(
      "[grid]\nlimit = 3\nparallel = ['tp2']\nbatch = [1, 12]\ndevice-memory = ['1KiB', '1GiB']\n", "s.toml"));
  ASSERT_EQ(plan.rows.size(), 4u);
  for (const DryRun::Row& row : plan.rows) {
    EXPECT_GT(row.planned_bytes.value(), 1024);
    EXPECT_EQ(row.fits, *row.capacity_bytes > 1024);
    EXPECT_EQ(row.seconds.has_value(), *row.fits);
  }
  EXPECT_THAT(to_text(plan), HasSubstr("no room"));
}

}  // namespace
}  // namespace batchscope
