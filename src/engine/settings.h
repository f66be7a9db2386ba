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
#include "tensor/dtype.h"

namespace batchscope {

// --fusion: each fused form by name; the plain form has the same numbers within a tolerance.
struct Fusion {
  bool qkv = false;        // query, key and value projections as one GEMM
  bool swiglu = false;     // gate and up projections as one GEMM, SwiGLU behind it
  bool norm = false;       // residual addition and RMSNorm in one pass
  bool attention = false;  // RoPE and attention without a score matrix
  bool comm = false;       // all-reduce, residual addition and RMSNorm behind one name
  bool graph = false;      // replay of a captured graph, where the device has graphs
  bool operator==(const Fusion&) const = default;
};
// "off" | "on" | a comma-separated list of the names above. The words, the first two of which stand alone:
inline constexpr std::array<std::string_view, 8> fusion_words{"off",  "on",        "qkv",  "swiglu",
                                                              "norm", "attention", "comm", "graph"};
Fusion parse_fusion(std::string_view text);
std::string to_string(const Fusion& fusion);  // "off", "on" (all that a device without graphs has), or the list

enum class Packing { padded, packed, prefix };
inline constexpr std::array<std::string_view, 3> packing_words{"padded", "packed", "prefix"};
Packing parse_packing(std::string_view text);
std::string to_string(Packing packing);

// Which devices: "cpu:4" four virtual devices; "cuda:0,1" GPUs by number.
struct DeviceSpec {
  std::string kind = "cpu";        // "cpu" | "cuda"
  std::vector<int> numbers = {0};  // one a device
  int count() const { return static_cast<int>(numbers.size()); }
};
DeviceSpec parse_device(std::string_view text);
std::string to_string(const DeviceSpec& device);

// Fixed while a model stays loaded.
struct Placement {
  DeviceSpec device;
  Layout layout;
  DType dtype = DType::f32;
  std::optional<int> threads;  // of each device's worker; absent: threads_of()
};
// Threads of each device's worker: what is set, or an even share of the CPUs that this process may use.
int threads_of(const Placement& placement);
// InputError when there are fewer devices than ranks.
void check(const Placement& placement);

// May change from run to run.
struct RunSettings {
  Fusion fusion;
  std::int64_t batch = 1;                    // sequences a batch, at most
  std::optional<std::int64_t> batch_tokens;  // tokens a batch computes when scoring, padding included, at most
  Packing packing = Packing::padded;
  std::optional<std::int64_t> device_memory_bytes;  // absent: as much as the device has
  LinkSpec link;
};

}  // namespace batchscope
