// Reading and printing of a run's settings.
#include "engine/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/cpus.h"
#include "base/error.h"
#include "base/units.h"

namespace batchscope {
namespace {

// In the order of fusion_words, behind "off" and "on".
constexpr std::array fusion_flags{&Fusion::qkv,       &Fusion::swiglu, &Fusion::norm,
                                  &Fusion::attention, &Fusion::comm,   &Fusion::graph};
constexpr auto fusion_names = std::span(fusion_words).subspan<fusion_words.size() - fusion_flags.size()>();

// "on": everything that every device has; graphs only where they are asked for by name.
constexpr Fusion all_fusions{
    .qkv = true, .swiglu = true, .norm = true, .attention = true, .comm = true, .graph = false};

template <class Visit>
void for_each_part(std::string_view text, const Visit& visit) {
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    visit(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

}  // namespace

Fusion parse_fusion(std::string_view text) {
  if (text == "off") return {};
  if (text == "on") return all_fusions;
  Fusion fusion;
  for_each_part(text, [&](std::string_view name) {
    const auto found = std::find(fusion_names.begin(), fusion_names.end(), name);
    if (found == fusion_names.end())
      throw InputError("--fusion: '{}' is not a fusion; use off, on, or some of {}", name,
                       fmt::join(fusion_names, ","));
    fusion.*fusion_flags[static_cast<std::size_t>(found - fusion_names.begin())] = true;
  });
  return fusion;
}

std::string to_string(const Fusion& fusion) {
  if (fusion == Fusion{}) return "off";
  if (fusion == all_fusions) return "on";
  std::string text;
  for (std::size_t i = 0; i < fusion_names.size(); ++i)
    if (fusion.*fusion_flags[i]) text += fmt::format("{}{}", text.empty() ? "" : ",", fusion_names[i]);
  return text;
}

Packing parse_packing(std::string_view text) {
  const auto found = std::find(packing_words.begin(), packing_words.end(), text);
  if (found == packing_words.end())
    throw InputError("--packing: '{}' is not known; use one of {}", text, fmt::join(packing_words, ", "));
  return static_cast<Packing>(found - packing_words.begin());
}

std::string to_string(Packing packing) { return std::string(packing_words[static_cast<std::size_t>(packing)]); }

DeviceSpec parse_device(std::string_view text) {
  const auto colon = std::min(text.find(':'), text.size());
  DeviceSpec device{.kind = std::string(text.substr(0, colon)), .numbers = {}};
  if (device.kind != "cpu" && device.kind != "cuda")
    throw InputError("--device: '{}' is not known; write cpu:4 (four virtual devices) or cuda:0,1", text);
  const auto rest = colon < text.size() ? text.substr(colon + 1) : (device.kind == "cpu" ? "1" : "0");
  if (device.kind == "cpu") {
    const auto count = parse_integer(rest, 1, 1024, "--device cpu");
    for (int number = 0; number < count; ++number) device.numbers.push_back(number);
  } else {
    for_each_part(rest, [&](std::string_view number) {
      const auto index = static_cast<int>(parse_integer(number, 0, 1023, "--device cuda"));
      if (std::find(device.numbers.begin(), device.numbers.end(), index) != device.numbers.end())
        throw InputError("--device: '{}' names GPU {} twice", text, index);
      device.numbers.push_back(index);
    });
  }
  return device;
}

std::string to_string(const DeviceSpec& device) {
  if (device.kind == "cpu") return fmt::format("cpu:{}", device.count());
  return fmt::format("{}:{}", device.kind, fmt::join(device.numbers, ","));
}

int threads_of(const Placement& placement) {
  if (placement.threads) return *placement.threads;
  return std::max(1, usable_cpus() / static_cast<int>(std::max<std::int64_t>(placement.layout.ranks(), 1)));
}

void check(const Placement& placement) {
  const std::int64_t ranks = placement.layout.ranks();
  const DeviceSpec& device = placement.device;
  if (ranks > device.count())
    throw InputError("--parallel {}: {} ranks, but --device {} names {}; use {}:{}", placement.layout.to_string(),
                     ranks, to_string(device), device.count(), device.kind, ranks);
}

}  // namespace batchscope
