// Checks of slices and their values (model/weight_checks.h).
#include "model/weight_checks.h"

#include <cstring>

#include "base/check.h"
#include "base/error.h"

namespace batchscope {
namespace {

// The first row and column at which the masked exponent bits are all set: infinite, or not a number.
template <class Word>
std::int64_t first_not_finite(const std::byte* row, std::int64_t columns, Word exponent) {
  bool any = false;
  for (std::int64_t i = 0; i < columns; ++i) {
    Word word;
    std::memcpy(&word, row + i * static_cast<std::int64_t>(sizeof(Word)), sizeof(Word));  // may be unaligned
    any |= (word & exponent) == exponent;
  }
  for (std::int64_t i = 0; any && i < columns; ++i) {
    Word word;
    std::memcpy(&word, row + i * static_cast<std::int64_t>(sizeof(Word)), sizeof(Word));
    if ((word & exponent) == exponent) return i;
  }
  return -1;
}

std::int64_t first_not_finite(const std::byte* row, std::int64_t columns, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return first_not_finite<std::uint32_t>(row, columns, 0x7f800000u);
    case DType::bf16:
      return first_not_finite<std::uint16_t>(row, columns, 0x7f80u);
    case DType::f16:
      return first_not_finite<std::uint16_t>(row, columns, 0x7c00u);
    case DType::i32:
      break;
  }
  return -1;
}

}  // namespace

void check_slice(const WeightShape& tensor, const Slice& slice) {
  CHECK_THAT(slice.row_begin >= 0 && slice.row_count >= 0 && slice.row_count <= tensor.rows - slice.row_begin,
             "rows [{}, +{}) of {} in {}", slice.row_begin, slice.row_count, tensor.rows, tensor.name);
  CHECK_THAT(
      slice.column_begin >= 0 && slice.column_count >= 0 && slice.column_count <= tensor.columns - slice.column_begin,
      "columns [{}, +{}) of {} in {}", slice.column_begin, slice.column_count, tensor.columns, tensor.name);
}

void check_finite(const HostMatrix& view, const Slice& slice, std::string_view file, std::string_view tensor) {
  for (std::int64_t row = 0; row < view.rows; ++row) {
    const std::byte* begin = view.data + row * view.stride * size_of(view.dtype);
    const std::int64_t column = first_not_finite(begin, view.columns, view.dtype);
    if (column >= 0)
      throw InputError("{}: tensor {}: the value in row {}, column {} is not finite; the weights are damaged", file,
                       tensor, slice.row_begin + row, slice.column_begin + column);
  }
}

}  // namespace batchscope
