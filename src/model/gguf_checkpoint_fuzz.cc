// Fuzzes GGUF models: a file that is accepted has sizes within their limits, and every slice of every tensor can be
// read.
#include <spdlog/spdlog.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "base/error.h"
#include "model/gguf_checkpoint.h"

using namespace batchscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spdlog::set_level(spdlog::level::off);
  try {
    auto checkpoint = std::make_unique<const GgufCheckpoint>(std::as_bytes(std::span(data, size)), "fuzz");
    const ModelConfig config = gguf_config(*checkpoint);
    if (config.heads % config.kv_heads != 0 || config.layers > ModelLimits::layers) std::abort();
    const auto weights = gguf_weights(std::move(checkpoint), config);
    std::vector<std::byte> scratch;
    for (const WeightShape& shape : weight_shapes(config)) {
      const std::int64_t row = shape.rows / 2, column = shape.columns / 3;
      try {
        weights->read(shape, {0, shape.rows, 0, shape.columns}, scratch);
        const HostMatrix part = weights->read(shape, {row, shape.rows - row, column, 1}, scratch);
        if (part.rows != shape.rows - row || part.columns != 1) std::abort();
      } catch (const InputError&) {  // a value that is not finite
      }
    }
  } catch (const InputError&) {
  }
  return 0;
}
