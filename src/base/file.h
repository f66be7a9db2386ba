// Files: whole reads, memory maps, and writes that leave either the old file or the new one, never half.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace batchscope {

// The whole file, 1 GiB at most; InputError naming it when it cannot be read.
std::string read_file(const std::filesystem::path& path);

// Writes through a temporary file beside `path` and a rename; Failure when the disk is full or the folder is read-only.
// What a link names is replaced, not the link; devices and pipes are written to as they are.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

// The same for what is too long to hold: written piece by piece beside `path`, moved to its place by commit().
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path);
  ~OutputFile();  // without commit() nothing is left
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write(std::string_view bytes);
  void commit();

 private:
  [[noreturn]] void fail(std::string_view what) const;

  std::filesystem::path path_;
  std::filesystem::path target_, temporary_;  // the latter is empty where nothing is replaced
  int descriptor_ = -1;
};

// Where temporary files go: TMPDIR, or /tmp. Failure that says what to do when it is not there.
std::filesystem::path temporary_folder();

// A folder of that name, which must be new; gone at the end with all that is in it, unless it was moved elsewhere.
// InputError when it cannot be made.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(std::filesystem::path path);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A file mapped read-only; empty files give an empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace batchscope
