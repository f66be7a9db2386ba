// Lets one process at a time write a file.
#include "store/writer_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>

#include "base/error.h"

namespace batchscope::store {
namespace {

// Files that this process writes, by device and inode.
std::mutex own_files_mutex;
std::set<WriterLock::FileId>& own_files() {
  static std::set<WriterLock::FileId> files;
  return files;
}

std::optional<WriterLock::FileId> file_id(const std::filesystem::path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return WriterLock::FileId{info.st_dev, info.st_ino};
}

[[noreturn]] void refuse_second_writer(const std::filesystem::path& path) {
  throw InputError("{} is being written by another batchscope; wait for its end, or name another file", path.string());
}

[[noreturn]] void cannot_write(const std::filesystem::path& path) {
  throw InputError("cannot write {}: {}; check the path and its permissions", path.string(), std::strerror(errno));
}

// Opens the file, made when it is not there and that is asked for; -1 with errno.
int open_or_make(const std::filesystem::path& path, bool make, bool must_be_new, bool& made) {
  const int flags = O_RDWR | O_CLOEXEC;
  if (make) {
    const int descriptor = open(path.c_str(), flags | O_CREAT | O_EXCL, 0666);
    made = descriptor >= 0;
    if (made || errno != EEXIST) return descriptor;
    if (must_be_new) throw InputError("{} exists already; name another file", path.string());
  }
  return open(path.c_str(), flags);
}

// False when another has it.
bool lock(int descriptor, const std::filesystem::path& path) {
  if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  throw InputError("cannot lock {}: {}; write to a local disk, and copy the file afterwards", path.string(),
                   std::strerror(errno));
}

}  // namespace

WriterLock::WriterLock(const std::filesystem::path& path, bool make, bool must_be_new, Place place) : path_(path) {
  const std::lock_guard guard(own_files_mutex);
  // Asked before the file is opened, because closing it again would drop the locks of the writer that we have.
  if (const auto id = file_id(path); id && own_files().contains(*id)) refuse_second_writer(path);
  try {
    if (place == Place::beside) lock_beside();
    const int file = open_or_make(path, make, must_be_new, made_);
    if (file < 0) cannot_write(path);
    if (holds_beside_)
      close(file);  // no connection to it is open in this process yet
    else if (descriptor_ = file; !lock(file, path))
      refuse_second_writer(path);
    id_ = file_id(path);
    if (id_) own_files().insert(*id_);
  } catch (...) {
    release();
    throw;
  }
}

// The file that is locked may be the one that its last owner has just removed: then again.
void WriterLock::lock_beside() {
  const std::filesystem::path beside = path_.string() + "-lock";
  for (;;) {
    descriptor_ = open(beside.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) cannot_write(beside);
    if (!lock(descriptor_, beside)) refuse_second_writer(path_);
    struct stat info {};
    holds_beside_ = fstat(descriptor_, &info) == 0 && file_id(beside) == FileId{info.st_dev, info.st_ino};
    if (holds_beside_) return;
    close(descriptor_);
  }
}

void WriterLock::release() {
  if (holds_beside_) unlink((path_.string() + "-lock").c_str());
  if (descriptor_ >= 0) close(descriptor_);
}

WriterLock::~WriterLock() {
  const std::lock_guard guard(own_files_mutex);
  if (id_) own_files().erase(*id_);
  release();
}

}  // namespace batchscope::store
