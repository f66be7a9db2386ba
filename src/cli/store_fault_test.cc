// The real program on disks that fill up, that are read-only, and killed: a clear line, the right code, and everything
// that was committed before stays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <thread>

#include "base/clock.h"
#include "cli/test_program.h"
#include "store/database.h"
#include "store/schema.h"
#include "store/store.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr const char* faulted_study = R"(
name = "tiny"
limit = 6
device-memory = "2200KiB"
[grid]
parallel = ["tp2"]
batch = [1, 4, 16]
)";

std::size_t finished_attempts(const StoreReader& reader) {
  const auto attempts = reader.attempts();
  return static_cast<std::size_t>(std::count_if(attempts.begin(), attempts.end(), [](const AttemptRecord& attempt) {
    return attempt.status != "running" && attempt.status != "interrupted";
  }));
}

// A mount namespace of this process's own; false where that is forbidden.
bool enter_namespace() {
  const auto user = getuid(), group = getgid();
  if (unshare(CLONE_NEWNS) != 0) {
    if (unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0) return false;
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
  }
  return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

class StoreFault : public testing::Test {
 protected:
  StoreFault() {
    std::ofstream(folder_ / "tiny.toml") << faulted_study;
    std::filesystem::create_directory(disk());
    write_seed(folder_ / "seed.bscope");
  }

  std::filesystem::path disk() const { return folder_ / "disk"; }
  std::filesystem::path file() const { return disk() / "s.bscope"; }

  // What was committed before the fault: a session with samples, and one attempt.
  static void write_seed(const std::filesystem::path& path) {
    StoreWriter writer(path, OpenMode::create);
    const auto session = writer.begin_session("study");
    const CellRecord cell{.key = "seed", .spec_json = "{}"};
    const auto cells = writer.add_cells(writer.add_study("seed", "{}"), std::span(&cell, 1));
    const std::vector<ItemRecord> items(200, ItemRecord{.id_json = "1", .log_likelihoods = {-1.5}, .tokens = {1, 2}});
    writer.finish_attempt(writer.start_attempt(session, cells[0]), {.status = "ok", .result_json = "{}"}, items, {}, {},
                          {});
  }

  // Runs work() in a child with a small disk of its own; returns what it found wrong, or nothing when it could not.
  std::optional<std::string> on_small_disk(std::size_t bytes, const std::function<std::string()>& work) const {
    const auto answer = folder_ / "answer.txt";
    std::filesystem::remove(answer);
    const pid_t child = fork();
    if (child == 0) {
      if (!enter_namespace()) _exit(77);
      const std::string size = "size=" + std::to_string(bytes);
      if (mount("none", disk().c_str(), "tmpfs", 0, size.c_str()) != 0) _exit(77);
      try {
        std::ofstream(answer) << work();
      } catch (const std::exception& error) {
        std::ofstream(answer) << error.what();
      }
      _exit(0);
    }
    if (wait_for_program(child) == 77) return std::nullopt;
    return read_file(answer);
  }

  // Runs the verb, whose file is seeded or not, on disks of ten random sizes. Where it fails it says so in one line,
  // and the file, if there is one, is whole and has at least what it had.
  void fill_ten_times(const std::vector<std::string>& arguments, bool seeded, std::size_t growth, unsigned seed) {
    std::mt19937 random(seed);
    const std::size_t least = seeded ? std::filesystem::file_size(folder_ / "seed.bscope") + 8192 : 8192;
    int failures = 0;
    for (int i = 0; i < 10; ++i) {
      const std::size_t bytes = least + std::uniform_int_distribution<std::size_t>(0, growth)(random);
      const auto wrong = on_small_disk(bytes, [&] {
        if (seeded) std::filesystem::copy_file(folder_ / "seed.bscope", file());
        return complaint(run_program(arguments, folder_.path()), seeded);
      });
      if (!wrong) GTEST_SKIP() << "this machine does not let a test mount a disk of its own";
      if (wrong->starts_with("failed as it should")) ++failures;
      EXPECT_THAT(*wrong, AnyOf("", HasSubstr("failed as it should"))) << "on a disk of " << bytes << " bytes";
    }
    EXPECT_GT(failures, 0);
  }

  std::string complaint(const Ended& ended, bool seeded) const {
    const bool exists = std::filesystem::exists(file()) && std::filesystem::file_size(file()) > 0;
    if (exists) {
      const StoreReader reader(file());
      if (reader.check_integrity() != "ok") return "integrity: " + reader.check_integrity();
      if (seeded && (finished_attempts(reader) < 1 || reader.items(1).size() != 200)) return "the seed is gone";
      if (ended.code == 0 && finished_attempts(reader) == 0 && reader.sessions().empty()) return "code 0, empty file";
    } else if (seeded || ended.code == 0) {
      return "there is no file; " + ended.errors;
    }
    if (ended.code == 0) return "";
    if (ended.code != 4) return "code " + std::to_string(ended.code) + ": " + ended.errors;
    const auto at = ended.errors.find("batchscope: cannot write ");
    if (at == std::string::npos) return "no clear line: " + ended.errors;
    return "failed as it should";
  }

  TestFolder folder_;
};

TEST_F(StoreFault, RecordOnADiskThatFills) {
  fill_ten_times({"record", "--append", "-o", file(), "--period", "1ms", "--duration", "300ms"}, true, 400'000, 1);
}

TEST_F(StoreFault, EvalOnADiskThatFills) { fill_ten_times({"eval", "--limit", "4", "-o", file()}, false, 400'000, 2); }

TEST_F(StoreFault, StudyOnADiskThatFills) {
  fill_ten_times({"study", folder_ / "tiny.toml", "-o", file()}, false, 400'000, 3);
}

TEST_F(StoreFault, MergeOnADiskThatFills) {
  write_seed(folder_ / "other.bscope");
  fill_ten_times({"merge", folder_ / "seed.bscope", folder_ / "other.bscope", "-o", file()}, false, 250'000, 4);
}

// The same without any privilege.
TEST_F(StoreFault, LimitOfAFilesSize) {
  const std::vector<std::vector<std::string>> commands{
      {"record", "-o", file(), "--period", "1ms", "--duration", "300ms"},
      {"eval", "--limit", "4", "-o", file()},
      {"study", folder_ / "tiny.toml", "-o", file()},
      {"merge", folder_ / "seed.bscope", "-o", file()}};
  for (const auto& command : commands)
    for (const rlim_t bytes : {4096, 40'960, 131'072}) {
      std::filesystem::remove_all(disk());
      std::filesystem::create_directory(disk());
      const Ended ended = run_program(command, folder_.path(), [&] {
        const rlimit limit{bytes, bytes};
        setrlimit(RLIMIT_FSIZE, &limit);
      });
      EXPECT_THAT(complaint(ended, false), AnyOf("", "failed as it should")) << command[0] << ", " << bytes;
      if (bytes == 4096) {
        EXPECT_EQ(ended.code, 4) << command[0];
      }
    }
}

TEST_F(StoreFault, ReadOnlyDisk) {
  const std::vector<std::vector<std::string>> commands{{"record", "--append", "-o", file(), "--duration", "10ms"},
                                                       {"record", "--overwrite", "-o", file(), "--duration", "10ms"},
                                                       {"eval", "--limit", "4", "-o", file()},
                                                       {"study", folder_ / "tiny.toml", "-o", file()},
                                                       {"study", folder_ / "tiny.toml", "-o", disk() / "new.bscope"},
                                                       {"merge", folder_ / "seed.bscope", "-o", disk() / "new.bscope"}};
  for (const auto& command : commands) {
    const auto wrong = on_small_disk(1 << 20, [&]() -> std::string {
      std::filesystem::copy_file(folder_ / "seed.bscope", file());
      if (mount("none", disk().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) != 0) _exit(77);
      const Ended ended = run_program(command, folder_.path());
      if (read_file(file()) != read_file(folder_ / "seed.bscope")) return "the file has changed";
      if (run_program({"sql", file(), "SELECT 1"}, folder_.path()).code != 0) return "it cannot be read";
      return std::to_string(ended.code) + " " +
             std::to_string(std::count(ended.errors.begin(), ended.errors.end(), '\n')) + " " + ended.errors;
    });
    if (!wrong) GTEST_SKIP() << "this machine does not let a test mount a disk of its own";
    EXPECT_THAT(*wrong, testing::StartsWith("2 1 batchscope: ")) << testing::PrintToString(command);
  }
}

TEST_F(StoreFault, KillOfAMerge) {
  write_seed(folder_ / "other.bscope");
  const auto inputs = [&] { return read_file(folder_ / "seed.bscope") + read_file(folder_ / "other.bscope"); };
  const std::string before = inputs();
  const std::vector<std::string> command{"merge", folder_ / "seed.bscope", folder_ / "other.bscope", "-o", file()};
  const Nanoseconds begin = monotonic_clock().now();
  ASSERT_EQ(run_program(command, folder_.path()).code, 0);
  const double whole_s = to_seconds(monotonic_clock().now() - begin);
  std::mt19937 random(5);
  for (int kills = 0; kills < 20; ++kills) {
    std::filesystem::remove(file());
    const pid_t merge = start_program(command, folder_ / "output.txt", folder_ / "errors.txt");
    std::this_thread::sleep_for(from_seconds(std::uniform_real_distribution<double>(0, whole_s)(random)));
    kill(merge, SIGKILL);
    wait_for_program(merge);
    EXPECT_EQ(inputs(), before);
    if (std::filesystem::exists(file())) {
      EXPECT_EQ(finished_attempts(StoreReader(file())), 2U);
      EXPECT_EQ(StoreReader(file()).check_integrity(), "ok");
    }
  }
  std::filesystem::remove(file());
  EXPECT_EQ(run_program(command, folder_.path()).code, 0);  // what a kill left does not matter
  EXPECT_EQ(finished_attempts(StoreReader(file())), 2U);
  EXPECT_FALSE(std::filesystem::exists(file().string() + ".part"));
}

TEST_F(StoreFault, KillOfAMigration) {
  {
    SQLite::Database old(folder_ / "seed.bscope", SQLite::OPEN_READWRITE);
    for (const SchemaObject& object : schema_objects())
      if (object.since > 1) old.exec(std::string("DROP ") + object.type + " " + object.name);
    old.exec("PRAGMA user_version = 1");
  }
  const std::vector<std::string> command{"record", "--append", "-o", file(), "--duration", "1ms"};
  std::mt19937 random(6);
  for (int kills = 0; kills < 12; ++kills) {
    std::filesystem::remove_all(disk());
    std::filesystem::create_directory(disk());
    std::filesystem::copy_file(folder_ / "seed.bscope", file());
    const pid_t record = start_program(command, folder_ / "output.txt", folder_ / "errors.txt");
    std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution(0, 60)(random)));
    kill(record, SIGKILL);
    wait_for_program(record);
    {
      const StoreReader reader(file());
      EXPECT_THAT(reader.version(), AnyOf(1, bscope_version));
      EXPECT_EQ(finished_attempts(reader), 1U);
      EXPECT_EQ(reader.check_integrity(), "ok");
    }
    EXPECT_EQ(run_program(command, folder_.path()).code, 0);
    EXPECT_EQ(StoreReader(file()).version(), bscope_version);
  }
}

}  // namespace
}  // namespace batchscope
