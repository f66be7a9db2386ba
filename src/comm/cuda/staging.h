// Memory of staging areas (comm/peer_mailbox.h), that ranks of this process or of several reach.
#pragma once

#include <sys/types.h>

#include <string>

#include "comm/peer_mailbox.h"

namespace batchscope {

// In the host's memory, pinned.
class HostStaging {
 public:
  HostStaging();
  // Another process's, by what its name() said. Throws Failure: it is not reached from here.
  explicit HostStaging(const std::string& name);
  ~HostStaging();
  HostStaging(const HostStaging&) = delete;
  HostStaging& operator=(const HostStaging&) = delete;

  std::string name() const;
  StagingArea* area() const { return area_; }

 private:
  void map();

  int file_ = -1;
  StagingArea* area_ = nullptr;
};

// In a GPU's memory. `device`: CUDA's number of the GPU that uses it.
class DeviceStaging {
 public:
  explicit DeviceStaging(int device);
  DeviceStaging(int device, const std::string& name);
  ~DeviceStaging();
  DeviceStaging(const DeviceStaging&) = delete;
  DeviceStaging& operator=(const DeviceStaging&) = delete;

  std::string name() const;
  StagingArea* area() const { return area_; }

 private:
  int device_;
  bool is_own_;
  StagingArea* area_ = nullptr;
};

}  // namespace batchscope
