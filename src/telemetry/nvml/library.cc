// Loading NVML (telemetry/nvml/library.h).
#include "telemetry/nvml/library.h"

#include <fmt/format.h>

#include <array>

#include "base/error.h"
#include "base/shared_library.h"

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
      return "the driver does not know what was asked for";
    case not_supported:
      return "not supported by this GPU or driver";
    case no_permission:
      return "permission refused by the driver";
    case not_found:
      return "the driver does not find it";
    case insufficient_size:
      return "the driver has more to say than there is room for";
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
      return "the GPU is in use by somebody else";
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

double number_of(const Value& value, ValueType type) { return held_by<double>(value, type); }
std::int64_t integer_of(const Value& value, ValueType type) { return held_by<std::int64_t>(value, type); }

Library::Library(const std::string& file) {
  const SharedLibrary library(file);
#define BATCHSCOPE_NVML_RESOLVE(name, parameters) library.resolve(#name, functions_.name);
  BATCHSCOPE_NVML_FUNCTIONS(BATCHSCOPE_NVML_RESOLVE)
#undef BATCHSCOPE_NVML_RESOLVE
  init_ = functions_.nvmlInit_v2();
}

std::optional<std::string> Library::driver_version() const {
  return text_of<version_size>(functions_.nvmlSystemGetDriverVersion);
}

std::optional<std::string> Library::nvml_version() const {
  return text_of<version_size>(functions_.nvmlSystemGetNVMLVersion);
}

std::vector<Gpu> Library::gpus(std::vector<std::string>* refused) const {
  std::vector<Gpu> gpus;
  std::uint32_t count = 0;
  const Return counted = functions_.nvmlDeviceGetCount_v2(&count);
  if (counted != success && refused != nullptr)
    refused->push_back(fmt::format("GPUs cannot be counted: {}", reason_of(counted)));
  for (std::uint32_t i = 0; counted == success && i < count; ++i) {
    Gpu gpu{.index = static_cast<int>(i)};
    const Return opened = functions_.nvmlDeviceGetHandleByIndex_v2(i, &gpu.device);
    const auto uuid = opened != success ? std::nullopt : text_of<uuid_size>([&](char* text, std::uint32_t size) {
      return functions_.nvmlDeviceGetUUID(gpu.device, text, size);
    });
    if (!uuid) {
      if (refused != nullptr)
        refused->push_back(fmt::format("GPU {}: {}", i, opened == success ? "it has no UUID" : reason_of(opened)));
      continue;
    }
    gpu.uuid = *uuid;
    gpu.name = text_of<name_size>([&](char* text, std::uint32_t size) {
                 return functions_.nvmlDeviceGetName(gpu.device, text, size);
               }).value_or("GPU without a name");
    Pci pci{};
    if (functions_.nvmlDeviceGetPciInfo_v3(gpu.device, &pci) == success) {
      pci.bus_id[sizeof pci.bus_id - 1] = '\0';
      gpu.bus_id = pci.bus_id;
    }
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

std::shared_ptr<const Library> library(std::string* why) {
  static const auto [loaded, reason] = []() -> std::pair<std::shared_ptr<const Library>, std::string> {
    try {
      auto opened = std::make_shared<const Library>();
      if (opened->init() == success) return {opened, ""};
      return {nullptr, reason_of(opened->init())};
    } catch (const Failure& failure) {
      return {nullptr, failure.what()};
    }
  }();
  if (why != nullptr) *why = reason;
  return loaded;
}

}  // namespace batchscope::nvml
