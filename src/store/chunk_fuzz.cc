// Fuzz target: the chunk decoders take any bytes, and what they decode encodes to the same values again.
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "store/chunk.h"

using namespace batchscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const DecodedTicks ticks = decode_ticks(bytes);
    const DecodedTicks again = decode_ticks(encode_ticks(ticks.before, ticks.after));
    if (again.before != ticks.before || again.after != ticks.after) std::abort();
  } catch (const InputError&) {
  }
  try {
    const DecodedColumn column = decode_column(bytes);
    const bool integers = column.reals.empty();
    const DecodedColumn again = decode_column(integers ? encode_integers(column.integers, column.present)
                                                       : encode_reals(column.reals, column.present));
    if (again.integers != column.integers || again.present != column.present) std::abort();
    for (std::size_t i = 0; i < column.reals.size(); ++i)
      if (std::bit_cast<std::uint64_t>(again.reals[i]) != std::bit_cast<std::uint64_t>(column.reals[i])) std::abort();
  } catch (const InputError&) {
  }
  return 0;
}
