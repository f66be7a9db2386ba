// Fuzz target: a calibration file of any bytes is read, or refused with an InputError.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "telemetry/calibration/calibration.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace batchscope;
  try {
    const auto read =
        calibration::parse_calibration(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
    calibration::parse_calibration(calibration::to_json(read).dump(), "what was written");
  } catch (const InputError&) {
  }
  return 0;
}
