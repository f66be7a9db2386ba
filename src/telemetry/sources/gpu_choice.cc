// Names of GPUs and what they are of (sources/gpu_choice.h).
#include "telemetry/sources/gpu_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/error.h"

namespace batchscope {
namespace {

// As NVML writes it; "" for what is none. The domain may be left out, or have four digits, as in sysfs.
std::string nvml_bus_id(const std::string& text) {
  unsigned domain = 0, bus = 0, device = 0, function = 0;
  int read = 0;
  const auto is_whole = [&] { return read == static_cast<int>(text.size()); };
  const bool has_domain =
      std::sscanf(text.c_str(), "%8x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &read) == 4 && is_whole();
  if (!has_domain) {
    domain = 0;
    if (std::sscanf(text.c_str(), "%2x:%2x.%1x%n", &bus, &device, &function, &read) != 3 || !is_whole()) return "";
  }
  return fmt::format("{:08X}:{:02X}:{:02X}.{:X}", domain, bus, device, function);
}

template <class Wanted, class Kept>
void leave(std::vector<Kept>& all, const std::vector<Wanted>& wanted) {
  std::erase_if(all, [&](const Kept& one) {
    return std::none_of(wanted.begin(), wanted.end(), [&](const Wanted& name) { return name.is_of(one); });
  });
}

std::string described(const NvmlGpu& gpu) {
  return fmt::format("{} ({}, {})", gpu.gpu.index, gpu.gpu.uuid, gpu.gpu.bus_id);
}
std::string described(const nvml::Refusal& refusal) { return fmt::format("{} ({})", *refusal.gpu, refusal.why); }

}  // namespace

GpuChoice::GpuChoice(const std::vector<std::string>& names) {
  for (const std::string& name : names) names_.push_back(parse(name));
}

GpuChoice::Name GpuChoice::parse(const std::string& text) {
  Name name{.text = text};
  int index = 0;
  const char* end = text.data() + text.size();
  if (const auto read = std::from_chars(text.data(), end, index);
      read.ec == std::errc() && read.ptr == end && index >= 0)
    name.index = index;
  else if (text.starts_with("GPU-"))
    name.uuid = text;
  else if (name.bus_id = nvml_bus_id(text); name.bus_id.empty())
    throw InputError("{}: '{}' is no GPU's index (0), UUID (GPU-…) or PCI bus id (0000:3b:00.0)", gpus_flag, text);
  return name;
}

bool GpuChoice::Name::is_of(const NvmlGpu& gpu) const {
  if (index) return *index == gpu.gpu.index;
  return uuid.empty() ? nvml_bus_id(gpu.gpu.bus_id) == bus_id : gpu.gpu.uuid.starts_with(uuid);
}

bool GpuChoice::Name::is_of(const nvml::Refusal& refusal) const {
  if (index) return refusal.gpu == index;
  return !bus_id.empty() && nvml_bus_id(refusal.bus_id) == bus_id;
}

bool GpuChoice::may_want(int index) const {
  return is_all() || std::any_of(names_.begin(), names_.end(),
                                 [&](const Name& name) { return !name.index || *name.index == index; });
}

std::string GpuChoice::problem(const std::vector<NvmlGpu>& gpus, const std::vector<nvml::Refusal>& missing) const {
  std::vector<std::string> there;
  for (const NvmlGpu& gpu : gpus) there.push_back(described(gpu));
  for (const nvml::Refusal& refusal : missing) {
    if (!refusal.gpu && !is_all()) return fmt::format("{}: there is no GPU: {}", gpus_flag, refusal.why);
    if (refusal.gpu) there.push_back(described(refusal));
  }
  for (const Name& name : names_) {
    const auto is_it = [&](const auto& one) { return name.is_of(one); };
    const auto found =
        std::count_if(gpus.begin(), gpus.end(), is_it) + std::count_if(missing.begin(), missing.end(), is_it);
    if (found == 0)
      return fmt::format("{}: there is no GPU {}; there {} {}", gpus_flag, name.text, there.size() == 1 ? "is" : "are",
                         there.empty() ? "none" : fmt::format("{}", fmt::join(there, ", ")));
    if (found > 1) return fmt::format("{}: {} GPUs' UUIDs begin with {}; give more of it", gpus_flag, found, name.text);
  }
  return "";
}

void GpuChoice::keep(std::vector<NvmlGpu>& gpus, std::vector<nvml::Refusal>& missing) const {
  if (is_all()) return;
  leave(gpus, names_);
  leave(missing, names_);
}

}  // namespace batchscope
