// NVML, loaded at run time: its functions, and its answers in words.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "telemetry/nvml/api.h"

namespace batchscope::nvml {

constexpr const char* default_file = "libnvidia-ml.so.1";

// Why a call gave nothing, as one phrase of static lifetime (a reading's reason).
const char* reason_of(Return result);

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
};

class Library {
 public:
  // Loads it and calls nvmlInit_v2. Throws Failure with the loader's words when it does not load; init() says whether
  // the driver answers. Never unloaded: drivers do not take kindly to that.
  explicit Library(const std::string& file = default_file);

  Return init() const { return init_; }
  const Functions& functions() const { return functions_; }
  const Functions* operator->() const { return &functions_; }

  // "580.159.04"; absent when the driver does not say.
  std::optional<std::string> driver_version() const;
  std::optional<std::string> nvml_version() const;

  // All GPUs that answer, in NVML's order. `refused`, where given, takes one line a GPU that does not.
  std::vector<Gpu> gpus(std::vector<std::string>* refused = nullptr) const;

 private:
  Functions functions_;
  Return init_ = uninitialized;
};

// This machine's library, loaded once; null when there is none or it has no driver: `why` takes the reason.
std::shared_ptr<const Library> library(std::string* why = nullptr);

}  // namespace batchscope::nvml
