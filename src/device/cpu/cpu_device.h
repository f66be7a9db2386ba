// A virtual device on the host's CPU: kernels run at once, in the calling thread (and its OpenMP team).
#pragma once

#include <string>
#include <vector>

#include "device/cpu/kernels.h"
#include "device/device.h"

namespace batchscope {

class CpuDevice : public Device {
 public:
  CpuDevice(std::string name, ArenaBacking& backing, CpuKernels kernels, int threads)
      : Device(std::move(name), backing), kernels_(std::move(kernels)), context_{.threads = threads} {}

  std::int64_t weight_panel(DType dtype, std::int64_t rows, std::int64_t columns) const override {
    return kernels_.weight_panel(dtype, rows, columns);
  }
  void copy_in(const std::byte* from, const Tensor& to) override;
  void copy_out(const Tensor& from, std::byte* to) override;
  void upload(const HostMatrix& from, const Tensor& to) override;
  std::vector<float> download(const Tensor& from) override;

 private:
  std::int64_t workspace_bytes(std::type_index op, const void* arguments) const override;
  void run(const Work& work, std::type_index op, const void* arguments, std::byte* workspace) override;

  CpuKernels kernels_;
  CpuContext context_;
};

}  // namespace batchscope
