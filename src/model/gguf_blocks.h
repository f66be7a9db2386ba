// De-quantisation: blocks of a GGUF tensor to f32, bit for bit what the format's formulas give in f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "model/gguf.h"
#include "tensor/dtype.h"

namespace batchscope {

// The types whose values we can read, by the format's numbers.
enum class GgufFormat : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30
};

constexpr std::int64_t largest_gguf_block = 256;  // elements, of the types above

// Nothing for types that are not among them.
std::optional<GgufFormat> format_of(const GgufTensorType& type);
std::string_view supported_gguf_types();  // for errors
// What the elements are where they lie plainly in the file; nothing for quantised ones.
std::optional<DType> plain_dtype(GgufFormat format);

// `out` has room for all elements of the blocks, which may be unaligned.
void dequantise(GgufFormat format, const std::byte* blocks, std::int64_t block_count, float* out);

}  // namespace batchscope
