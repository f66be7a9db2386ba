// NVML, loaded at run time: its functions, and its answers in words.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "telemetry/nvml/api.h"

namespace batchscope::nvml {

constexpr const char* default_file = "libnvidia-ml.so.1";

// Why a call gave nothing, as one phrase of static lifetime (a reading's reason).
const char* reason_of(Return result);
// Whether that phrase says that nothing of the GPU can be read, rather than one value.
bool is_no_gpu(std::string_view reason);

// What a value of that type holds.
double number_of(const Value& value, ValueType type);
std::int64_t integer_of(const Value& value, ValueType type);

// A GPU as the driver lists it.
struct Gpu {
  Device device = nullptr;
  int index = 0;         // NVML's own, by PCI bus id
  std::string uuid{};    // "GPU-…": what it is known by everywhere
  std::string name{};    // "NVIDIA H200"
  std::string bus_id{};  // "00000000:3B:00.0"
  // Of a part of a GPU (MIG), whose `device`, UUID and name are its own: "NVIDIA H200 MIG 1g.18gb".
  struct Instance {
    int index = 0;                   // of the MIG device on its GPU, as nvidia-smi counts them
    Device whole = nullptr;          // the GPU
    std::uint32_t gpu_instance = 0;  // number of its slice
  };
  std::optional<Instance> instance{};

  std::string mig_profile() const { return name.substr(name.rfind(' ') + 1); }  // of an instance: "1g.18gb"
};

// What the driver does not give, and why: a GPU that it lists, or itself.
struct Refusal {
  std::optional<int> gpu{};
  std::string why{};
  std::string bus_id{};      // of one that sleeps
  std::string text() const;  // "GPU 1: the GPU is lost: it fell off the bus"
};

class Library {
 public:
  // Loads it and calls nvmlInit_v2. Throws Failure with the loader's words when it does not load; init() says whether
  // the driver answers. Never unloaded: drivers do not take kindly to that.
  explicit Library(const std::string& file = default_file);

  Return init() const { return init_; }
  const Functions& functions() const { return functions_; }
  const Functions* operator->() const { return &functions_; }

  // "580.159.04"; absent when the driver does not say. Asked once: later it may hang with a GPU.
  const std::optional<std::string>& driver_version() const { return driver_version_; }
  const std::optional<std::string>& nvml_version() const { return nvml_version_; }

  // All GPUs that are wanted, do not sleep, and answer within driver_patience(), in NVML's order. `refused`, where
  // given, takes those that do not.
  std::vector<Gpu> gpus(std::vector<Refusal>* refused = nullptr,
                        const std::function<bool(int index)>& is_wanted = {}) const;
  // One GPU; absent: `why` takes the reason. Wakes none. May never return.
  std::optional<Gpu> open(std::uint32_t index, std::string& why) const;
  // Parts of a GPU (MIG).
  std::vector<Gpu> instances(const Gpu& gpu) const;

 private:
  Functions functions_;
  Return init_ = uninitialized;
  std::optional<std::string> driver_version_, nvml_version_;
};

// How long the driver may take when it is first asked: 30 s, as many GPUs without persistence mode may need, or the
// seconds of BATCHSCOPE_DRIVER_TIMEOUT.
Nanoseconds driver_patience();

// This machine's library, loaded once; null when there is none, it has no driver or that does not answer in time: `why`
// takes the reason.
std::shared_ptr<const Library> library(std::string* why = nullptr);
// Where there was none: asks once more, and remembers it when it answers. May never return.
std::shared_ptr<const Library> library_again(std::string& why);
// Whether it can be loaded, so that there should be GPUs.
bool is_installed();

}  // namespace batchscope::nvml
