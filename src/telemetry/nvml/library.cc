// Loading NVML (telemetry/nvml/library.h).
#include "telemetry/nvml/library.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "base/attempt.h"
#include "base/error.h"
#include "base/shared_library.h"
#include "telemetry/nvml/sleeping_gpus.h"

namespace batchscope::nvml {
namespace {

template <class Number>
Number held_by(const Value& value, ValueType type) {
  switch (type) {
    case value_double:
      return static_cast<Number>(value.real);
    case value_unsigned_int:
      return static_cast<Number>(value.unsigned_int);
    case value_signed_int:
      return static_cast<Number>(value.signed_int);
    case value_unsigned_short:
      return static_cast<Number>(value.unsigned_short);
    case value_signed_long_long:
      return static_cast<Number>(value.signed_long);
    case value_unsigned_long:
    case value_unsigned_long_long:
      break;
  }
  return static_cast<Number>(value.unsigned_long);
}

template <std::size_t size, class Call>
std::optional<std::string> text_of(const Call& call) {
  std::array<char, size> text{};
  if (call(text.data(), static_cast<std::uint32_t>(size)) != success) return std::nullopt;
  text.back() = '\0';
  return std::string(text.data());
}

}  // namespace

const char* reason_of(Return result) {
  switch (result) {
    case success:
      return "the driver gave a value";
    case uninitialized:
      return "NVML is not initialised";
    case invalid_argument:
      return "the driver does not know the value in question";
    case not_supported:
      return "not supported by this GPU or driver";
    case no_permission:
      return "permission refused by the driver";
    case not_found:
      return "the driver cannot find it";
    case insufficient_size:
      return "the driver's answer does not fit";
    case driver_not_loaded:
      return "the NVIDIA kernel driver is not loaded";
    case timeout:
      return "the driver did not answer in time";
    case function_not_found:
      return "this driver is too old for it";
    case gpu_is_lost:
      return "the GPU is lost: it fell off the bus";
    case reset_required:
      return "the GPU must be reset";
    case operating_system:
      return "the operating system blocks the GPU";
    case version_mismatch:
      return "the driver's library and kernel module have different versions; reboot";
    case in_use:
      return "the GPU is in use by another program";
    case no_data:
      return "the driver has no data";
    case argument_version_mismatch:
      return "this driver does not know this form of the call";
    case not_ready:
      return "the driver is not ready";
    case unknown:
      return "the driver reports an unknown error";
  }
  return "the driver reports an error without a name";
}

bool is_no_gpu(std::string_view reason) {
  constexpr std::array of_all{uninitialized, driver_not_loaded, gpu_is_lost, reset_required, version_mismatch};
  return std::any_of(of_all.begin(), of_all.end(), [&](Return result) { return reason == reason_of(result); });
}

double number_of(const Value& value, ValueType type) { return held_by<double>(value, type); }
std::int64_t integer_of(const Value& value, ValueType type) { return held_by<std::int64_t>(value, type); }

Library::Library(const std::string& file) {
  const SharedLibrary library(file);
#define BATCHSCOPE_NVML_RESOLVE(name, parameters) library.resolve(#name, functions_.name);
  BATCHSCOPE_NVML_FUNCTIONS(BATCHSCOPE_NVML_RESOLVE)
#undef BATCHSCOPE_NVML_RESOLVE
  init_ = functions_.nvmlInit_v2();
  if (init_ != success) return;
  driver_version_ = text_of<version_size>(functions_.nvmlSystemGetDriverVersion);
  nvml_version_ = text_of<version_size>(functions_.nvmlSystemGetNVMLVersion);
}

Nanoseconds driver_patience() {
  const char* set = std::getenv("BATCHSCOPE_DRIVER_TIMEOUT");
  const std::string_view text = set != nullptr ? set : "";
  double seconds = 30;
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return from_seconds(std::clamp(seconds, 0.1, 3600.0));
}

std::string Refusal::text() const { return gpu ? fmt::format("GPU {}: {}", *gpu, why) : why; }

namespace {

// A GPU, or why it is none.
struct Opened {
  std::optional<Gpu> gpu{};
  std::string why{};
};

std::optional<std::string> uuid_of(const Functions& functions, Device device) {
  return text_of<uuid_size>(
      [&](char* text, std::uint32_t size) { return functions.nvmlDeviceGetUUID(device, text, size); });
}

std::string name_of(const Functions& functions, Device device) {
  return text_of<name_size>(
             [&](char* text, std::uint32_t size) { return functions.nvmlDeviceGetName(device, text, size); })
      .value_or("GPU without a name");
}

Opened open_gpu(const Functions& functions, std::uint32_t index) {
  Gpu gpu{.index = static_cast<int>(index)};
  if (const Return opened = functions.nvmlDeviceGetHandleByIndex_v2(index, &gpu.device); opened != success)
    return {.why = reason_of(opened)};
  const auto uuid = uuid_of(functions, gpu.device);
  if (!uuid) return {.why = "it has no UUID"};
  gpu.uuid = *uuid;
  gpu.name = name_of(functions, gpu.device);
  Pci pci{};
  if (functions.nvmlDeviceGetPciInfo_v3(gpu.device, &pci) == success) {
    pci.bus_id[sizeof pci.bus_id - 1] = '\0';
    gpu.bus_id = pci.bus_id;
  }
  return {.gpu = std::move(gpu)};
}

// Waits, and says after a while for what.
template <class Result>
std::optional<Result> patiently(Attempt<Result>& attempt, Nanoseconds deadline, std::string_view call) {
  constexpr Nanoseconds until_said = std::chrono::seconds(3);
  const Nanoseconds soon = monotonic_clock().now() + until_said;
  if (soon < deadline) {
    if (auto result = attempt.wait_until(soon)) return result;
    spdlog::warn("waiting for the NVIDIA driver, which has not returned from {} yet", call);
  }
  return attempt.wait_until(deadline);
}

std::string not_returned(std::string_view call) {
  return fmt::format("the driver has not returned from {}; see dmesg; the machine may have to be rebooted", call);
}

}  // namespace

std::optional<Gpu> Library::open(std::uint32_t index, std::string& why) const {
  std::uint32_t count = 0;
  if (functions_.nvmlDeviceGetCount_v2(&count) == success && sleeping_gpu(index, count)) {
    why = sleep_reason;
    return std::nullopt;
  }
  Opened opened = open_gpu(functions_, index);
  why = std::move(opened.why);
  return std::move(opened.gpu);
}

std::vector<Gpu> Library::instances(const Gpu& gpu) const {
  std::vector<Gpu> all;
  std::uint32_t current = 0, pending = 0, most = 0;
  if (gpu.instance) return all;  // it is one itself
  if (functions_.nvmlDeviceGetMigMode(gpu.device, &current, &pending) != success || current == 0 ||
      functions_.nvmlDeviceGetMaxMigDeviceCount(gpu.device, &most) != success)
    return all;
  for (std::uint32_t i = 0; i < most; ++i) {
    Gpu part = gpu;
    part.instance = {.index = static_cast<int>(i), .whole = gpu.device};
    if (functions_.nvmlDeviceGetMigDeviceHandleByIndex(gpu.device, i, &part.device) != success ||
        functions_.nvmlDeviceGetGpuInstanceId(part.device, &part.instance->gpu_instance) != success)
      continue;
    const auto uuid = uuid_of(functions_, part.device);
    if (!uuid) continue;
    part.uuid = *uuid;
    part.name = name_of(functions_, part.device);
    all.push_back(std::move(part));
  }
  return all;
}

std::vector<Gpu> Library::gpus(std::vector<Refusal>* refused, const std::function<bool(int)>& is_wanted) const {
  const auto refuse = [&](std::optional<int> gpu, std::string why, std::string bus_id = "") {
    if (refused != nullptr) refused->push_back({.gpu = gpu, .why = std::move(why), .bus_id = std::move(bus_id)});
  };
  const Nanoseconds deadline = monotonic_clock().now() + driver_patience();
  std::uint32_t count = 0;
  if (const Return counted = functions_.nvmlDeviceGetCount_v2(&count); counted != success) {
    refuse({}, fmt::format("GPUs cannot be counted: {}", reason_of(counted)));
    return {};
  }
  std::vector<std::pair<std::uint32_t, Attempt<Opened>>> attempts;  // beside each other: one that hangs hides no other
  for (std::uint32_t i = 0; i < count; ++i) {
    if (is_wanted && !is_wanted(static_cast<int>(i))) continue;
    if (auto bus_id = sleeping_gpu(i, count))
      refuse(static_cast<int>(i), sleep_reason, std::move(*bus_id));
    else
      attempts.emplace_back(i, [functions = functions_, i] { return open_gpu(functions, i); });
  }
  std::vector<Gpu> gpus;
  for (auto& [i, attempt] : attempts) {
    const std::string call = fmt::format("nvmlDeviceGetHandleByIndex({})", i);
    auto opened = patiently(attempt, deadline, call);
    if (opened && opened->gpu)
      gpus.push_back(std::move(*opened->gpu));
    else
      refuse(static_cast<int>(i), opened ? opened->why : not_returned(call));
  }
  return gpus;
}

namespace {

struct Loaded {
  std::shared_ptr<const Library> library{};
  std::string why{};
  bool is_installed = true;
};

Loaded load() {
  try {
    auto opened = std::make_shared<const Library>();
    if (opened->init() == success) return {.library = opened};
    return {.why = reason_of(opened->init())};
  } catch (const Failure& failure) {
    return {.why = failure.what(), .is_installed = false};
  }
}

Loaded load_patiently() {
  Attempt<Loaded> attempt(load);
  auto loaded = patiently(attempt, monotonic_clock().now() + driver_patience(), "nvmlInit");
  return loaded ? std::move(*loaded) : Loaded{.why = not_returned("nvmlInit")};
}

// Outlives main(): threads that were left behind may still come to it.
struct Remembered {
  std::mutex mutex{};
  std::optional<Loaded> loaded{};
};
Remembered& remembered() {
  static auto& all = *new Remembered;
  return all;
}

Loaded loaded() {
  Remembered& all = remembered();
  const std::lock_guard guard(all.mutex);
  if (!all.loaded) all.loaded = load_patiently();
  return *all.loaded;
}

}  // namespace

std::shared_ptr<const Library> library(std::string* why) {
  Loaded found = loaded();
  if (why != nullptr) *why = std::move(found.why);
  return found.library;
}

std::shared_ptr<const Library> library_again(std::string& why) {
  if (auto found = library(&why)) return found;
  Loaded again = load();
  why = again.why;
  const std::lock_guard guard(remembered().mutex);
  if (again.library != nullptr) remembered().loaded = again;
  return again.library;
}

bool is_installed() { return loaded().is_installed; }

}  // namespace batchscope::nvml
