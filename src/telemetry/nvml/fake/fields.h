// The fields of nvmlDeviceGetFieldValues.
#pragma once

#include "telemetry/nvml/fake/machine.h"

namespace batchscope::nvml::fake {

// Type and value of the field; the result says whether the GPU has it.
Return give_field(const Gpu& gpu, FieldValue& field, Nanoseconds now);

}  // namespace batchscope::nvml::fake
