// What a user may set of a run, parsed once: the words of eval's flags and of study files.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/link.h"
#include "parallel/layout.h"
#include "provider/device_provider.h"
#include "tensor/precision.h"

namespace batchscope {

// --fusion: each fused form by name; the plain form has the same numbers within a tolerance.
struct Fusion {
  bool qkv = false;        // query, key and value projections as one GEMM
  bool swiglu = false;     // gate and up projections as one GEMM, SwiGLU behind it
  bool norm = false;       // residual addition and RMSNorm in one pass
  bool attention = false;  // RoPE and attention without a score matrix
  bool comm = false;       // all-reduce, residual addition and RMSNorm behind one name
  bool graph = false;      // replay of captured graphs; a device without them does without
  bool overlap = false;  // two halves of a large batch take turns, so that one is reduced while the other is computed;
                         // a device that does one thing at a time does without
  bool operator==(const Fusion&) const = default;
};
// "off" | "on" | a comma-separated list of the names above. The words, the first two of which stand alone:
inline constexpr std::array<std::string_view, 9> fusion_words{"off",       "on",   "qkv",   "swiglu", "norm",
                                                              "attention", "comm", "graph", "overlap"};
Fusion parse_fusion(std::string_view text);
std::string to_string(const Fusion& fusion);  // "off", "on", or the list

enum class Packing { padded, packed, prefix };
inline constexpr std::array<std::string_view, 3> packing_words{"padded", "packed", "prefix"};
Packing parse_packing(std::string_view text);
std::string to_string(Packing packing);

// Fixed while a model stays loaded.
struct Placement {
  DeviceSpec device;
  Layout layout;
  DType dtype = DType::f32;  // to compute in, and to keep everything in that says nothing else
  std::optional<DType> weights_dtype, kv_dtype;
  std::optional<int> threads;  // of each device's worker on the host; absent: an equal share of the available CPUs

  Precision precision() const { return {weights_dtype.value_or(dtype), dtype, kv_dtype.value_or(dtype)}; }
};
// Where that many ranks share the CPUs; by default all do.
DeviceUse use_of(const Placement& placement, std::optional<int> cpu_sharers = {});
// InputError when there are fewer devices than ranks. Under a launcher each host has these devices, and how many are
// needed shows in the world.
void check(const Placement& placement);
void check(const Placement& placement, const World& world);

// May change from run to run.
struct RunSettings {
  Fusion fusion;
  std::int64_t batch = 1;                    // sequences a batch, at most
  std::optional<std::int64_t> batch_tokens;  // tokens a batch computes when scoring, padding included, at most
  Packing packing = Packing::padded;
  std::optional<std::int64_t> device_memory_bytes;  // absent: as much as the device has
  LinkSpec link;
  bool observe_steps = false;  // once the run is over, the largest step of each kind again (ObservedStep)
};

}  // namespace batchscope
