// Any bytes as a worker's message: a cell or a result, or an InputError.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "study/cell.h"
#include "study/records.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace batchscope;
  try {
    const nlohmann::json json = parse_json({reinterpret_cast<const char*>(data), size}, "fuzz.json");
    if (json.contains("result"))
      to_json(cell_records_from_json(json));
    else
      to_json(cell_spec_from_json(json));
  } catch (const InputError&) {
  }
  return 0;
}
