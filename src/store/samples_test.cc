// Samples in the file: round trips through small and large chunks, gaps, summaries, and what survives a kill or a full
// disk.
#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <random>
#include <thread>

#include "base/error.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

SeriesRecord series_of(std::int64_t session, bool is_integer) {
  return {.session = session,
          .name = "x_total",
          .unit = "bytes",
          .kind = "cumulative",
          .device = "cpu:0",
          .source = "test",
          .is_virtual = true,
          .is_integer = is_integer,
          .modulus = 1LL << 32,
          .refresh = Nanoseconds(20),
          .help = "h"};
}

// Ticks number from … from + count - 1: the value at tick i is 3 i; every seventh of the reals is absent.
SampleBlock block_of(std::int64_t integers, std::int64_t reals, std::int64_t from, std::int64_t count) {
  SampleBlock block;
  block.columns.resize(2);
  block.columns[0].series = integers;
  block.columns[1].series = reals;
  for (std::int64_t i = from; i < from + count; ++i) {
    block.before.push_back(Nanoseconds(1000 * i));
    block.after.push_back(Nanoseconds(1000 * i + 10));
    block.columns[0].integers.push_back(3 * i);
    block.columns[1].reals.push_back(3.0 * static_cast<double>(i));
    block.columns[1].present.push_back(i % 7 == 0 ? 0 : 1);
  }
  return block;
}

TEST(Samples, ComeBackThroughSmallAndLargeChunks) {
  const TestFolder folder;
  StoreWriter writer(folder / "s.bscope", OpenMode::create);
  const auto session = writer.begin_session("record");
  const auto a = writer.add_series(series_of(session, true)), b = writer.add_series(series_of(session, false));
  std::int64_t ticks = 0;
  for (const std::int64_t count : {1, 5, 40000, 3, 17000, 2}) {
    const SampleBlock block = block_of(a, b, ticks, count);
    writer.append_samples(std::span(&block, 1), {});
    ticks += count;
  }
  for (int i = 0; i < 200; ++i, ++ticks) {
    const SampleBlock block = block_of(a, b, ticks, 1);
    writer.append_samples(std::span(&block, 1), {});
  }
  const auto reader = writer.reader();
  const auto series = reader.series(session);
  ASSERT_EQ(series.size(), 2U);
  EXPECT_EQ(series[0].modulus, 1LL << 32);
  EXPECT_EQ(series[0].refresh, Nanoseconds(20));
  const auto integers = reader.samples(series[0]), reals = reader.samples(series[1]);
  ASSERT_EQ(integers.size(), static_cast<std::size_t>(ticks));
  for (std::int64_t i = 0; i < ticks; ++i) {
    ASSERT_EQ(integers.integers[static_cast<std::size_t>(i)], 3 * i);
    ASSERT_EQ(integers.after[static_cast<std::size_t>(i)], Nanoseconds(1000 * i + 10));
  }
  EXPECT_EQ(reals.size(), static_cast<std::size_t>(ticks - (ticks + 6) / 7));
  EXPECT_EQ(reals.value(0), 3.0);
  const auto some = reader.samples(series[0], Nanoseconds(5000), Nanoseconds(8999));
  EXPECT_EQ(some.integers, (std::vector<std::int64_t>{15, 18, 21, 24}));

  const auto summary = reader.summary(b);
  EXPECT_EQ(summary.count + summary.absent, ticks);
  EXPECT_EQ(summary.absent, (ticks + 6) / 7);
  EXPECT_EQ(summary.min, 3.0);
  EXPECT_EQ(summary.last, reals.value(reals.size() - 1));
  EXPECT_EQ(summary.begin, Nanoseconds(0));
  EXPECT_EQ(reader.summary(a).sum, 3.0 * static_cast<double>(ticks) * static_cast<double>(ticks - 1) / 2);
  EXPECT_EQ(reader.check_integrity(), "ok");
}

