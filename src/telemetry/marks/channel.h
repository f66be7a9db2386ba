// Where recordings can be reached by those who write marks: a socket each, in a folder that is the user's alone.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <vector>

namespace batchscope {

constexpr const char* marks_variable = "BATCHSCOPE_MARKS";  // the socket's path, for a recording's command

// $XDG_RUNTIME_DIR/batchscope, or batchscope-UID in the folder for temporary files; made when it is not there. Failure
// when it cannot be, or when others could write into it.
std::filesystem::path marks_folder();

// The socket at which this recording listens; its file is gone at the end.
class MarkSocket {
 public:
  explicit MarkSocket(const std::filesystem::path& folder = marks_folder());
  ~MarkSocket();
  MarkSocket(const MarkSocket&) = delete;
  MarkSocket& operator=(const MarkSocket&) = delete;
  int descriptor() const { return descriptor_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

struct RunningRecording {
  pid_t pid = 0;
  std::filesystem::path path{};
};
// This user's recordings that take marks, by their process. What dead ones left is removed.
std::vector<RunningRecording> running_recordings(const std::filesystem::path& folder = marks_folder());

}  // namespace batchscope
