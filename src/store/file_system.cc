// Network file systems by the kernel's numbers (store/file_system.h).
#include "store/file_system.h"

#include <sys/vfs.h>

namespace batchscope {
namespace {

struct NetworkFileSystem {
  unsigned long magic;
  const char* name;
};
// FUSE is among them: sshfs and others stand behind it, and a local one only loses some speed.
constexpr NetworkFileSystem network_file_systems[] = {
    {0x6969, "NFS"},          {0x517B, "SMB"},        {0xFF534D42, "CIFS"},  {0xFE534D42, "SMB"},
    {0x0BD00BD0, "Lustre"},   {0x47504653, "GPFS"},   {0x00C36400, "Ceph"},  {0x5346414F, "AFS"},
    {0x6B414653, "AFS"},      {0x19830326, "BeeGFS"}, {0x7461636F, "OCFS2"}, {0x01161970, "GFS2"},
    {0x20030528, "OrangeFS"}, {0x01021997, "9P"},     {0x73757245, "Coda"},  {0x786F4256, "VirtualBox shared folder"},
    {0x65735546, "FUSE"}};

}  // namespace

std::optional<std::string> network_file_system(const std::filesystem::path& path) {
  struct statfs info {};
  if (statfs(path.c_str(), &info) != 0 && statfs(std::filesystem::absolute(path).parent_path().c_str(), &info) != 0)
    return std::nullopt;
  for (const auto& system : network_file_systems)
    if ((static_cast<unsigned long>(info.f_type) & 0xFFFFFFFFUL) == system.magic) return system.name;
  return std::nullopt;
}

}  // namespace batchscope
