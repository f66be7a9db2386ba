// Reading and printing of a run's settings.
#include "engine/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/comma_list.h"
#include "base/error.h"
#include "base/units.h"
#include "comm/launcher.h"
#include "comm/world.h"

namespace batchscope {
namespace {

// In the order of fusion_words, behind "off" and "on".
constexpr std::array fusion_flags{&Fusion::qkv,  &Fusion::swiglu, &Fusion::norm,   &Fusion::attention,
                                  &Fusion::comm, &Fusion::graph,  &Fusion::overlap};
constexpr auto fusion_names = std::span(fusion_words).subspan<fusion_words.size() - fusion_flags.size()>();

// "on": everything; a device without graphs, or one that does one thing at a time, does without.
constexpr Fusion all_fusions{
    .qkv = true, .swiglu = true, .norm = true, .attention = true, .comm = true, .graph = true, .overlap = true};

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

DeviceUse use_of(const Placement& placement, std::optional<int> cpu_sharers) {
  return {.device = placement.device,
          .threads = placement.threads,
          .cpu_sharers = cpu_sharers.value_or(static_cast<int>(placement.layout.ranks())),
          .by_processes = launched().has_value()};
}

void check(const Placement& placement) {
  const std::int64_t ranks = placement.layout.ranks();
  const DeviceSpec& device = placement.device;
  if (ranks > device.count() && !launched())
    throw InputError("--parallel {}: {} ranks, but --device {} names {}; use {}:{}", placement.layout.to_string(),
                     ranks, to_string(device), device.count(), device.kind, ranks);
}

void check(const Placement& placement, const World& world) {
  if (placement.layout.ranks() != world.size())
    throw InputError("--parallel {}: {} ranks, but {} processes were started; start one for each rank",
                     placement.layout.to_string(), placement.layout.ranks(), world.size());
  const int needed = world.device_index(world.first() + world.count() - 1) + 1;
  if (needed > placement.device.count())
    throw InputError("--device {} names {}, but {} ranks are on one host; use {}:{}", to_string(placement.device),
                     placement.device.count(), needed, placement.device.kind, needed);
}

}  // namespace batchscope
