// Merging: nothing is lost, nothing is doubled, the inputs stay as they are, and the output is whole or not there.
#include "store/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/test_refusal.h"
#include "store/database.h"
#include "store/schema.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

const std::atomic<bool> go_on{false};

// A study of some cells, one attempt each with all that belongs to it, and a series of three values.
void write_study(const std::filesystem::path& path, const std::string& spec, std::size_t cells,
                 const std::string& host) {
  StoreWriter writer(path, OpenMode::create_or_append);
  const auto session = writer.begin_session("study");
  writer.set_environment(session, {{"host", host}});
  const auto study = writer.add_study("demo", spec);
  std::vector<CellRecord> records;
  for (std::size_t i = 0; i < cells; ++i)
    records.push_back({.key = "cell " + std::to_string(i), .spec_json = "{}", .position = static_cast<int>(i)});
  const std::vector<ItemRecord> items(2, ItemRecord{.id_json = "1", .log_likelihoods = {-1}, .tokens = {1, 2}});
  const std::vector<RequestRecord> requests(2, RequestRecord{.id_json = "1", .end_s = 0.5, .output_tokens = 7});
  const std::vector<Phase> phases(1, Phase{.name = "batch", .track = "cpu:0", .detail = ""});
  const std::vector<LedgerRecord> ledger(1, LedgerRecord{.collective = "all_reduce", .calls = 3});
  const std::vector<DeviceRecord> devices(1, DeviceRecord{.name = "cpu:0", .links = {{.kind = "virtual"}}});
  for (const auto cell : writer.add_cells(study, records))
    writer.finish_attempt(writer.start_attempt(session, cell), {.status = "ok", .result_json = "{}"}, items, phases,
                          ledger, devices, requests);
  writer.set_frontier({.study = study,
                       .strategy = "tp2",
                       .spec_json = "{}",
                       .tries = {{8, "ok", ""}},
                       .largest_ran = 8,
                       .largest_plan = 8});
  const auto series = writer.add_series({.session = session, .name = "a_bytes", .device = host});
  const std::vector<Nanoseconds> ticks{Nanoseconds(1), Nanoseconds(2), Nanoseconds(3)};
  const SampleBlock block{.before = ticks, .after = ticks, .columns = {{.series = series, .integers = {5, 6, 9}}}};
  const GapRecord gap{.series = series, .begin = Nanoseconds(4), .end = Nanoseconds(5), .ticks = 1, .reason = "lost"};
  writer.append_samples(std::span(&block, 1), std::span(&gap, 1));
  writer.append_samples({}, {}, {{{.session = session, .source = "host", .period = Nanoseconds(1)}}});
}

MergeSummary merge(const TestFolder& folder, const std::vector<std::string>& names, const std::string& output = "c") {
  std::vector<std::filesystem::path> paths;
  for (const std::string& name : names) paths.push_back(folder / name);
  return merge_stores(paths, folder / output, go_on);
}

TEST(Merge, SameStudyOfTwoHostsKeepsAllAttempts) {
  const TestFolder folder;
  write_study(folder / "a", "{}", 2, "one");
  write_study(folder / "b", "{}", 3, "two");
  const std::string before = read_file(folder / "a") + read_file(folder / "b");
  EXPECT_EQ(merge(folder, {"a", "b"}).attempts, 5);
  EXPECT_EQ(before, read_file(folder / "a") + read_file(folder / "b"));

  const StoreReader reader(folder / "c");
  EXPECT_EQ(reader.check_integrity(), "ok");
  ASSERT_EQ(reader.sessions().size(), 2U);
  EXPECT_EQ(reader.sessions()[1].environment.at("host"), "two");
  EXPECT_EQ(reader.sessions()[1].environment.at("merged_from"), "b");
  EXPECT_EQ(reader.studies().size(), 1U);
  ASSERT_EQ(reader.cells().size(), 3U);
  const auto attempts = reader.attempts(reader.cells()[0].id);
  ASSERT_EQ(attempts.size(), 2U);
  EXPECT_EQ(attempts[1].number, 2);
  EXPECT_LE(attempts[0].started_unix_s, attempts[1].started_unix_s);
  for (const AttemptRecord& attempt : reader.attempts()) {
    EXPECT_EQ(reader.items(attempt.id).size(), 2U);
    ASSERT_EQ(reader.requests(attempt.id).size(), 2U);
    EXPECT_EQ(reader.requests(attempt.id)[1].end_s, 0.5);
    EXPECT_EQ(reader.requests(attempt.id)[1].output_tokens, 7);
    EXPECT_EQ(reader.phases(attempt.id).size(), 1U);
    EXPECT_EQ(reader.ledger(attempt.id).size(), 1U);
    ASSERT_EQ(reader.devices(attempt.id).size(), 1U);
    EXPECT_EQ(reader.devices(attempt.id)[0].links.size(), 1U);
  }
  EXPECT_EQ(reader.frontiers().size(), 1U);
  EXPECT_EQ(reader.frontiers()[0].tries.size(), 1U);
  ASSERT_EQ(reader.series().size(), 2U);
  for (const SeriesRecord& series : reader.series()) {
    EXPECT_EQ(reader.samples(series).integers, (std::vector<std::int64_t>{5, 6, 9}));
    EXPECT_EQ(reader.gaps(series.id).size(), 1U);
  }
  EXPECT_EQ(reader.samplers().size(), 2U);
}

