// Files (base/file.h) on POSIX calls, so that every failure has its reason.
#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <utility>

#include "base/error.h"

namespace batchscope {
namespace {

// Of files that are read whole: /dev/zero must end somewhere.
constexpr std::size_t largest_read_file = std::size_t{1} << 30;

// An open file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

struct stat open_file(const std::filesystem::path& path, const Descriptor& file) {
  struct stat info {};
  if (file.get() < 0 || fstat(file.get(), &info) != 0)
    throw InputError("cannot read {}: {}; check the path and its permissions", path.string(), std::strerror(errno));
  if (S_ISDIR(info.st_mode)) throw InputError("cannot read {}: it is a folder; name a file", path.string());
  return info;
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  open_file(path, file);
  std::string content;
  char buffer[1 << 16];
  ssize_t got = 0;
  while ((got = read(file.get(), buffer, sizeof buffer)) > 0) {
    content.append(buffer, static_cast<std::size_t>(got));
    if (content.size() > largest_read_file)
      throw InputError("cannot read {}: it has more than {} bytes; is it the right file?", path.string(),
                       largest_read_file);
  }
  if (got < 0) throw InputError("cannot read {}: {}", path.string(), std::strerror(errno));
  return content;
}

namespace {

// Devices, pipes and what /dev and /proc name are written to, never replaced.
bool is_replaceable(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) return false;
  const std::string whole = std::filesystem::absolute(path, error).string();
  return !whole.starts_with("/dev/fd/") && !whole.starts_with("/dev/std") && !whole.starts_with("/proc/");
}

// In a folder where everybody may make files and none may remove another's, such as /tmp: a link there that another
// user made. Linux refuses to follow these (fs.protected_symlinks), but we ask where they lead ourselves.
bool is_planted_link(const std::filesystem::path& path) {
  struct stat link {
  }, folder{};
  const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
  if (lstat(path.c_str(), &link) != 0 || !S_ISLNK(link.st_mode) || stat(parent.c_str(), &folder) != 0) return false;
  return (folder.st_mode & S_ISVTX) != 0 && (folder.st_mode & S_IWOTH) != 0 && link.st_uid != geteuid() &&
         link.st_uid != folder.st_uid;
}

// A file of a name that nobody knows before, so that it is neither another run's nor a link.
int make_beside(const std::filesystem::path& target, mode_t mode, std::filesystem::path& name) {
  constexpr int most_tries = 100;
  std::random_device random;
  for (int i = 0; i < most_tries; ++i) {
    name = fmt::format("{}.{:08x}.part", target.string(), random());
    const int file = open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (file >= 0 || errno != EEXIST) return file;
  }
  return -1;
}

}  // namespace

OutputFile::OutputFile(const std::filesystem::path& path) : path_(path), target_(path) {
  if (is_replaceable(path)) {
    if (is_planted_link(path))
      throw InputError("{} is a symbolic link of another user in a world-writable folder; name another file",
                       path.string());
    std::error_code error;
    if (std::filesystem::is_symlink(path, error))  // the link stays, what it names is replaced
      target_ = std::filesystem::weakly_canonical(path, error);
    struct stat old {};
    const bool replaces = stat(target_.c_str(), &old) == 0;
    descriptor_ = make_beside(target_, replaces ? 0600 : 0666, temporary_);
    if (descriptor_ >= 0 && replaces) fchmod(descriptor_, old.st_mode & 0777);  // a private file stays one
  } else {
    descriptor_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  }
  if (descriptor_ < 0) fail("write");
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void OutputFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void OutputFile::commit() {
  if (!temporary_.empty()) {
    if (fsync(descriptor_) != 0) fail("write");
    if (rename(temporary_.c_str(), target_.c_str()) != 0) fail("replace");
  }
  close(std::exchange(descriptor_, -1));
}

void OutputFile::fail(std::string_view what) const {
  throw Failure("cannot {} {}: {}{}", what, path_.string(), std::strerror(errno),
                temporary_.empty() ? "" : "; nothing was written");
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  OutputFile file(path);
  file.write(content);
  file.commit();
}

std::filesystem::path temporary_folder() {
  std::error_code error;
  const auto folder = std::filesystem::temp_directory_path(error);
  if (!error) return folder;
  const char* set = std::getenv("TMPDIR");
  throw Failure("the folder for temporary files, {}, cannot be used: {}; set TMPDIR to one that exists",
                set != nullptr ? set : "/tmp", error.message());
}

TemporaryFolder::TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code error;
  if (!std::filesystem::create_directory(path_, error))
    throw InputError("cannot make the folder {}: {}; name another place with -o", path_.string(),
                     error ? error.message() : "it exists");
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe would wait for its writer
  const struct stat info = open_file(path, file);
  if (!S_ISREG(info.st_mode)) throw InputError("cannot map {}: it is not a regular file; name one", path.string());
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ == 0) return;
  void* address = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) throw InputError("cannot map {}: {}", path.string(), std::strerror(errno));
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

}  // namespace batchscope
