// What devices that compute at once have in common: plain host memory, and events that have happened.
#include "device/device.h"

#include "tensor/host_rows.h"

namespace batchscope {

HostBuffer Device::host_buffer(std::int64_t bytes) {
  return {std::shared_ptr<std::byte>(new std::byte[static_cast<std::size_t>(bytes)], std::default_delete<std::byte[]>()),
          bytes};
}

void Device::upload_as_fp8(const HostMatrix& from, std::int64_t column_begin, const Weight& to) {
  const Fp8Rows rows = to_fp8(from, column_begin, to.columns());
  upload(rows.matrix, to.values);
  std::vector<float> scales;
  for (const float scale : rows.scales) scales.insert(scales.end(), static_cast<std::size_t>(to.scales.columns), scale);
  upload({reinterpret_cast<const std::byte*>(scales.data()), DType::f32, to.scales.rows, to.scales.columns,
          to.scales.columns},
         to.scales);
}

Event Device::record() { return {monotonic_clock().now().count()}; }

}  // namespace batchscope
