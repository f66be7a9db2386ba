// Reading and writing files, special ones among them.
#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <string>

#include "base/error.h"

namespace batchscope {
namespace {

class FileTest : public testing::Test {
 protected:
  FileTest() : folder_(std::filesystem::temp_directory_path() / ("file_test_" + std::to_string(getpid()))) {
    std::filesystem::create_directory(folder_);
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(FileTest, ReplacesWholeFilesAndLeavesNothingElse) {
  write_file_atomically(folder_ / "a", "old");
  write_file_atomically(folder_ / "a", "new");
  EXPECT_EQ(read_file(folder_ / "a"), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  EXPECT_THROW(write_file_atomically(folder_ / "none" / "a", "x"), Failure);
}

TEST_F(FileTest, PiecesAppearAtTheEndOrNotAtAll) {
  write_file_atomically(folder_ / "a", "old");
  {
    OutputFile file(folder_ / "a");
    file.write("half of");
  }
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  OutputFile file(folder_ / "a");
  file.write("the ");
  file.write("whole");
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  file.commit();
  EXPECT_EQ(read_file(folder_ / "a"), "the whole");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 0777 : 0;
}

TEST_F(FileTest, APrivateFileStaysPrivate) {
  write_file_atomically(folder_ / "a", "old");
  const mode_t usual = mode_of(folder_ / "a");
  EXPECT_EQ(usual & 0600, 0600U);
  ASSERT_EQ(chmod((folder_ / "a").c_str(), 0600), 0);
  write_file_atomically(folder_ / "a", "new");
  EXPECT_EQ(mode_of(folder_ / "a"), 0600U);
  write_file_atomically(folder_ / "b", "x");
  EXPECT_EQ(mode_of(folder_ / "b"), usual);
}

TEST_F(FileTest, FilesBesideAreNeitherFollowedNorLost) {
  write_file_atomically(folder_ / "a.part", "another's");
  write_file_atomically(folder_ / "victim", "whole");
  std::filesystem::create_symlink("victim", folder_ / "b.part");
  write_file_atomically(folder_ / "a", "x");
  write_file_atomically(folder_ / "b", "x");
  EXPECT_EQ(read_file(folder_ / "a.part"), "another's");
  EXPECT_EQ(read_file(folder_ / "victim"), "whole");
}

TEST_F(FileTest, TwoRunsDoNotShareAFile) {
  OutputFile first(folder_ / "a"), second(folder_ / "a");
  first.write("first");
  second.write("second, longer");
  first.commit();
  EXPECT_EQ(read_file(folder_ / "a"), "first");
  second.commit();
  EXPECT_EQ(read_file(folder_ / "a"), "second, longer");
}

TEST_F(FileTest, LinksThatOthersPlantedAreRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can make another user's link";
  ASSERT_EQ(chmod(folder_.c_str(), 01777), 0);
  std::filesystem::create_symlink("victim", folder_ / "link");
  ASSERT_EQ(lchown((folder_ / "link").c_str(), 65534, 65534), 0);
  EXPECT_THROW(write_file_atomically(folder_ / "link", "x"), InputError);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "victim"));
}

TEST_F(FileTest, KeepsALinkAndReplacesWhatItNames) {
  write_file_atomically(folder_ / "target", "old");
  std::filesystem::create_symlink("target", folder_ / "link");
  write_file_atomically(folder_ / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "link"));
  EXPECT_EQ(read_file(folder_ / "target"), "new");
}

TEST_F(FileTest, WritesToAPipeWithoutReplacingIt) {
  const auto pipe = folder_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  auto reader = std::async(std::launch::async, [&] { return read_file(pipe); });
  write_file_atomically(pipe, "through");
  EXPECT_EQ(reader.get(), "through");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
}

TEST_F(FileTest, MapsRegularFilesOnly) {
  const auto pipe = folder_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(MappedFile{pipe}, InputError);  // and does not wait for a writer
  write_file_atomically(folder_ / "empty", "");
  EXPECT_TRUE(MappedFile(folder_ / "empty").bytes().empty());
}

}  // namespace
}  // namespace batchscope
