// For tests of ops and of what is made of them: a device with matrices in double precision to compare with. It is a
// CPU, or, in the tests of the CUDA library (gpu_test), a GPU: the tests are the same.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/bf16.h"
#include "device/cpu/cpu_device.h"
#include "ops/attention.h"
#include "ops/cpu_kernels.h"

namespace batchscope {

struct Matrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;
  Matrix() = default;
  Matrix(std::int64_t r, std::int64_t c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c)) {}
  double& at(std::int64_t row, std::int64_t column) { return values[static_cast<std::size_t>(row * columns + column)]; }
  double at(std::int64_t row, std::int64_t column) const {
    return values[static_cast<std::size_t>(row * columns + column)];
  }
};

// Largest relative error of one rounding to nearest.
inline double roundoff(DType dtype) {
  return std::ldexp(1.0, dtype == DType::f32 ? -24 : dtype == DType::bf16 ? -8 : -11);
}

#ifdef BATCHSCOPE_TEST_GPU
// The first GPU; its tests are skipped where there is none (ops/gpu_test_main.cu).
std::unique_ptr<Device> open_test_gpu();
inline const std::vector<DType> tested_dtypes{DType::f32, DType::bf16, DType::f16};
#else
inline const std::vector<DType> tested_dtypes =
    cpu_computes_bf16() ? std::vector<DType>{DType::f32, DType::bf16} : std::vector<DType>{DType::f32};
#endif

class TestDevice {
 public:
#ifdef BATCHSCOPE_TEST_GPU
  static constexpr bool is_gpu = true;
  explicit TestDevice(int = 1) : owned_(open_test_gpu()), device_(*owned_) {}
#else
  static constexpr bool is_gpu = false;
  explicit TestDevice(int threads = 1)
      : owned_(std::make_unique<CpuDevice>("cpu:0", pages_, cpu_kernels(), threads)), device_(*owned_) {}
#endif
  operator Device&() { return device_; }
  Device& operator*() { return device_; }
  Device* operator->() { return &device_; }

  // Rows lie `gap` elements apart.
  Tensor empty(DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t gap = 0) {
    const Tensor wide = device_.arena().allocate("test", MemoryUse::activations, dtype, rows, columns + gap);
    return wide.column_range(0, columns);
  }
  Tensor random(DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t gap = 0, float low = -1,
                float high = 1) {
    std::uniform_real_distribution<float> uniform(low, high);
    std::vector<float> values(static_cast<std::size_t>(rows * columns));
    for (float& value : values) value = uniform(random_);
    return floats(dtype, rows, columns, values, gap);
  }
  Tensor floats(DType dtype, std::int64_t rows, std::int64_t columns, const std::vector<float>& values,
                std::int64_t gap = 0) {
    const Tensor tensor = empty(dtype, rows, columns, gap);
    device_.upload({reinterpret_cast<const std::byte*>(values.data()), DType::f32, rows, columns, columns}, tensor);
    return tensor;
  }
  // A weight in panels of so many rows.
  Tensor panels(const Tensor& rows, std::int64_t panel) {
    Tensor tensor = empty(rows.dtype, rows.rows, rows.columns);
    tensor.panel = panel;
    const auto values = device_.download(rows);
    device_.upload({reinterpret_cast<const std::byte*>(values.data()), DType::f32, rows.rows, rows.columns, rows.columns},
                   tensor);
    return tensor;
  }
  Tensor integers(const std::vector<std::int32_t>& values) {
    return integers(1, static_cast<std::int64_t>(values.size()), values.data());
  }
  Tensor integers(std::int64_t rows, std::int64_t columns, const std::int32_t* values) {
    const Tensor tensor = empty(DType::i32, rows, columns);
    device_.upload({reinterpret_cast<const std::byte*>(values), DType::i32, rows, columns, columns}, tensor);
    return tensor;
  }
  // A segment table, as a step's inputs have it.
  Tensor table(const std::vector<AttentionSegment>& segments) {
    std::vector<std::int32_t> words(segments.size() * segment_words);
    write_segments(segments, words.data());
    return integers(std::ssize(segments), segment_words, words.data());
  }
  Tensor copy(const Tensor& from, std::int64_t gap = 0) {
    return floats(from.dtype, from.rows, from.columns, device_.download(from), gap);
  }
  Matrix read(const Tensor& tensor) {
    Matrix matrix(tensor.rows, tensor.columns);
    const auto values = device_.download(tensor);
    matrix.values.assign(values.begin(), values.end());
    return matrix;
  }

 private:
  HostPages pages_;
  std::unique_ptr<Device> owned_;
  Device& device_;
  std::mt19937_64 random_{7};
};

// |got - want| <= absolute + relative * |want|, everywhere.
inline void expect_near(const Matrix& got, const Matrix& want, double relative, double absolute = 0) {
  ASSERT_EQ(got.rows, want.rows);
  ASSERT_EQ(got.columns, want.columns);
  // Half a step of subnormal numbers, of f16 where it is computed in.
  const double smallest = TestDevice::is_gpu ? std::ldexp(1.0, -25) : 1e-37;
  for (std::int64_t row = 0; row < want.rows; ++row)
    for (std::int64_t column = 0; column < want.columns; ++column)
      ASSERT_NEAR(got.at(row, column), want.at(row, column),
                  absolute + relative * std::abs(want.at(row, column)) + smallest)
          << "at [" << row << ", " << column << "]";
}

// Calls body(device, dtype, gap) for all dtypes, packed and strided rows, one thread and two.
template <class Body>
void for_each_variant(const Body& body) {
  struct Variant {
    int threads;
    std::int64_t gap;
  };
  for (const DType dtype : tested_dtypes)
    for (const auto& [threads, gap] : {Variant{1, 0}, Variant{1, 5}, Variant{2, 3}}) {
      SCOPED_TRACE(std::string(name_of(dtype)) + ", " + std::to_string(threads) + " threads, rows " +
                   std::to_string(gap) + " elements apart");
      TestDevice device(threads);
      body(device, dtype, gap);
    }
}

}  // namespace batchscope