TEST(Samples, GapsGrow) {
  const TestFolder folder;
  StoreWriter writer(folder / "s.bscope", OpenMode::create);
  const auto series = writer.add_series(series_of(writer.begin_session("record"), true));
  GapRecord gap{.series = series, .begin = Nanoseconds(5), .end = Nanoseconds(6), .ticks = 1, .reason = "gone"};
  writer.append_samples({}, std::span(&gap, 1));
  gap.end = Nanoseconds(60);
  gap.ticks = 10;
  writer.append_samples({}, std::span(&gap, 1));
  const auto gaps = writer.reader().gaps(series);
  ASSERT_EQ(gaps.size(), 1U);
  EXPECT_EQ(gaps[0].end, Nanoseconds(60));
  EXPECT_EQ(gaps[0].ticks, 10);
  EXPECT_EQ(gaps[0].reason, "gone");
}

// Writes cells and samples without end; `done` says in shared memory what was committed.
struct Done {
  std::atomic<std::int64_t> attempts{0}, ticks{0};
};
[[noreturn]] void write_forever(const std::filesystem::path& path, Done& done) {
  StoreWriter writer(path, OpenMode::create_or_append);
  const auto session = writer.begin_session("study");
  const auto study = writer.add_study("s", "{}");
  const auto a = writer.add_series(series_of(session, true)), b = writer.add_series(series_of(session, false));
  const std::vector<ItemRecord> items(20);
  for (std::int64_t i = 0;; ++i) {
    const CellRecord cell{.key = std::to_string(getpid()) + "/" + std::to_string(i), .spec_json = "{}"};
    const auto attempt = writer.start_attempt(session, writer.add_cells(study, std::span(&cell, 1))[0]);
    writer.finish_attempt(attempt, {.status = "ok"}, items, {}, {}, {});
    ++done.attempts;
    const SampleBlock block = block_of(a, b, i * 100, 100);
    writer.append_samples(std::span(&block, 1), {});
    done.ticks += 100;
  }
}

