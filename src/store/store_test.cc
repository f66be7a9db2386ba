// The .bscope file: what goes in comes out, what is foreign or damaged is refused, one writer at a time.
#include "store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/test_refusal.h"
#include "store/database.h"
#include "store/schema.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

struct Ids {
  std::int64_t session = 0, cell = 0, attempt = 0;
};

Ids begin(StoreWriter& writer) {
  const auto session = writer.begin_session("study");
  const auto study = writer.add_study("demo", R"({"a":1})");
  const CellRecord cell{.key = "tp4", .spec_json = "{}", .position = 3, .run_order = 1};
  const auto cells = writer.add_cells(study, std::span(&cell, 1));
  return {session, cells[0], writer.start_attempt(session, cells[0])};
}

TEST(Store, AttemptComesBackWhole) {
  const TestFolder folder;
  StoreWriter writer(folder / "s.bscope", OpenMode::create);
  const Ids ids = begin(writer);
  writer.set_environment(ids.session, {{"cpu", "two"}, {"batchscope", "0.1.0"}});
  const std::vector<ItemRecord> items{{.id_json = "17",
                                       .gold = 2,
                                       .log_likelihoods = {-1.25, -1e300, std::nan(""), 0.1},
                                       .tokens = {12, 15, 16},
                                       .truncated = true,
                                       .prediction = 3,
                                       .prediction_norm = 0,
                                       .prediction_bytes = 1,
                                       .prediction_tokens = {}},
                                      {.id_json = "\"q-2\"",
                                       .gold = 0,
                                       .log_likelihoods = {},
                                       .tokens = {},
                                       .prediction_bytes = {},
                                       .prediction_tokens = {}}};
  const std::vector<Phase> phases{{.name = "batch",
                                   .track = "cpu:0",
                                   .begin = Nanoseconds(5),
                                   .end = Nanoseconds(9),
                                   .clock = "cuda:0",
                                   .clock_offset = Nanoseconds(-7),
                                   .clock_error = Nanoseconds(3),
                                   .detail = "batch 1"}};
  const std::vector<LedgerRecord> ledger{{.rank = 1,
                                          .collective = "all_reduce",
                                          .algorithm = "ring",
                                          .phase = "mlp",
                                          .calls = 4,
                                          .payload_bytes = 1000,
                                          .predicted_tx_bytes = 1500,
                                          .predicted_rx_bytes = 1500,
                                          .counted_tx_bytes = {},
                                          .counted_rx_bytes = 7}};
  std::vector<DeviceRecord> devices(2);
  devices[0] = {.name = "cpu:0",
                .capacity_bytes = 64 << 20,
                .planned_bytes = 12,
                .peak_bytes = 11,
                .busy_compute = 0.5,
                .busy_communicate = 0.25,
                .busy_idle = 0.25,
                .energy_j = {},
                .links = {{.kind = "virtual", .predicted_tx_bytes = 3, .link_rx_bytes = 4}}};
  devices[1].name = "cpu:1";
  writer.finish_attempt(ids.attempt,
                        {.status = "truncated",
                         .valid = false,
                         .reason = "cut",
                         .seconds = 1.5,
                         .load_seconds = {},
                         .result_json = R"({"acc":0.5})"},
                        items, phases, ledger, devices,
                        std::vector<RequestRecord>{{.id_json = "\"r-1\"",
                                                    .arrival_s = 0.25,
                                                    .admitted_s = 0.5,
                                                    .first_token_s = 0.75,
                                                    .end_s = 1.25,
                                                    .prompt_tokens = 9,
                                                    .output_tokens = 3,
                                                    .truncated = true}});

  const StoreReader reader(folder / "s.bscope");
  ASSERT_EQ(reader.sessions().size(), 1U);
  EXPECT_EQ(reader.sessions()[0].environment.at("cpu"), "two");
  EXPECT_FALSE(reader.sessions()[0].ended_unix_s.has_value());
  ASSERT_EQ(reader.cells().size(), 1U);
  EXPECT_EQ(reader.cells()[0].key, "tp4");
  EXPECT_EQ(reader.cells()[0].position, 3);
  const auto attempts = reader.attempts(ids.cell);
  ASSERT_EQ(attempts.size(), 1U);
  EXPECT_EQ(attempts[0].number, 1);
  EXPECT_EQ(attempts[0].status, "truncated");
  EXPECT_EQ(attempts[0].valid, false);
  EXPECT_EQ(attempts[0].seconds, 1.5);
  EXPECT_EQ(attempts[0].load_seconds, std::nullopt);
  EXPECT_GE(attempts[0].end, attempts[0].begin);
  EXPECT_EQ(attempts[0].result_json, R"({"acc":0.5})");
  const auto items_back = reader.items(ids.attempt);
  ASSERT_EQ(items_back.size(), 2U);
  EXPECT_EQ(items_back[0].log_likelihoods[1], -1e300);
  EXPECT_TRUE(std::isnan(items_back[0].log_likelihoods[2]));
  EXPECT_EQ(items_back[0].tokens, items[0].tokens);
  EXPECT_EQ(items_back[0].prediction_bytes, 1);
  EXPECT_EQ(items_back[0].prediction_tokens, std::nullopt);
  EXPECT_EQ(items_back[1].id_json, "\"q-2\"");
  const auto requests_back = reader.requests(ids.attempt);
  ASSERT_EQ(requests_back.size(), 1U);
  EXPECT_EQ(requests_back[0].id_json, "\"r-1\"");
  EXPECT_EQ(requests_back[0].arrival_s, 0.25);
  EXPECT_EQ(requests_back[0].admitted_s, 0.5);
  EXPECT_EQ(requests_back[0].first_token_s, 0.75);
  EXPECT_EQ(requests_back[0].end_s, 1.25);
  EXPECT_EQ(requests_back[0].prompt_tokens, 9);
  EXPECT_EQ(requests_back[0].output_tokens, 3);
  EXPECT_TRUE(requests_back[0].truncated);
  ASSERT_EQ(reader.phases(ids.attempt).size(), 1U);
  EXPECT_EQ(reader.phases(ids.attempt)[0].clock_offset, Nanoseconds(-7));
  ASSERT_EQ(reader.ledger(ids.attempt).size(), 1U);
  EXPECT_EQ(reader.ledger(ids.attempt)[0].counted_tx_bytes, std::nullopt);
  EXPECT_EQ(reader.ledger(ids.attempt)[0].counted_rx_bytes, 7);
  const auto devices_back = reader.devices(ids.attempt);
  ASSERT_EQ(devices_back.size(), 2U);
  EXPECT_EQ(devices_back[0].busy_communicate, 0.25);
  ASSERT_EQ(devices_back[0].links.size(), 1U);
  EXPECT_EQ(devices_back[0].links[0].link_rx_bytes, 4);
  EXPECT_EQ(devices_back[0].links[0].link_tx_bytes, std::nullopt);
  EXPECT_EQ(devices_back[1].capacity_bytes, std::nullopt);
  EXPECT_EQ(reader.check_integrity(), "ok");
}