TEST(Merge, FileAndItsCopiesAreOne) {
  const TestFolder folder;
  write_study(folder / "early", "{}", 1, "one");
  std::filesystem::copy_file(folder / "early", folder / "late");
  write_study(folder / "late", "{}", 2, "one");  // goes on in a second session
  const MergeSummary summary = merge(folder, {"early", "late", "early"});
  EXPECT_EQ(summary.sessions, 2);
  EXPECT_EQ(summary.repeated_sessions, 2);
  EXPECT_EQ(StoreReader(folder / "c").attempts().size(), StoreReader(folder / "late").attempts().size());
  EXPECT_EQ(merge(folder, {"c", "late", "early"}, "d").repeated_sessions, 3);
  EXPECT_EQ(StoreReader(folder / "d").attempts().size(), 3U);
  EXPECT_EQ(StoreReader(folder / "d").sessions()[0].environment.at("merged_from"), "early");
}

// A copy made while a session ran has less of it, wherever it stands on the command line.
TEST(Merge, TheCopyThatGrewFurtherIsTaken) {
  const TestFolder folder;
  {
    StoreWriter writer(folder / "whole", OpenMode::create);
    const auto session = writer.begin_session("study");
    const CellRecord cell{.key = "k", .spec_json = "{}"};
    const auto id = writer.add_cells(writer.add_study("demo", "{}"), std::span(&cell, 1)).front();
    const auto attempt = writer.start_attempt(session, id);
    SQLite::Database(folder / "whole", SQLite::OPEN_READWRITE).exec("VACUUM INTO '" + (folder / "part").string() + "'");
    writer.finish_attempt(attempt, {.status = "ok", .result_json = "{}"}, {}, {}, {}, {});
  }
  merge(folder, {"part", "whole"});
  EXPECT_EQ(StoreReader(folder / "c").attempts().at(0).status, "ok");
  merge(folder, {"part"}, "d");
  EXPECT_EQ(StoreReader(folder / "d").attempts().at(0).status, "interrupted");
}

TEST(Merge, OtherStudyOfTheSameNameGetsANumber) {
  const TestFolder folder;
  write_study(folder / "a", R"({"x":1})", 1, "one");
  write_study(folder / "b", R"({"x":2})", 1, "two");
  const MergeSummary summary = merge(folder, {"a", "b"});
  ASSERT_EQ(summary.notes.size(), 1U);
  EXPECT_THAT(summary.notes[0], HasSubstr("'demo (2)'"));
  EXPECT_EQ(StoreReader(folder / "c").studies()[1].name, "demo (2)");
  EXPECT_EQ(merge(folder, {"c", "b"}, "d").studies, 2);  // known again by its settings
}

TEST(Merge, OlderVersionsAreTaken) {
  const TestFolder folder;
  write_study(folder / "a", "{}", 1, "one");
  {
    SQLite::Database old(folder / "a", SQLite::OPEN_READWRITE);
    for (const SchemaObject& object : schema_objects())
      if (object.since > 1) old.exec(std::string("DROP ") + object.type + " " + object.name);
    old.exec("PRAGMA user_version = 1");
  }
  merge(folder, {"a"});
  EXPECT_EQ(StoreReader(folder / "c").version(), bscope_version);
  EXPECT_EQ(StoreReader(folder / "a").version(), 1);
}

TEST(Merge, RefusalsLeaveNothingBehind) {
  const TestFolder folder;
  write_study(folder / "a", "{}", 1, "one");
  EXPECT_THAT(refusal<Error>([&] { merge(folder, {"a"}, "a"); }), HasSubstr("exists already"));
  EXPECT_THAT(refusal<Error>([&] { merge(folder, {"a", "none"}); }), HasSubstr("No such file"));
  std::filesystem::copy_file(folder / "a", folder / "c.part");
  EXPECT_THAT(refusal<Error>([&] { merge(folder, {"c.part"}); }), HasSubstr("rename it"));
  std::filesystem::remove(folder / "c.part");
  {
    SQLite::Database broken(folder / "a", SQLite::OPEN_READWRITE);
    broken.exec("PRAGMA foreign_keys = OFF; DELETE FROM ticks");
  }
  EXPECT_THAT(refusal<Error>([&] { merge(folder, {"a"}); }), HasSubstr("damaged: a chunk names ticks"));
  SQLite::Database(folder / "a", SQLite::OPEN_READWRITE).exec("DELETE FROM sessions");
  EXPECT_THAT(refusal<Error>([&] { merge(folder, {"a"}); }), HasSubstr("damaged: a row of"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Merge, StopsWhenAsked) {
  const TestFolder folder;
  write_study(folder / "a", "{}", 1, "one");
  const std::atomic<bool> stop{true};
  const std::vector<std::filesystem::path> inputs{folder / "a"};
  EXPECT_THROW(merge_stores(inputs, folder / "c", stop), Interrupted);
  EXPECT_FALSE(std::filesystem::exists(folder / "c.part"));
}

TEST(Merge, OneWithoutSessionsOrStudies) {
  const TestFolder folder;
  { StoreWriter writer(folder / "a", OpenMode::create); }
  EXPECT_EQ(merge(folder, {"a", "a"}).sessions, 0);
  EXPECT_EQ(StoreReader(folder / "c").studies().size(), 0U);
}

}  // namespace
}  // namespace batchscope