TEST(Samples, KilledWriterLosesNothingCommitted) {
  const TestFolder folder;
  const auto path = folder / "s.bscope";
  auto* done = new (mmap(nullptr, sizeof(Done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Done;
  std::mt19937 random(7);
  for (int round = 0; round < 10; ++round) {
    const pid_t child = fork();
    if (child == 0) write_forever(path, *done);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 150'000));
    // A busy machine may need longer: the last writer is let commit something.
    while (round == 9 && done->attempts == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    if (!std::filesystem::exists(path) || std::filesystem::file_size(path) == 0) continue;  // killed before it began
    const StoreReader reader(path);
    ASSERT_EQ(reader.check_integrity(), "ok");
    std::int64_t finished = 0, ticks = 0;
    for (const auto& attempt : reader.attempts()) {
      if (attempt.status != "ok") continue;
      ++finished;
      EXPECT_EQ(reader.items(attempt.id).size(), 20U);
    }
    for (const auto& series : reader.series())
      if (series.is_integer) ticks += static_cast<std::int64_t>(reader.samples(series).size());
    EXPECT_GE(finished, done->attempts);
    EXPECT_LE(finished, done->attempts + 1);  // committed, but killed before it could say so
    EXPECT_GE(ticks, done->ticks);
    EXPECT_LE(ticks, done->ticks + 100);
    done->attempts = finished;
    done->ticks = ticks;
  }
  EXPECT_GT(done->attempts, 0);
  munmap(done, sizeof(Done));
}

// However a series is thinned, its buckets cover all values once, in order, and keep the extremes.
TEST(Samples, BucketsKeepCountSumAndExtremes) {
  const TestFolder folder;
  StoreWriter writer(folder / "s.bscope", OpenMode::create);
  const auto session = writer.begin_session("record");
  const auto a = writer.add_series(series_of(session, true)), b = writer.add_series(series_of(session, false));
  constexpr std::int64_t count = 1'100'000;  // more than are decoded
  std::mt19937 random(5);
  for (std::int64_t at = 0; at < count; at += 10'000) {
    SampleBlock block = block_of(a, b, at, 10'000);
    for (auto& value : block.columns[0].integers) value = static_cast<std::int64_t>(random() % 1000);
    if (at == 500'000) block.columns[0].integers[77] = 1'000'000;
    writer.append_samples(std::span(&block, 1), {});
  }
  const StoreReader reader = writer.reader();
  const SeriesRecord series = reader.series().front();
  const SampleSeries all = reader.samples(series);
  const auto check = [&](std::size_t most, std::optional<Nanoseconds> to, std::int64_t expected) {
    const auto buckets = reader.buckets(series, most, {}, to);
    ASSERT_LE(buckets.size(), most);
    ASSERT_GE(buckets.size(), std::min<std::size_t>(most / 2, 60));
    std::int64_t values = 0;
    double total = 0, largest = 0;
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      EXPECT_TRUE(i == 0 || buckets[i].begin > buckets[i - 1].end);
      values += buckets[i].count;
      total += *buckets[i].sum;
      largest = std::max(largest, *buckets[i].max);
    }
    EXPECT_EQ(values, expected);
    double wanted = 0, peak = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(expected); ++i) {
      wanted += all.value(i);
      peak = std::max(peak, all.value(i));
    }
    EXPECT_EQ(total, wanted);
    EXPECT_EQ(largest, peak);
  };
  check(100, {}, count);                      // from whole chunks
  check(1000, all.before[600'000], 600'001);  // from values
  check(50, all.before[30], 31);              // a value each
  EXPECT_TRUE(reader.buckets(series, 10, all.after.back() + Nanoseconds(1), {}).empty());
}

// Writes until it fails; returns 0 if that was a Failure and everything committed is there after.
int fill_up(const std::filesystem::path& path) {
  std::int64_t committed = 0;
  bool refused = false;
  try {
    StoreWriter writer(path, OpenMode::create);
    const auto session = writer.begin_session("record");
    const auto a = writer.add_series(series_of(session, true)), b = writer.add_series(series_of(session, false));
    std::mt19937_64 random(3);
    for (; committed < 10'000; ++committed) {
      SampleBlock block = block_of(a, b, committed * 500, 500);
      for (auto& value : block.columns[0].integers) value = static_cast<std::int64_t>(random());
      writer.append_samples(std::span(&block, 1), {});
    }
  } catch (const Failure&) {
    refused = true;
  }
  if (!refused || committed == 0) return 1;
  const StoreReader reader(path);
  if (reader.check_integrity() != "ok") return 2;
  const auto there = static_cast<std::int64_t>(reader.samples(reader.series()[0]).size());
  return there >= committed * 500 ? 0 : 3;
}

int in_child(const std::function<int()>& action) {
  const pid_t child = fork();
  if (child == 0) {
    int code = 98;
    try {
      code = action();
    } catch (const std::exception& error) {
      fprintf(stderr, "%s\n", error.what());
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// A file of some hundred kilobytes may hold as many values as it likes, but not more than it says: by what it says
// readers decide how much to take at once.
TEST(Samples, ChunksThatHoldMoreThanTheySayAreDamaged) {
  const TestFolder folder;
  std::int64_t id = 0;
  {
    StoreWriter writer(folder / "s.bscope", OpenMode::create);
    const auto session = writer.begin_session("record");
    id = writer.add_series(series_of(session, true));
    const auto other = writer.add_series(series_of(session, false));
    writer.append_samples(std::vector{block_of(id, other, 0, 1000)}, {}, {});
  }
  SQLite::Database(folder / "s.bscope", SQLite::OPEN_READWRITE).exec("UPDATE chunks SET count = 1");
  const StoreReader reader(folder / "s.bscope");
  const auto error_of = [](const std::function<void()>& read) -> std::string {
    try {
      read();
    } catch (const InputError& error) {
      return error.what();
    }
    return "none";
  };
  const SeriesRecord series = reader.series().at(0);
  EXPECT_NE(error_of([&] { reader.samples(series); }).find("damaged samples"), std::string::npos);
  EXPECT_NE(error_of([&] { reader.buckets(series, 100); }).find("damaged samples"), std::string::npos);
}

TEST(Samples, FileSizeLimitIsAFailureThatLosesNothing) {
  const TestFolder folder;
  EXPECT_EQ(in_child([&] {
              signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{3 << 20, 3 << 20};
              setrlimit(RLIMIT_FSIZE, &limit);
              return fill_up(folder / "s.bscope");
            }),
            0);
}

TEST(Samples, FullDiskIsAFailureThatLosesNothing) {
  const TestFolder folder;
  if (mount("none", folder.path().c_str(), "tmpfs", 0, "size=3m") != 0) GTEST_SKIP() << "no right to mount a tmpfs";
  const int code = in_child([&] { return fill_up(folder / "s.bscope"); });
  umount2(folder.path().c_str(), MNT_DETACH);
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace batchscope
