// Network file systems, pretended: no log, a lock beside the file, and the same promises.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <random>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

const FileSystemProbe nfs = [](const std::filesystem::path&) { return std::optional<std::string>("NFS"); };

// With the program's warnings caught.
class NetworkFileSystem : public testing::Test {
 protected:
  NetworkFileSystem() : default_logger_(spdlog::default_logger()) {
    const auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(warnings_);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink));
  }
  ~NetworkFileSystem() override { spdlog::set_default_logger(default_logger_); }

  std::ostringstream warnings_;
  std::shared_ptr<spdlog::logger> default_logger_;
};

std::vector<Phase> phases(std::size_t count) {
  return {count, Phase{.name = "p", .track = "t", .begin = Nanoseconds(1), .end = Nanoseconds(2), .detail = ""}};
}

TEST_F(NetworkFileSystem, NoLogAndALockBesideTheFile) {
  const TestFolder folder;
  {
    StoreWriter writer(folder / "s.bscope", OpenMode::create, nfs);
    writer.begin_session("record");
    EXPECT_TRUE(exists(folder / "s.bscope-lock"));
    EXPECT_FALSE(exists(folder / "s.bscope-wal"));
    EXPECT_EQ(writer.reader().sessions().size(), 1U);
    EXPECT_EQ(StoreReader(folder / "s.bscope").sessions().size(), 1U);
  }
  EXPECT_THAT(warnings_.str(), testing::HasSubstr("network file system (NFS)"));
  EXPECT_FALSE(exists(folder / "s.bscope-lock"));
  EXPECT_FALSE(exists(folder / "s.bscope-journal"));
  { StoreWriter writer(folder / "s.bscope", OpenMode::append, nfs); }
  { StoreWriter writer(folder / "s.bscope", OpenMode::append); }
  EXPECT_EQ(StoreReader(folder / "s.bscope").check_integrity(), "ok");
}

TEST_F(NetworkFileSystem, SecondWriterIsTold) {
  const TestFolder folder;
  const StoreWriter writer(folder / "s.bscope", OpenMode::create, nfs);
  EXPECT_THROW(StoreWriter(folder / "s.bscope", OpenMode::append, nfs), InputError);
  EXPECT_THROW(StoreWriter(folder / "s.bscope", OpenMode::replace, nfs), InputError);
  EXPECT_EXIT(  // and in another process
      {
        try {
          const StoreWriter second(folder / "s.bscope", OpenMode::append, nfs);
        } catch (const InputError&) {
          _exit(7);
        }
        _exit(0);
      },
      testing::ExitedWithCode(7), "");
  EXPECT_TRUE(exists(folder / "s.bscope-lock"));
}

TEST_F(NetworkFileSystem, RefusedOpeningLeavesNoLock) {
  const TestFolder folder;
  EXPECT_THROW(StoreWriter(folder / "none.bscope", OpenMode::append, nfs), InputError);
  EXPECT_FALSE(exists(folder / "none.bscope-lock"));
}

// A log that a killed writer left on a local disk is taken over, without shared memory.
TEST_F(NetworkFileSystem, FileThatWasLeftWithALog) {
  const TestFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    StoreWriter writer(folder / "s.bscope", OpenMode::create);
    writer.begin_session("record");
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  ASSERT_TRUE(exists(folder / "s.bscope-wal"));
  StoreWriter writer(folder / "s.bscope", OpenMode::append, nfs);
  EXPECT_FALSE(exists(folder / "s.bscope-wal"));
  EXPECT_EQ(writer.reader().sessions().size(), 1U);
}

TEST_F(NetworkFileSystem, WithoutSharedMemoryTheJournalIsTaken) {
  const TestFolder folder;
  std::filesystem::create_symlink("nowhere", folder / "s.bscope-shm");  // so it cannot be opened
  {
    StoreWriter writer(folder / "s.bscope", OpenMode::create);
    writer.begin_session("record");
    EXPECT_FALSE(exists(folder / "s.bscope-wal"));
  }
  EXPECT_THAT(warnings_.str(), testing::HasSubstr("without shared memory"));
  EXPECT_EQ(StoreReader(folder / "s.bscope").sessions().size(), 1U);
}

TEST_F(NetworkFileSystem, ReadersAndTheWriterWaitForEachOther) {
  const TestFolder folder;
  StoreWriter writer(folder / "s.bscope", OpenMode::create, nfs);
  const auto session = writer.begin_session("record");
  std::thread other([&] {
    for (int i = 0; i < 20; ++i) writer.add_phases(session, phases(10));
  });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(StoreReader(folder / "s.bscope").session_phases(session).size() % 10, 0U);
  other.join();
  EXPECT_EQ(writer.reader().session_phases(session).size(), 200U);
}

TEST_F(NetworkFileSystem, KillLosesNothingThatWasCommitted) {
  const TestFolder folder;
  std::mt19937 random(11);
  for (int kills = 0; kills < 12; ++kills) {
    const auto path = folder / ("s" + std::to_string(kills) + ".bscope");
    std::array<int, 2> pipe_ends{};
    ASSERT_EQ(pipe(pipe_ends.data()), 0);
    const pid_t child = fork();
    if (child == 0) {
      StoreWriter writer(path, OpenMode::create, nfs);
      const auto session = writer.begin_session("record");
      for (;;) {
        writer.add_phases(session, phases(100));
        if (write(pipe_ends[1], "c", 1) != 1) _exit(1);
      }
    }
    char first = 0;
    ASSERT_EQ(read(pipe_ends[0], &first, 1), 1);
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution(0, 20'000)(random)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(pipe_ends[1]);
    std::size_t committed = 1;
    for (char one = 0; read(pipe_ends[0], &one, 1) == 1;) ++committed;
    close(pipe_ends[0]);
    const StoreReader reader(path);
    const std::size_t found = reader.session_phases(1).size();
    EXPECT_EQ(found % 100, 0U);
    EXPECT_GE(found, committed * 100);
    EXPECT_EQ(reader.check_integrity(), "ok");
    EXPECT_NO_THROW(StoreWriter(path, OpenMode::append, nfs));
  }
}

}  // namespace
}  // namespace batchscope
