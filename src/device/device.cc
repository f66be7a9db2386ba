// What devices that compute at once have in common: plain host memory, and events that have happened.
#include "device/device.h"

namespace batchscope {

HostBuffer Device::host_buffer(std::int64_t bytes) {
  return {std::shared_ptr<std::byte>(new std::byte[static_cast<std::size_t>(bytes)], std::default_delete<std::byte[]>()),
          bytes};
}

Event Device::record() { return {monotonic_clock().now().count()}; }

}  // namespace batchscope
