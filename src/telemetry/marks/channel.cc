// Sockets of recordings (telemetry/marks/channel.h).
#include "telemetry/marks/channel.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/file.h"

namespace batchscope {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "record-";  // and the recording's process

// Packets, not datagrams: a queue of those holds net.unix.max_dgram_qlen, ten in a container, whatever room there is.
int new_socket() {
  const int descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) throw Failure("marks: no socket: {}", std::strerror(errno));
  return descriptor;
}

sockaddr_un address_of(const fs::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& name = path.native();
  if (name.size() >= sizeof address.sun_path)
    throw Failure("marks: {} is too long a path for a socket; set XDG_RUNTIME_DIR or TMPDIR to a shorter one", name);
  std::copy(name.begin(), name.end(), address.sun_path);
  return address;
}

bool someone_listens(const fs::path& path) {
  const sockaddr_un address = address_of(path);
  const int descriptor = new_socket();
  const int status = connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const bool listens = status == 0 || errno == EAGAIN;
  close(descriptor);
  return listens;
}

std::optional<pid_t> process_of(const fs::path& path) {
  const std::string name = path.filename().native();
  if (!name.starts_with(prefix)) return std::nullopt;
  pid_t pid = 0;
  const char* end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data() + prefix.size(), end, pid);
  if (error != std::errc() || at != end || pid <= 0) return std::nullopt;
  return pid;
}

}  // namespace

fs::path marks_folder() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const fs::path folder = runtime != nullptr && *runtime == '/'
                              ? fs::path(runtime) / "batchscope"
                              : temporary_folder() / fmt::format("batchscope-{}", geteuid());
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    throw Failure("marks: cannot make {}: {}", folder.native(), std::strerror(errno));
  struct stat found {};
  if (lstat(folder.c_str(), &found) != 0) throw Failure("marks: {}: {}", folder.native(), std::strerror(errno));
  if (!S_ISDIR(found.st_mode) || found.st_uid != geteuid() || (found.st_mode & 022) != 0)
    throw Failure("marks: {} is not a folder that only this user writes to; remove it, or set XDG_RUNTIME_DIR",
                  folder.native());
  return folder;
}

MarkSocket::MarkSocket(const fs::path& folder) : path_(folder / fmt::format("{}{}", prefix, getpid())) {
  const sockaddr_un address = address_of(path_);
  unlink(path_.c_str());  // of an earlier process of this number
  descriptor_ = new_socket();
  // Its mode by itself, whatever the umask: nobody can connect before it listens.
  if (bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      chmod(path_.c_str(), 0600) == 0 && listen(descriptor_, SOMAXCONN) == 0)
    return;
  const int error = errno;
  close(descriptor_);
  throw Failure("marks: cannot listen at {}: {}", path_.native(), std::strerror(error));
}

MarkSocket::~MarkSocket() {
  unlink(path_.c_str());
  close(descriptor_);
}

std::vector<RunningRecording> running_recordings(const fs::path& folder) {
  std::vector<RunningRecording> running;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const auto pid = process_of(entry.path());
    if (!pid) continue;
    if (someone_listens(entry.path()))
      running.push_back({.pid = *pid, .path = entry.path()});
    else
      unlink(entry.path().c_str());
  }
  std::sort(running.begin(), running.end(), [](const auto& a, const auto& b) { return a.pid < b.pid; });
  return running;
}

}  // namespace batchscope
