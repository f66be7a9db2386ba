// Reading fields (telemetry/nvml/field_values.h).
#include "telemetry/nvml/field_values.h"

namespace batchscope::nvml {

FieldValues::FieldValues(std::span<const WantedField> wanted) {
  for (const WantedField& field : wanted) values_.push_back({.field = field.field, .scope = field.scope});
  values_.resize(wanted.size() + room);
}

Return FieldValues::read(const Functions& functions, Device device) {
  return functions.nvmlDeviceGetFieldValues(device, static_cast<int>(values().size()), values_.data());
}

}  // namespace batchscope::nvml
