// Fuzzes model.safetensors.index.json: no accepted file name leads out of the folder.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    for (const auto& [tensor, file] :
         batchscope::parse_safetensors_index({reinterpret_cast<const char*>(data), size}, "fuzz"))
      if ((std::filesystem::path("/folder") / file).lexically_normal().parent_path() != "/folder") std::abort();
  } catch (const batchscope::InputError&) {
  }
  return 0;
}
