// Load runs there and back, in files of older versions, and merged.
#include "store/load_runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "base/error.h"
#include "store/database.h"
#include "store/merge.h"
#include "store/schema.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

LoadRequestRecord request(std::int64_t position) {
  return {
      .position = position,
      .id_json = "\"r\"",
      .outcome = "stalled",
      .detail = "why",
      .status = 200,
      .retries = 2,
      .session = 4,
      .intended = Nanoseconds(-5),
      .due = Nanoseconds(1),
      .sent = Nanoseconds(3),
      .first_byte = Nanoseconds(4),
      .end = Nanoseconds(90),
      .asked_prompt_tokens = 7,
      .asked_output_tokens = 8,
      .output_tokens = 3,
      .finish_reason = "length",
      .chunks = {{.at = Nanoseconds(10), .tokens = 1}, {.at = Nanoseconds(30)}, {.at = Nanoseconds(31), .tokens = 0}}};
}

void make(const std::filesystem::path& path, const FileSystemProbe& network = network_file_system) {
  StoreWriter store(path, OpenMode::create, network);
  const auto run = store.add_load_run(
      {.session = store.begin_session("load"), .spec_json = R"({"rate":1})", .begin = Nanoseconds(77)});
  const LoadRequestRecord second[] = {request(1)}, first[] = {request(0)};
  store.add_load_requests(run, second);  // as they end
  store.add_load_requests(run, first);
}

void expect_whole(const std::filesystem::path& path) {
  const LoadRunReader reader(path);
  const auto runs = reader.runs();
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].begin, Nanoseconds(77));
  EXPECT_EQ(runs[0].spec_json, R"({"rate":1})");
  const auto requests = reader.requests(runs[0].id);
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].position, 0);
  const LoadRequestRecord& back = requests[1];
  EXPECT_EQ(back.outcome, "stalled");
  EXPECT_EQ(back.session, 4);
  EXPECT_EQ(back.intended, Nanoseconds(-5));
  EXPECT_FALSE(back.started || back.prompt_tokens);
  EXPECT_EQ(back.end, Nanoseconds(90));
  EXPECT_EQ(back.asked_prompt_tokens, 7);
  ASSERT_EQ(back.chunks.size(), 3U);
  EXPECT_EQ(back.chunks[1].at, Nanoseconds(30));
  EXPECT_FALSE(back.chunks[1].tokens);
  EXPECT_EQ(back.chunks[2].tokens, 0);
}

TEST(LoadRuns, ComeBackAsTheyWentInAndAfterAMerge) {
  const TestFolder folder;
  make(folder / "a.bscope");
  expect_whole(folder / "a.bscope");
  const std::filesystem::path inputs[] = {folder / "a.bscope"};
  merge_stores(inputs, folder / "b.bscope", std::atomic<bool>(false));
  expect_whole(folder / "b.bscope");
}

TEST(LoadRuns, AreWrittenOnNetworkFileSystemsToo) {
  const TestFolder folder;
  make(folder / "a.bscope", [](const auto&) { return std::optional<std::string>("nfs"); });
  expect_whole(folder / "a.bscope");
}

TEST(LoadRuns, OlderFilesHaveNone) {
  const TestFolder folder;
  make(folder / "old.bscope");
  {
    SQLite::Database file(folder / "old.bscope", SQLite::OPEN_READWRITE);
    file.exec("DROP TABLE load_requests; DROP TABLE load_runs; PRAGMA user_version = 3");
  }
  EXPECT_TRUE(LoadRunReader(folder / "old.bscope").runs().empty());
  EXPECT_TRUE(LoadRunReader(folder / "old.bscope").requests(1).empty());
}

TEST(LoadRuns, DamagedChunksAreTold) {
  const TestFolder folder;
  make(folder / "a.bscope");
  SQLite::Database(folder / "a.bscope", SQLite::OPEN_READWRITE)
      .exec("UPDATE load_requests SET chunk_ns_json = '[1,\"x\"]'");
  EXPECT_THROW(LoadRunReader(folder / "a.bscope").requests(1), InputError);
}

}  // namespace
}  // namespace batchscope
