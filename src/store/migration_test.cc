// Files of older versions are read as they are and brought forward whole or not at all; other views than ours are
// refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/test_refusal.h"
#include "store/database.h"
#include "store/merge.h"
#include "store/query.h"
#include "store/schema.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

void execute(const std::filesystem::path& path, const std::string& sql) {
  SQLite::Database(path, SQLite::OPEN_READWRITE).exec(sql);
}

// A closed file with one cell, as version 1 wrote it.
void make_version_1(const std::filesystem::path& path) {
  {
    StoreWriter writer(path, OpenMode::create);
    const auto session = writer.begin_session("study");
    const CellRecord cell{.key = "tp4", .spec_json = "{}"};
    writer.start_attempt(session, writer.add_cells(writer.add_study("demo", "{}"), std::span(&cell, 1)).front());
  }
  for (const SchemaObject& object : schema_objects())
    if (object.since > 1) execute(path, std::string("DROP ") + object.type + " " + object.name);
  execute(path, "PRAGMA user_version = 1");
}

TEST(Migration, OlderFileIsReadAsItIsAndBroughtForwardWhenWritten) {
  const TestFolder folder;
  make_version_1(folder / "old.bscope");
  EXPECT_EQ(StoreReader(folder / "old.bscope").version(), 1);
  EXPECT_EQ(StoreReader(folder / "old.bscope").cells().size(), 1U);
  EXPECT_EQ(StoreReader(folder / "old.bscope").version(), 1);
  { StoreWriter writer(folder / "old.bscope", OpenMode::append); }
  const StoreReader reader(folder / "old.bscope");
  EXPECT_EQ(reader.version(), bscope_version);
  EXPECT_EQ(reader.attempts().size(), 1U);
  EXPECT_EQ(reader.check_integrity(), "ok");
}

// As version 2 wrote it, whose views of these names were others.
void make_version_2(const std::filesystem::path& path) {
  make_version_1(path);
  for (const SchemaObject& object : schema_objects()) {
    if (object.since == 2) execute(path, object.sql);
    if (object.replaces == 2) execute(path, std::string("CREATE VIEW ") + object.name + " AS SELECT 1 AS old");
  }
  execute(path, "PRAGMA user_version = 2");
}

TEST(Migration, OlderFileWithoutRequestsIsReadMergedAndBroughtForward) {
  const TestFolder folder;
  make_version_2(folder / "old.bscope");
  const std::int64_t attempt = StoreReader(folder / "old.bscope").attempts().front().id;
  EXPECT_TRUE(StoreReader(folder / "old.bscope").requests(attempt).empty());
  std::vector<SqlValue> row;
  EXPECT_FALSE(StoreQuery(folder / "old.bscope", "SELECT ttft_ms, arrival_rate FROM request_results").next(row));
  EXPECT_TRUE(StoreQuery(folder / "old.bscope", "SELECT arrival_rate FROM attempt_settings").next(row));
  const std::filesystem::path inputs[] = {folder / "old.bscope"};
  EXPECT_EQ(merge_stores(inputs, folder / "new.bscope", std::atomic<bool>(false)).attempts, 1);
  EXPECT_EQ(StoreReader(folder / "old.bscope").version(), 2);
  { StoreWriter writer(folder / "old.bscope", OpenMode::append); }
  EXPECT_EQ(StoreReader(folder / "old.bscope").version(), bscope_version);  // which checks each view
}

TEST(Migration, TableInPlaceOfAnOlderViewIsNotDropped) {
  const TestFolder folder;
  make_version_2(folder / "old.bscope");
  execute(folder / "old.bscope", "DROP VIEW attempt_settings; CREATE TABLE attempt_settings (x)");
  EXPECT_THAT(refusal([&] { StoreWriter w(folder / "old.bscope", OpenMode::append); }), HasSubstr("rename it"));
}

TEST(Migration, TablesOfAnOlderFileAreCheckedToo) {
  const TestFolder folder;
  make_version_1(folder / "old.bscope");
  execute(folder / "old.bscope", "DROP TABLE gaps; CREATE VIEW gaps AS SELECT 1 AS series");
  EXPECT_THAT(refusal([&] { StoreReader r(folder / "old.bscope"); }), HasSubstr("gaps is not that of version 1"));
}

TEST(Migration, OtherViewsThanOursAreRefused) {
  const TestFolder folder;
  { StoreWriter writer(folder / "s.bscope", OpenMode::create); }
  execute(folder / "s.bscope", "DROP VIEW cell_results; CREATE VIEW cell_results AS SELECT 1");
  EXPECT_THAT(refusal([&] { StoreReader r(folder / "s.bscope"); }), HasSubstr("its view cell_results"));
}

TEST(Migration, NameThatTheUserTookIsToldAndNothingIsChanged) {
  const TestFolder folder;
  make_version_1(folder / "old.bscope");
  execute(folder / "old.bscope", "CREATE TABLE cell_results (x)");
  EXPECT_EQ(StoreReader(folder / "old.bscope").cells().size(), 1U);
  EXPECT_THAT(refusal([&] { StoreWriter w(folder / "old.bscope", OpenMode::append); }), HasSubstr("rename it"));
  EXPECT_EQ(StoreReader(folder / "old.bscope").version(), 1);
}

TEST(Migration, ForeignTriggersDoNotRun) {
  const TestFolder folder;
  { StoreWriter writer(folder / "s.bscope", OpenMode::create); }
  execute(folder / "s.bscope", "CREATE TRIGGER t AFTER INSERT ON studies BEGIN DELETE FROM studies; END");
  StoreWriter writer(folder / "s.bscope", OpenMode::append);
  writer.add_study("demo", "{}");
  EXPECT_EQ(writer.reader().studies().size(), 1U);
}

TEST(Migration, KillAtAnyMomentLeavesAValidFile) {
  const TestFolder folder;
  make_version_1(folder / "old.bscope");
  std::mt19937 random(7);
  for (int kills = 0; kills < 20; ++kills) {
    std::filesystem::copy_file(folder / "old.bscope", folder / "killed.bscope");
    const pid_t child = fork();
    if (child == 0) {
      StoreWriter writer(folder / "killed.bscope", OpenMode::append);
      _exit(0);  // without closing: as a kill after the last step would
    }
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution(0, 8000)(random)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    {
      const StoreReader reader(folder / "killed.bscope");
      EXPECT_THAT(reader.version(), testing::AnyOf(1, bscope_version));
      EXPECT_EQ(reader.attempts().size(), 1U);
      EXPECT_EQ(reader.check_integrity(), "ok");
    }
    { StoreWriter writer(folder / "killed.bscope", OpenMode::append); }
    EXPECT_EQ(StoreReader(folder / "killed.bscope").version(), bscope_version);
    std::filesystem::remove(folder / "killed.bscope");
  }
}

}  // namespace
}  // namespace batchscope