TEST(Store, FrontierIsReplaced) {
  const TestFolder folder;
  StoreWriter writer(folder / "s.bscope", OpenMode::create);
  const auto study = writer.add_study("s", "{}");
  FrontierRecord frontier{.study = study,
                          .strategy = "tp4",
                          .spec_json = "{}",
                          .tries = {{1, "ok", ""}, {64, "out_of_memory", "cpu:0 is"}},
                          .largest_ran = 1,
                          .largest_plan = {},
                          .reason = ""};
  writer.set_frontier(frontier);
  frontier.tries.push_back({8, "ok", ""});
  frontier.largest_ran = 8;
  writer.set_frontier(frontier);
  const auto back = writer.reader().frontiers(study);
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].tries.size(), 3U);
  EXPECT_EQ(back[0].tries[2].batch, 8);
  EXPECT_EQ(back[0].largest_ran, 8);
  EXPECT_EQ(back[0].largest_plan, std::nullopt);
}

TEST(Store, ResumeKeepsCellsAndMarksWhatWasRunning) {
  const TestFolder folder;
  Ids first;
  {
    StoreWriter writer(folder / "s.bscope", OpenMode::create_or_append);
    first = begin(writer);
  }
  StoreWriter writer(folder / "s.bscope", OpenMode::create_or_append);
  const Ids second = begin(writer);
  EXPECT_EQ(second.cell, first.cell);
  const auto attempts = writer.reader().attempts();
  ASSERT_EQ(attempts.size(), 2U);
  EXPECT_EQ(attempts[0].status, "interrupted");
  EXPECT_EQ(attempts[1].status, "running");
  EXPECT_EQ(attempts[1].number, 2);
  EXPECT_THAT(refusal([&] { writer.add_study("demo", "{}"); }), HasSubstr("other settings"));
}

