// Conversion and random numbers on a GPU: a thread has eight neighbouring elements of a row.
#include "device/cuda/element.cuh"
#include "device/cuda/transfer_kernels.h"
#include "tensor/drawn_values.h"

namespace batchscope {
namespace {

constexpr int group = 8;  // elements of a thread

template <class T>
struct Rows {
  T* data;
  std::int64_t stride;
};

// A matrix cut into groups that do not cross rows.
struct Groups {
  std::int64_t columns;
  unsigned a_row, count;
};

Groups groups_of(const Tensor& x) {
  const std::int64_t a_row = ceil_div(x.columns, group);
  return {x.columns, grid_size(a_row), grid_size(a_row * x.rows)};
}

unsigned blocks_of(const Groups& groups) { return grid_size(ceil_div(groups.count, block_threads)); }

struct Place {
  std::int64_t row, column;
};

__device__ Place place_of(const Groups& groups, unsigned index) {
  return {index / groups.a_row, static_cast<std::int64_t>(index % groups.a_row) * group};
}

template <class From, class To, bool aligned>
__global__ void __launch_bounds__(block_threads) convert_kernel(Rows<const From> from, Rows<To> to, Groups groups) {
  begin_kernel();
  const unsigned index = blockIdx.x * block_threads + threadIdx.x;
  if (index >= groups.count) return;
  const Place at = place_of(groups, index);
  const std::int64_t left = groups.columns - at.column;
  float values[group];
  load_floats<aligned>(from.data + at.row * from.stride + at.column, left, values);
  store_floats<aligned>(values, to.data + at.row * to.stride + at.column, left);
}

struct Drawn {
  std::uint64_t key;
  float mean;
  std::uint64_t begin;    // place of the tensor's first element in the whole matrix
  std::uint64_t columns;  // of the whole matrix
};

template <class To, bool aligned>
__global__ void __launch_bounds__(block_threads) draw_kernel(Drawn drawn, Rows<To> to, Groups groups) {
  begin_kernel();
  const unsigned index = blockIdx.x * block_threads + threadIdx.x;
  if (index >= groups.count) return;
  const Place at = place_of(groups, index);
  const std::uint64_t first =
      drawn.begin + static_cast<std::uint64_t>(at.row) * drawn.columns + static_cast<std::uint64_t>(at.column);
  float values[group];
#pragma unroll
  for (int i = 0; i < group; ++i) values[i] = drawn_value(drawn.key, first + static_cast<std::uint64_t>(i), drawn.mean);
  store_floats<aligned>(values, to.data + at.row * to.stride + at.column, groups.columns - at.column);
}

// Where rows of a weight come from: memory, or a draw.
template <class T>
struct RowsInMemory {
  const T* data;
  std::int64_t stride;
  __device__ float at(std::int64_t row, std::int64_t column) const { return widen(data[row * stride + column]); }
};
struct DrawnRows {
  Drawn drawn;  // `begin`: of the first row
  __device__ float at(std::int64_t row, std::int64_t column) const {
    return drawn_value(drawn.key, drawn.begin + static_cast<std::uint64_t>(row) * drawn.columns +
                                      static_cast<std::uint64_t>(column), drawn.mean);
  }
};

struct Fp8Target {
  std::byte* values;
  float* scales;
  std::int64_t stride, scale_stride, columns, groups;
};

// A block a row. `whole`: columns of a whole row; `begin`: the first that is kept.
template <class Source>
__global__ void __launch_bounds__(block_threads)
    round_to_fp8_kernel(Source from, std::int64_t whole, std::int64_t begin, Fp8Target to) {
  begin_kernel();
  const std::int64_t row = blockIdx.x;
  float largest = 0;
  for (std::int64_t column = threadIdx.x; column < whole; column += block_threads)
    largest = fmaxf(largest, fabsf(from.at(row, column)));
  const float scale = fmaxf(reduce_block(largest, 0.0f, LargerOf()) / Float8::largest, 0x1p-126f);
  for (std::int64_t group = threadIdx.x; group < to.groups; group += block_threads)
    to.scales[row * to.scale_stride + group] = scale;
  for (std::int64_t column = threadIdx.x; column < to.columns; column += block_threads)
    to.values[row * to.stride + column] = static_cast<std::byte>(
        __nv_cvt_float_to_fp8(from.at(row, begin + column) / scale, __NV_SATFINITE, __NV_E4M3));
}

template <class Source>
void round_to_fp8(cudaStream_t stream, const Source& from, std::int64_t whole, std::int64_t begin, const Weight& to) {
  if (to.values.elements() == 0) return;
  launch_cuda("round_to_fp8", stream, grid_size(to.rows()), block_threads, round_to_fp8_kernel<Source>, from, whole, begin,
              Fp8Target{to.values.data, to.scales.row<float>(0), to.values.stride, to.scales.stride, to.columns(),
                        to.scales.columns});
}

Drawn drawn_from(const DrawnMatrix& values, std::int64_t column) {
  return {values.key, values.mean, static_cast<std::uint64_t>(values.row_begin * values.columns + column),
          static_cast<std::uint64_t>(values.columns)};
}

// Integers are moved as floats, which nothing computes with.
DType moved_as(DType dtype) { return dtype == DType::i32 ? DType::f32 : dtype; }

}  // namespace

void convert_cuda(cudaStream_t stream, const Tensor& from, const Tensor& to) {
  CHECK_EQUAL(from.rows, to.rows, "a conversion keeps the rows");
  CHECK_EQUAL(from.columns, to.columns, "a conversion keeps the columns");
  CHECK_THAT((from.dtype == DType::i32) == (to.dtype == DType::i32), "integers stay integers, not {} to {}",
             name_of(from.dtype), name_of(to.dtype));
  if (to.elements() == 0) return;
  for_cuda_dtype(moved_as(from.dtype), [&]<class From>(From) {
    for_cuda_dtype(moved_as(to.dtype), [&]<class To>(To) {
      const Rows<const From> source{from.row<const From>(0), from.stride};
      const Rows<To> target{to.row<To>(0), to.stride};
      const Groups groups = groups_of(to);
      if (has_aligned_rows(from) && has_aligned_rows(to))
        launch_cuda("convert", stream, blocks_of(groups), block_threads, convert_kernel<From, To, true>, source, target,
                    groups);
      else
        launch_cuda("convert", stream, blocks_of(groups), block_threads, convert_kernel<From, To, false>, source,
                    target, groups);
    });
  });
}

void round_to_fp8_cuda(cudaStream_t stream, const Tensor& rows, std::int64_t column_begin, const Weight& to) {
  for_cuda_dtype(rows.dtype, [&]<class T>(T) {
    round_to_fp8(stream, RowsInMemory<T>{rows.row<T>(0), rows.stride}, rows.columns, column_begin, to);
  });
}

void draw_cuda(cudaStream_t stream, const DrawnMatrix& values, const Weight& weight) {
  const Tensor& to = weight.values;
  if (to.elements() == 0) return;
  if (weight.is_scaled())
    return round_to_fp8(stream, DrawnRows{drawn_from(values, 0)}, values.columns, values.column_begin, weight);
  for_cuda_dtype(to.dtype, [&]<class To>(To) {
    const Drawn drawn = drawn_from(values, values.column_begin);
    const Rows<To> target{to.row<To>(0), to.stride};
    const Groups groups = groups_of(to);
    if (has_aligned_rows(to))
      launch_cuda("draw", stream, blocks_of(groups), block_threads, draw_kernel<To, true>, drawn, target, groups);
    else
      launch_cuda("draw", stream, blocks_of(groups), block_threads, draw_kernel<To, false>, drawn, target, groups);
  });
}

}  // namespace batchscope
