// What device memory is used for, and how much of it was.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace batchscope {

enum class MemoryUse { weights, kv, activations, workspace, communication, context };
constexpr std::array memory_uses{MemoryUse::weights,       MemoryUse::kv,
                                 MemoryUse::activations,   MemoryUse::workspace,
                                 MemoryUse::communication, MemoryUse::context};
std::string_view name_of(MemoryUse use);  // "weights", "kv", …

using BytesByUse = std::array<std::int64_t, memory_uses.size()>;

struct MemoryReport {
  std::optional<std::int64_t> capacity_bytes;  // absent: not limited
  std::optional<std::int64_t> planned_bytes;   // by the plan of the same run
  std::optional<std::int64_t> peak_bytes;      // the arena's high-water mark
};

}  // namespace batchscope
