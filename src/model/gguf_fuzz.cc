// Fuzzes GGUF headers: whatever is accepted lies inside the file, and every value can be asked for in every type.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>

#include "base/error.h"
#include "model/gguf.h"

namespace {

using batchscope::Gguf;

// True when this type is what the value has.
template <class Ask>
bool answers(Ask ask) {
  try {
    ask();
    return true;
  } catch (const batchscope::InputError&) {
    return false;
  }
}

void ask_everything(const Gguf& gguf, std::string_view key) {
  constexpr auto low = std::numeric_limits<std::int64_t>::min(), high = std::numeric_limits<std::int64_t>::max();
  constexpr double infinite = std::numeric_limits<double>::infinity();
  const int single = answers([&] { gguf.integer(key, low, high); }) +
                     answers([&] { gguf.number(key, -infinite, infinite); }) + answers([&] { gguf.boolean(key); }) +
                     answers([&] { gguf.text(key); });
  const int array = answers([&] {
                      if (gguf.texts(key).size() != gguf.size(key)) std::abort();
                    }) +
                    answers([&] { gguf.numbers(key); }) + answers([&] { gguf.integers(key, low, high); });
  if (gguf.is_array(key) ? single > 0 : single > 1 || array > 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const Gguf gguf(std::as_bytes(std::span(data, size)), "fuzz");
    std::uint64_t sum = 0;
    for (const auto& [name, tensor] : gguf.tensors()) {
      if (tensor.offset > size || tensor.bytes > size - tensor.offset) std::abort();
      sum += tensor.bytes;
    }
    if (sum > size) std::abort();  // overlaps
    for (const std::string_view key : gguf.keys()) ask_everything(gguf, key);
  } catch (const batchscope::InputError&) {
  }
  return 0;
}
