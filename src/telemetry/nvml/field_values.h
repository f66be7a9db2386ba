// Fields that are read by one call.
#pragma once

#include <span>
#include <vector>

#include "telemetry/nvml/library.h"

namespace batchscope::nvml {

struct WantedField {
  std::uint32_t field = 0;
  std::uint32_t scope = 0;  // a link, or all_links
};

// NVML (580.159, H100 and H200) was seen to write into the value behind one of an NVLink sum, whether the caller has
// one there or not: these have room behind them.
class FieldValues {
 public:
  explicit FieldValues(std::span<const WantedField> wanted);

  Return read(const Functions& functions, Device device);
  // As of the last read, in the order of `wanted`; each has a result of its own.
  std::span<const FieldValue> values() const { return {values_.data(), values_.size() - room}; }

 private:
  static constexpr std::size_t room = 8;
  std::vector<FieldValue> values_;
};

}  // namespace batchscope::nvml
