// Files of other kinds than was asked for are named, with what to do.
#include "base/file_kind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace batchscope {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;

std::string said_of(const std::string& content) {
  try {
    refuse_foreign_text(content, "f");
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(FileKind, SaysWhatItIsAndWhatToDo) {
  EXPECT_THAT(said_of("version https://git-lfs.github.com/spec/v1\noid sha256:ab\n"),
              HasSubstr("f: it is a Git LFS pointer"));
  for (const char* page : {"<!DOCTYPE html><html>", "\n <html>", "<?xml version=\"1.0\"?>"})
    EXPECT_THAT(said_of(page), HasSubstr("a web page")) << page;
  EXPECT_THAT(said_of("PK\x03\x04zip"), HasSubstr("a zip archive"));
  EXPECT_THAT(said_of("PAR1..."), HasSubstr("Parquet"));
  EXPECT_THAT(said_of("\x28\xb5\x2f\xfd"), HasSubstr("zstd -d"));
  EXPECT_THAT(said_of("\x1f\x8b\x08"), HasSubstr("gunzip"));
  EXPECT_THAT(said_of("\xff\xfe{\0"s), HasSubstr("UTF-16"));
  EXPECT_THAT(said_of("{\0\"\0i\0"s), HasSubstr("UTF-16"));
  for (const char* fine : {"", "{}", "[1]", "caf\xc3\xa9", "\xef\xbb\xbf{}", "<", "version 2"})
    EXPECT_EQ(said_of(fine), "");
}

}  // namespace
}  // namespace batchscope
