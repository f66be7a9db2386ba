// Fuzzes config.json and written-out shapes: any bytes give a configuration within its limits, or an InputError.
#include <spdlog/spdlog.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/config.h"
#include "model/rope_frequencies.h"

namespace {

// Whatever was accepted must be safe to compute with.
void use(const batchscope::ModelConfig& config) {
  batchscope::check_sizes(config, "accepted");
  if (config.parameters() <= 0 || config.longest_input() < config.max_positions) std::abort();
  const auto frequencies = batchscope::inverse_frequencies(config, config.longest_input());
  if (static_cast<std::int64_t>(frequencies.size()) != config.head_dim / 2) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spdlog::set_level(spdlog::level::off);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    use(batchscope::parse_huggingface_config(text, "config.json"));
  } catch (const batchscope::InputError&) {
  }
  try {
    // A list of sizes only: other shapes are paths, and this target touches no files.
    if (text.find('=') < text.find_first_of(std::string_view("/\0", 2))) use(batchscope::parse_model_shape(text));
  } catch (const batchscope::InputError&) {
  }
  return 0;
}
