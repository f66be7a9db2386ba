// The CPU device: kernels by table, uploads with conversion.
#include "device/cpu/cpu_device.h"

#include <cstring>

#include "base/check.h"
#include "device/cpu/parallel_for.h"

namespace batchscope {
namespace {

// One element of any dtype at an address of any alignment.
template <class T>
float load(const std::byte* address) {
  T value;
  std::memcpy(&value, address, sizeof value);
  return static_cast<float>(value);
}

float load(DType dtype, const std::byte* address) {
  switch (dtype) {
    case DType::f32:
      return load<float>(address);
    case DType::bf16:
      return load<BFloat16>(address);
    case DType::f16:
      return load<Float16>(address);
    case DType::i32:
      return load<std::int32_t>(address);
    case DType::fp8:
      return load<Float8>(address);
  }
  return 0;
}

template <class From, class To>
void convert(const std::byte* from, const Tensor& to, std::int64_t row) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(From));
  To* out = to.row<To>(row);
  for (std::int64_t column = 0; column < to.columns; ++column)
    out[column] = static_cast<To>(load<From>(from + column * size));
}

template <class From>
void convert(const std::byte* from, const Tensor& to, std::int64_t row) {
  return to.dtype == DType::f32 ? convert<From, float>(from, to, row) : convert<From, BFloat16>(from, to, row);
}

void convert_row(const HostMatrix& from, std::int64_t row, const Tensor& to) {
  const std::byte* source = from.data + row * from.stride * size_of(from.dtype);
  if (from.dtype == to.dtype) {
    std::memcpy(to.row<std::byte>(0) + row * to.stride * size_of(to.dtype), source,
                static_cast<std::size_t>(to.columns * size_of(to.dtype)));
    return;
  }
  switch (from.dtype) {
    case DType::f32:
      return convert<float>(source, to, row);
    case DType::bf16:
      return convert<BFloat16>(source, to, row);
    case DType::f16:
      return convert<Float16>(source, to, row);
    case DType::i32:
      return convert<std::int32_t>(source, to, row);
    case DType::fp8:
      return convert<Float8>(source, to, row);
  }
}

// Rows [begin, begin + panel) of `from`, converted already, into a panel. An element group is four bytes in any dtype.
void interleave(const std::byte* rows, std::int64_t panel, std::int64_t groups, std::byte* to) {
  for (std::int64_t group = 0; group < groups; ++group)
    for (std::int64_t row = 0; row < panel; ++row)
      std::memcpy(to + (group * panel + row) * 4, rows + (row * groups + group) * 4, 4);
}

void upload_panels(const CpuContext& context, const HostMatrix& from, const Tensor& to) {
  parallel_for(context, to.rows / to.panel, [&](std::int64_t index) {
    thread_local std::vector<std::byte> scratch;
    scratch.resize(static_cast<std::size_t>(to.panel * to.columns * size_of(to.dtype)));
    const Tensor rows{scratch.data(), to.dtype, to.panel, to.columns, to.columns};
    for (std::int64_t row = 0; row < to.panel; ++row) {
      const HostMatrix source{from.data + (index * to.panel + row) * from.stride * size_of(from.dtype), from.dtype, 1,
                              from.columns, from.stride};
      convert_row(source, 0, rows.row_range(row, 1));
    }
    interleave(scratch.data(), to.panel, to.columns / to.panel_group(),
               to.data + to.offset(index * to.panel, 0) * size_of(to.dtype));
  });
}

}  // namespace

void CpuDevice::upload(const HostMatrix& from, const Tensor& to) {
  CHECK_EQUAL(from.rows, to.rows, "an upload keeps the rows");
  CHECK_EQUAL(from.columns, to.columns, "an upload keeps the columns");
  CHECK_THAT(to.dtype == from.dtype || to.dtype == DType::f32 || to.dtype == DType::bf16,
             "uploads convert to f32 and bf16, not to {}", name_of(to.dtype));
  if (to.columns == 0) return;  // there may be no address to copy from
  if (to.panel > 0) return upload_panels(context_, from, to);
  for (std::int64_t row = 0; row < from.rows; ++row) convert_row(from, row, to);
}

std::vector<float> CpuDevice::download(const Tensor& from) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(from.elements()));
  for (std::int64_t row = 0; row < from.rows; ++row)
    for (std::int64_t column = 0; column < from.columns; ++column)
      values.push_back(load(from.dtype, from.data + from.offset(row, column) * size_of(from.dtype)));
  return values;
}

void CpuDevice::copy_in(const std::byte* from, const Tensor& to) {
  CHECK_THAT(to.contiguous(), "copies are of contiguous tensors");
  if (to.elements() > 0) std::memcpy(to.data, from, static_cast<std::size_t>(to.bytes()));
}

void CpuDevice::copy_out(const Tensor& from, std::byte* to) {
  CHECK_THAT(from.contiguous(), "copies are of contiguous tensors");
  if (from.elements() > 0) std::memcpy(to, from.data, static_cast<std::size_t>(from.bytes()));
}

std::int64_t CpuDevice::workspace_bytes(std::type_index op, const void* arguments) const {
  const auto* kernel = kernels_.find(op);
  return kernel == nullptr || kernel->workspace == nullptr ? 0 : kernel->workspace(context_, arguments);
}

void CpuDevice::run(const Work& work, std::type_index op, const void* arguments, std::byte* workspace) {
  const auto* kernel = kernels_.find(op);
  CHECK_THAT(kernel != nullptr, "the CPU has a kernel for {}", work.op);
  context_.workspace = workspace;
  kernel->run(context_, arguments);
}

}  // namespace batchscope