TEST(Store, FailedAttemptsCanBeSetAside) {
  const TestFolder folder;
  StoreWriter writer(folder / "s.bscope", OpenMode::create_or_append);
  const Ids ids = begin(writer);
  writer.finish_attempt(ids.attempt, {.status = "failed", .reason = "the server is gone"}, {}, {}, {}, {});
  writer.interrupt_failed_attempts();
  const AttemptRecord attempt = writer.reader().attempts().at(0);
  EXPECT_EQ(attempt.status, "interrupted");
  EXPECT_EQ(attempt.reason, "the server is gone");
}

TEST(Store, ClosedFileIsOneFile) {
  const TestFolder folder;
  { StoreWriter writer(folder / "s.bscope", OpenMode::create); }
  EXPECT_FALSE(std::filesystem::exists(folder / "s.bscope-wal"));
  EXPECT_EQ(StoreReader(folder / "s.bscope").version(), bscope_version);
}

TEST(Store, OpenModes) {
  const TestFolder folder;
  const auto path = folder / "s.bscope";
  EXPECT_THROW(StoreWriter(path, OpenMode::append), InputError);
  EXPECT_FALSE(std::filesystem::exists(path));
  begin(*std::make_unique<StoreWriter>(path, OpenMode::create));
  EXPECT_THAT(refusal([&] { StoreWriter writer(path, OpenMode::create); }), HasSubstr("exists already"));
  { StoreWriter writer(path, OpenMode::append); }
  EXPECT_EQ(StoreReader(path).cells().size(), 1U);
  { StoreWriter writer(path, OpenMode::replace); }
  EXPECT_EQ(StoreReader(path).cells().size(), 0U);
  std::ofstream(folder / "notes.txt") << "keep me";
  EXPECT_THROW(StoreWriter(folder / "notes.txt", OpenMode::replace), InputError);
  EXPECT_EQ(read_file(folder / "notes.txt"), "keep me");
}

TEST(Store, SecondWriterIsTold) {
  const TestFolder folder;
  const auto path = folder / "s.bscope";
  StoreWriter writer(path, OpenMode::create);
  for (const auto mode : {OpenMode::append, OpenMode::create_or_append, OpenMode::replace})
    EXPECT_THAT(refusal([&] { StoreWriter second(path, mode); }), HasSubstr("being written by another"));
  EXPECT_EXIT(  // and likewise in another process
      {
        try {
          StoreWriter second(path, OpenMode::append);
        } catch (const InputError&) {
          _exit(7);
        }
        _exit(0);
      },
      testing::ExitedWithCode(7), "");
  begin(writer);
  EXPECT_EQ(writer.reader().cells().size(), 1U);
}

