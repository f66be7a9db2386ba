// Tests of the CPU device: uploads that convert, from any address; downloads; ops without a kernel.
#include "device/cpu/cpu_device.h"

#include <gtest/gtest.h>

#include <cstring>

namespace batchscope {
namespace {

class CpuDeviceTest : public testing::Test {
 protected:
  Tensor empty(DType dtype, std::int64_t rows, std::int64_t columns) {
    return device_.arena().allocate("test", MemoryUse::activations, dtype, rows, columns);
  }
  // A matrix of two rows of three, four elements apart, at an odd address.
  template <class T>
  HostMatrix unaligned(DType dtype, const std::vector<T>& elements) {
    bytes_.assign(1 + 8 * sizeof(T), std::byte{0xff});
    std::memcpy(bytes_.data() + 1, elements.data(), 3 * sizeof(T));
    std::memcpy(bytes_.data() + 1 + 4 * sizeof(T), elements.data() + 3, 3 * sizeof(T));
    return {bytes_.data() + 1, dtype, 2, 3, 4};
  }
  template <class T>
  static std::vector<T> halves(const std::vector<std::uint16_t>& bits) {
    std::vector<T> values(bits.size());
    for (std::size_t i = 0; i < bits.size(); ++i) values[i].bits = bits[i];
    return values;
  }
  void expect_uploaded(const HostMatrix& from, const std::vector<float>& want) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Tensor wide = empty(dtype, 2, 5);
      device_.upload(from, wide.column_range(1, 3));  // strided rows there, too
      EXPECT_EQ(device_.download(wide.column_range(1, 3)), want);
      EXPECT_EQ(device_.download(wide.column_range(4, 1)), (std::vector<float>{0, 0}));
    }
  }

  HostPages pages_;
  CpuDevice device_{"cpu:0", pages_, CpuKernels(), 1};
  std::vector<std::byte> bytes_;
};

TEST_F(CpuDeviceTest, UploadsConvertEveryDtypeFromAnyAddress) {
  const std::vector<float> want{1, -2, 0.5, 0, 96, -0.25};
  expect_uploaded(unaligned<float>(DType::f32, want), want);
  expect_uploaded(unaligned(DType::bf16, halves<BFloat16>({0x3f80, 0xc000, 0x3f00, 0x0000, 0x42c0, 0xbe80})), want);
  expect_uploaded(unaligned(DType::f16, halves<Float16>({0x3c00, 0xc000, 0x3800, 0x0000, 0x5600, 0xb400})), want);
  expect_uploaded(unaligned<std::int32_t>(DType::i32, {7, -1, 0, 100, 2, -128}), {7, -1, 0, 100, 2, -128});
}

TEST_F(CpuDeviceTest, UploadsRoundToTheNearest) {
  const std::vector<float> values{1.001f, 3.1415926f};
  const Tensor x = empty(DType::bf16, 1, 2);
  device_.upload({reinterpret_cast<const std::byte*>(values.data()), DType::f32, 1, 2, 2}, x);
  EXPECT_EQ(device_.download(x), (std::vector<float>{1.0f, 3.140625f}));
}

TEST_F(CpuDeviceTest, UploadsIntoPanelsInterleaveTheirRows) {
  std::vector<float> values(8 * 6);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const HostMatrix from{reinterpret_cast<const std::byte*>(values.data()), DType::f32, 8, 6, 6};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Tensor panels = empty(dtype, 8, 6);
    panels.panel = 4;
    device_.upload(from, panels);
    EXPECT_EQ(device_.download(panels), values);
    const Tensor as_stored{panels.data, dtype, 1, 48, 48};
    const auto stored = device_.download(as_stored);
    const std::size_t group = dtype == DType::f32 ? 1 : 2;
    EXPECT_EQ(stored[group], 6) << "the second row's first element";
    EXPECT_EQ(stored[4 * group], static_cast<float>(group)) << "the first row's second group";
    EXPECT_EQ(stored[24], 24) << "the second panel";
    EXPECT_EQ(device_.download(panels.row_range(4, 4)), std::vector<float>(values.begin() + 24, values.end()));
    EXPECT_THROW(panels.row_range(2, 4), std::logic_error);
    EXPECT_THROW(panels.column_range(0, 2), std::logic_error);
  }
}

TEST_F(CpuDeviceTest, IntegersStayIntegers) {
  const Tensor x = empty(DType::i32, 1, 3);
  device_.upload(one_row(std::vector<std::int32_t>{1, -1, 2'000'000'011}), x);
  EXPECT_EQ(x.row<std::int32_t>(0)[2], 2'000'000'011);
  EXPECT_EQ(x.row<std::int32_t>(0)[1], -1);
}

TEST_F(CpuDeviceTest, WhatDoesNotFitIsADefect) {
  const std::vector<float> values(4);
  const HostMatrix from{reinterpret_cast<const std::byte*>(values.data()), DType::f32, 2, 2, 2};
  EXPECT_THROW(device_.upload(from, empty(DType::f32, 1, 4)), std::logic_error);
  EXPECT_THROW(device_.upload(from, empty(DType::f32, 2, 3)), std::logic_error);
  EXPECT_THROW(device_.upload(from, empty(DType::f16, 2, 2)), std::logic_error);
  EXPECT_THROW(device_.upload(from, empty(DType::i32, 2, 2)), std::logic_error);
}

struct UnknownOp {};

TEST_F(CpuDeviceTest, AnOpWithoutAKernelIsNamed) {
  try {
    device_.launch({"unknown_op", 0, 0}, UnknownOp{});
    FAIL();
  } catch (const std::logic_error& error) {
    EXPECT_NE(std::string(error.what()).find("unknown_op"), std::string::npos);
  }
}

}  // namespace
}  // namespace batchscope
