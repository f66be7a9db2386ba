// One writer at a time, of all processes, and of all machines where a network file system has locks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>

namespace batchscope::store {

// Keeps other writers out for its lifetime, and makes the file when it is not there and `make` says so. InputError when
// another has it.
class WriterLock {
 public:
  using FileId = std::pair<std::uint64_t, std::uint64_t>;  // device, inode
  // On the file itself; or, where it is on a network file system, on FILE-lock beside it: there flock() becomes a lock
  // of the kind that SQLite uses, and the two would keep each other out.
  enum class Place { on_file, beside };

  WriterLock(const std::filesystem::path& path, bool make, bool must_be_new, Place place);
  ~WriterLock();
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;
  bool made() const { return made_; }

 private:
  void lock_beside();
  void release();

  std::filesystem::path path_;
  int descriptor_ = -1;  // of what is locked
  std::optional<FileId> id_;
  bool made_ = false;
  bool holds_beside_ = false;
};

}  // namespace batchscope::store