TEST(Store, ForeignNewerAndMissingFilesAreRefused) {
  const TestFolder folder;
  EXPECT_THAT(refusal([&] { StoreReader r(folder / "none.bscope"); }), HasSubstr("No such file"));
  EXPECT_THAT(refusal([&] { StoreReader r(folder.path()); }), HasSubstr("folder"));
  std::ofstream(folder / "empty.bscope").flush();
  EXPECT_THAT(refusal([&] { StoreReader r(folder / "empty.bscope"); }), HasSubstr("is empty"));
  std::ofstream(folder / "text.bscope") << std::string(8192, 'x');
  EXPECT_THAT(refusal([&] { StoreReader r(folder / "text.bscope"); }), HasSubstr("not a .bscope"));
  EXPECT_THAT(refusal([&] { StoreWriter w(folder / "text.bscope", OpenMode::append); }), HasSubstr("not a .bscope"));
  {
    SQLite::Database other(folder / "other.db", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    other.exec("CREATE TABLE t (x)");
  }
  EXPECT_THAT(refusal([&] { StoreReader r(folder / "other.db"); }), HasSubstr("another program"));
  { StoreWriter writer(folder / "new.bscope", OpenMode::create); }
  {
    SQLite::Database newer(folder / "new.bscope", SQLite::OPEN_READWRITE);
    newer.exec("PRAGMA user_version = 99");
  }
  EXPECT_THAT(refusal([&] { StoreReader r(folder / "new.bscope"); }), HasSubstr("use a newer batchscope"));
  EXPECT_THAT(refusal([&] { StoreWriter w(folder / "new.bscope", OpenMode::append); }), HasSubstr("version 99"));
}

TEST(Store, ViewInPlaceOfATableIsRefused) {
  const TestFolder folder;
  { StoreWriter writer(folder / "v.bscope", OpenMode::create); }
  {
    SQLite::Database hostile(folder / "v.bscope", SQLite::OPEN_READWRITE);
    hostile.exec(
        "DROP TABLE gaps; CREATE VIEW gaps AS WITH RECURSIVE n(series) AS (SELECT 1 UNION ALL SELECT 1 FROM n) "
        "SELECT series, 1 AS begin_ns, 1 AS end_ns, 1 AS ticks, '' AS reason FROM n");
  }
  EXPECT_THAT(refusal([&] { StoreReader r(folder / "v.bscope"); }), HasSubstr("damaged"));
}

// Its end has SQLite remove the file that it names.
TEST(Store, JournalThatNamesAnotherFileIsRefused) {
  const TestFolder folder;
  { StoreWriter writer(folder / "s.bscope", OpenMode::create); }
  std::ofstream(folder / "s.bscope-journal", std::ios::binary)
      << std::string(1024, 'x') << std::string_view("\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 8);
  EXPECT_THAT(refusal([&] { StoreReader r(folder / "s.bscope"); }), HasSubstr("names another file"));
  EXPECT_THAT(refusal([&] { StoreWriter w(folder / "s.bscope", OpenMode::append); }), HasSubstr("names another"));
}

// Every length of a truncated file opens with its rows, or is refused with a line; nothing else.
TEST(Store, TruncatedFilesAreRefusedOrRead) {
  const TestFolder folder;
  {
    StoreWriter writer(folder / "s.bscope", OpenMode::create);
    begin(writer);
  }
  const std::string whole = read_file(folder / "s.bscope");
  int refused = 0;
  for (std::size_t size = 1; size < whole.size(); size += 1021) {
    std::ofstream(folder / "cut.bscope", std::ios::binary) << whole.substr(0, size);
    try {
      const StoreReader reader(folder / "cut.bscope");
      reader.cells();
      reader.attempts();
      reader.sessions();
      for (const auto& series : reader.series()) reader.samples(series);
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
}

// As a user without rights: root may write anywhere.
int as_nobody(const std::function<int()>& action) {
  const pid_t child = fork();
  if (child == 0) {
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(99);
    _exit(action());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Store, ReadOnlyFolder) {
  const TestFolder folder;
  { begin(*std::make_unique<StoreWriter>(folder / "s.bscope", OpenMode::create)); }
  chmod((folder / "s.bscope").c_str(), 0666);
  chmod(folder.path().c_str(), 0555);
  EXPECT_EQ(as_nobody([&] { return StoreReader(folder / "s.bscope").cells().size() == 1 ? 0 : 1; }), 0);
  const auto refused = [&](const std::filesystem::path& path, OpenMode mode) {
    return as_nobody([&] {
      try {
        StoreWriter writer(path, mode);
      } catch (const InputError&) {
        return 2;
      }
      return 0;
    });
  };
  EXPECT_EQ(refused(folder / "new.bscope", OpenMode::create), 2);
  EXPECT_EQ(refused(folder / "s.bscope", OpenMode::append), 2);
  chmod(folder.path().c_str(), 0755);
}

TEST(Store, ManyThreadsWriteManyRead) {
  const TestFolder folder;
  StoreWriter writer(folder / "s.bscope", OpenMode::create);
  const Ids ids = begin(writer);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      const Phase phase{.name = "p", .track = "t", .begin = Nanoseconds(1), .end = Nanoseconds(2), .detail = ""};
      for (int i = 0; i < 20; ++i) writer.add_phases(ids.session, std::span(&phase, 1));
    });
  for (int i = 0; i < 20; ++i) EXPECT_LE(writer.reader().session_phases(ids.session).size(), 60U);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(writer.reader().session_phases(ids.session).size(), 60U);
}

}  // namespace
}  // namespace batchscope
