// The search behind base/cuda_files.h: the places in their order, and the wheels of every Python below a prefix.
#include "base/cuda_files.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>

namespace batchscope {
namespace {

using std::filesystem::path;

// Entries of a folder whose names start so, the newest version first; none where it cannot be read.
std::vector<path> entries(const path& folder, std::string_view start) {
  std::vector<path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().filename().string().starts_with(start)) found.push_back(entry->path());
  std::sort(found.rbegin(), found.rend());
  return found;
}

// PREFIX/lib/python3.11/site-packages/nvidia/PACKAGE/lib, of each Python and package.
void add_wheels(const path& prefix, std::vector<path>& folders) {
  for (const path& python : entries(prefix / "lib", "python3"))
    for (const char* packages : {"site-packages", "dist-packages"})
      for (const path& package : entries(python / packages / "nvidia", "")) folders.push_back(package / "lib");
}

std::vector<path> folders_of(const CudaPlaces& places) {
  std::vector<path> folders;
  if (const path beside = places.program.parent_path(); !beside.empty()) {
    folders.push_back(beside);
    folders.push_back(beside.parent_path() / "lib");
  }
  std::vector<path> toolkits;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* home = places.variable(name); home != nullptr && *home != '\0') toolkits.emplace_back(home);
  toolkits.push_back(places.root / "usr/local/cuda");
  for (const path& toolkit : toolkits)
    for (const char* below : {"lib64", "lib", "targets/x86_64-linux/lib", "extras/CUPTI/lib64"})
      folders.push_back(toolkit / below);

  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (const char* prefix = places.variable(name); prefix != nullptr && *prefix != '\0') {
      folders.push_back(path(prefix) / "lib");
      add_wheels(prefix, folders);
    }
  if (const char* home = places.variable("HOME"); home != nullptr && *home != '\0') add_wheels(path(home) / ".local", folders);
  for (const char* prefix : {"usr/local", "usr"}) add_wheels(places.root / prefix, folders);
  return folders;
}

}  // namespace

CudaPlaces cuda_places() {
  std::error_code error;
  return {.variable = [](const char* name) -> const char* { return std::getenv(name); },
          .program = std::filesystem::read_symlink("/proc/self/exe", error)};
}

std::vector<std::string> cuda_files(std::span<const std::string_view> names, const CudaPlaces& places) {
  std::vector<std::string> files(names.begin(), names.end());
  for (const path& folder : folders_of(places))
    for (const std::string_view name : names) {
      std::error_code error;
      if (const path file = folder / name; std::filesystem::exists(file, error)) files.push_back(file.string());
    }
  return files;
}

}  // namespace batchscope
