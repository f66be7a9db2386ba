// Checks of slices and their values (model/weight_checks.h).
#include "model/weight_checks.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "base/target_clones.h"

namespace batchscope {
namespace {

constexpr std::uint32_t f32_exponent = 0x7f800000u;
constexpr std::uint16_t bf16_exponent = 0x7f80u, f16_exponent = 0x7c00u;
constexpr std::uint8_t fp8_not_a_number = 0x7fu;  // which has no infinities

template <class Word>
[[gnu::always_inline]] inline Word word_at(const std::byte* row, std::int64_t column) {
  Word word;
  std::memcpy(&word, row + column * static_cast<std::int64_t>(sizeof(Word)), sizeof(Word));  // may be unaligned
  return word;
}

// Whether any value has all bits of its exponent set: infinite, or not a number.
template <class Word>
[[gnu::always_inline]] inline bool any_not_finite(const std::byte* row, std::int64_t columns, Word exponent) {
  Word most = 0;
  for (std::int64_t i = 0; i < columns; ++i)
    most = std::max<Word>(most, static_cast<Word>(word_at<Word>(row, i) & exponent));
  return most == exponent;
}

BATCHSCOPE_TARGET_CLONES
bool any_not_finite(const std::byte* row, std::int64_t columns, DType dtype) {
  if (dtype == DType::f32) return any_not_finite(row, columns, f32_exponent);
  if (dtype == DType::fp8) return any_not_finite(row, columns, fp8_not_a_number);
  return any_not_finite(row, columns, dtype == DType::bf16 ? bf16_exponent : f16_exponent);
}

template <class Word>
std::int64_t first_not_finite(const std::byte* row, Word exponent) {
  std::int64_t column = 0;
  while ((word_at<Word>(row, column) & exponent) != exponent) ++column;
  return column;
}

// Of a row in which there is one.
std::int64_t first_not_finite(const std::byte* row, DType dtype) {
  if (dtype == DType::f32) return first_not_finite(row, f32_exponent);
  if (dtype == DType::fp8) return first_not_finite(row, fp8_not_a_number);
  return first_not_finite(row, dtype == DType::bf16 ? bf16_exponent : f16_exponent);
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
    if (any_not_finite(begin, view.columns, view.dtype))
      throw InputError("{}: tensor {}: the value in row {}, column {} is not finite; the weights are damaged", file,
                       tensor, slice.row_begin + row, slice.column_begin + first_not_finite(begin, view.dtype));
  }
}

}  // namespace batchscope
