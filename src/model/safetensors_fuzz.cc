// Fuzzes safetensors headers: whatever is accepted lies inside the file, tensor after tensor.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    std::uint64_t sum = 0;
    for (const auto& [name, entry] : batchscope::parse_safetensors(std::as_bytes(std::span(data, size)), "fuzz")) {
      if (entry.offset > size || entry.bytes > size - entry.offset) std::abort();
      sum += entry.bytes;
    }
    if (sum > size) std::abort();  // overlaps
  } catch (const batchscope::InputError&) {
  }
  return 0;
}
