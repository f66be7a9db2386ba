// What goes wrong in a scenario, and when.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "telemetry/nvml/fake/load.h"

namespace batchscope::nvml::fake {

enum class FaultKind { lost, hang, answer, reset, xid, ecc };
struct Fault {
  FaultKind kind = FaultKind::lost;
  std::optional<int> gpu{};  // absent: all
  Nanoseconds from{}, until = for_ever;
  std::vector<std::string> calls{};  // functions, and fields by number; none: all
  Return result = success;           // of `answer`
  std::vector<Rate> counters{};      // of `reset`
  std::uint64_t xid = 0;
  std::uint64_t corrected = 0, uncorrected = 0;  // of `ecc`

  bool concerns(int which, Nanoseconds time) const { return (!gpu || *gpu == which) && time >= from && time < until; }
  bool concerns(int which, std::string_view call, Nanoseconds time) const;
};

// Throws InputError.
Fault parse_fault(const JsonObject& object, std::size_t gpus);
// InputError unless it is a function of NVML or a field's number; `name` begins the message.
void check_call(const std::string& call, const std::string& name);

}  // namespace batchscope::nvml::fake
