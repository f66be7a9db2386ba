// Rows copied by index on a GPU, whatever their elements are: embedding, gather, scatter.
#pragma once

#include "device/cuda/element.cuh"

namespace batchscope {

enum class Indexed { source, target };

inline constexpr int copy_threads = 256;
inline constexpr int copy_words = 4;  // of a thread

// Kernels cannot throw. A row from outside of its tensor is NaN (all bits of a float set), which every later op keeps,
// and one that would go outside goes nowhere.
template <class Word, Indexed indexed>
__global__ void __launch_bounds__(copy_threads)
    copy_rows_kernel(const Word* from, std::int64_t from_stride, Word* to, std::int64_t to_stride, std::int64_t width,
                     const std::int32_t* indices, std::int64_t limit) {
  begin_kernel();
  const std::int64_t row = blockIdx.x, other = indices[row];
  const bool exists = other >= 0 && other < limit;
  if (indexed == Indexed::target && !exists) return;
  const Word* source = from + (indexed == Indexed::source ? (exists ? other : 0) : row) * from_stride;
  Word* target = to + (indexed == Indexed::source ? row : other) * to_stride;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * copy_threads * copy_words + threadIdx.x;
  Word words[copy_words];
#pragma unroll
  for (int i = 0; i < copy_words; ++i)
    if (begin + i * copy_threads < width) words[i] = source[begin + i * copy_threads];
  if (!exists) memset(words, 0xff, sizeof words);
#pragma unroll
  for (int i = 0; i < copy_words; ++i)
    if (begin + i * copy_threads < width) target[begin + i * copy_threads] = words[i];
}

template <class Word, Indexed indexed>
void copy_rows_as(const char* what, const CudaContext& context, const Tensor& from, const Tensor& indices,
                  const Tensor& to) {
  const std::int64_t element = size_of(to.dtype), word = sizeof(Word), width = to.columns * element / word;
  const dim3 grid(grid_size(indices.columns), grid_size(ceil_div(width, copy_threads * copy_words)));
  CHECK_THAT(grid.y <= 65535, "a row of {} bytes is within what a grid covers", to.columns * element);
  launch_cuda(what, context.stream, grid, copy_threads, copy_rows_kernel<Word, indexed>,
              reinterpret_cast<const Word*>(from.data), from.stride * element / word, reinterpret_cast<Word*>(to.data),
              to.stride * element / word, width, reinterpret_cast<const std::int32_t*>(indices.data),
              indexed == Indexed::source ? from.rows : to.rows);
}

// Row i of `indices` [1, count] names the row that is read, or the one that is written.
template <Indexed indexed>
void copy_rows(const char* what, const CudaContext& context, const Tensor& from, const Tensor& indices,
               const Tensor& to) {
  if (indices.columns == 0 || to.columns == 0) return;
  CHECK_EQUAL(size_of(from.dtype), size_of(to.dtype), "rows are copied as they are");
  if (has_aligned_rows(from) && has_aligned_rows(to) && to.columns * size_of(to.dtype) % 16 == 0)
    copy_rows_as<uint4, indexed>(what, context, from, indices, to);
  else if (size_of(to.dtype) == 4)
    copy_rows_as<std::uint32_t, indexed>(what, context, from, indices, to);
  else
    copy_rows_as<std::uint16_t, indexed>(what, context, from, indices, to);
}

}  // namespace batchscope
