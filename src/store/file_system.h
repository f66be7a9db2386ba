// What the store must know of the file system that a file is on.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace batchscope {

// The kind of network file system ("NFS") that the path is on, or will be when it is made; absent: none.
using FileSystemProbe = std::function<std::optional<std::string>(const std::filesystem::path&)>;
std::optional<std::string> network_file_system(const std::filesystem::path& path);

}  // namespace batchscope
