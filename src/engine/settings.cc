// Reading and printing of a run's settings.
#include "engine/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/units.h"

namespace batchscope {
namespace {

struct NamedFusion {
  std::string_view name;
  bool Fusion::*flag;
};
constexpr std::array fusions{NamedFusion{"qkv", &Fusion::qkv},   NamedFusion{"swiglu", &Fusion::swiglu},
                             NamedFusion{"norm", &Fusion::norm}, NamedFusion{"attention", &Fusion::attention},
                             NamedFusion{"comm", &Fusion::comm}, NamedFusion{"graph", &Fusion::graph}};

// "on": everything that every device has; graphs only where they are asked for by name.
constexpr Fusion all_fusions{
    .qkv = true, .swiglu = true, .norm = true, .attention = true, .comm = true, .graph = false};

constexpr std::array packings{std::pair{"padded", Packing::padded}, std::pair{"packed", Packing::packed},
                              std::pair{"prefix", Packing::prefix}};

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
    const auto* named = std::find_if(fusions.begin(), fusions.end(), [&](const auto& f) { return f.name == name; });
    if (named == fusions.end())
      throw InputError("--fusion: '{}' is not a fusion; use off, on, or some of qkv,swiglu,norm,attention,comm,graph",
                       name);
    fusion.*(named->flag) = true;
  });
  return fusion;
}

std::string to_string(const Fusion& fusion) {
  if (fusion == Fusion{}) return "off";
  if (fusion == all_fusions) return "on";
  std::string text;
  for (const auto& named : fusions)
    if (fusion.*(named.flag)) text += fmt::format("{}{}", text.empty() ? "" : ",", named.name);
  return text;
}

Packing parse_packing(std::string_view text) {
  for (const auto& [name, packing] : packings)
    if (text == name) return packing;
  throw InputError("--packing: '{}' is not known; use padded, packed or prefix", text);
}

std::string to_string(Packing packing) {
  for (const auto& [name, value] : packings)
    if (value == packing) return name;
  return "?";
}

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

void check(const Placement& placement) {
  const std::int64_t ranks = placement.layout.ranks();
  const DeviceSpec& device = placement.device;
  if (ranks > device.count())
    throw InputError("--parallel {}: {} ranks, but --device {} names {}; use {}:{}", placement.layout.to_string(),
                     ranks, to_string(device), device.count(), device.kind, ranks);
}

}  // namespace batchscope
