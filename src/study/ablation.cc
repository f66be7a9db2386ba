// Which fusions an ablation compares (study/ablation.h).
#include "study/ablation.h"

#include <algorithm>

namespace batchscope {
namespace {

// "on", but for what only some devices have, which changes nothing on others.
const std::vector<std::string> of_some_devices{"graph", "overlap"};
const std::vector<std::string> kernel_fusions{"qkv", "swiglu", "norm", "attention", "comm"};

std::string joined(std::span<const std::string> names, const std::string& without) {
  std::string text;
  for (const std::string& name : names)
    if (name != without) text += (text.empty() ? "" : ",") + name;
  return text.empty() ? "off" : text;
}

}  // namespace

std::vector<Fusion> ablation(std::span<const std::string> available) {
  std::vector<std::string> names(available.begin(), available.end());
  for (const std::string& name : of_some_devices) std::erase(names, name);
  // Where all kernels' fusions are there, what is left out is left out of "on".
  const bool is_whole = std::all_of(kernel_fusions.begin(), kernel_fusions.end(), [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  });
  std::vector<std::string> together = names;
  if (is_whole) together.insert(together.end(), of_some_devices.begin(), of_some_devices.end());
  std::vector<std::string> texts{"off"};
  texts.insert(texts.end(), names.begin(), names.end());
  for (const std::string& name : names) texts.push_back(joined(together, name));
  texts.push_back(joined(together, ""));
  std::vector<Fusion> fusions;
  for (const std::string& text : texts)
    if (const Fusion fusion = parse_fusion(text); std::find(fusions.begin(), fusions.end(), fusion) == fusions.end())
      fusions.push_back(fusion);
  return fusions;
}

std::string fusion_label(const Fusion& fusion) {
  const Fusion on = parse_fusion("on");
  // What only some devices have may not be named in recordings of others.
  Fusion with_all = fusion;
  with_all.graph = on.graph;
  with_all.overlap = on.overlap;
  for (const std::string& name : kernel_fusions)
    if (with_all == parse_fusion(joined(kernel_fusions, name) + "," + joined(of_some_devices, "")))
      return "on without " + name;
  for (const std::string& name : of_some_devices)
    if (fusion == parse_fusion(joined(kernel_fusions, "") + "," + joined(of_some_devices, name)))
      return "on without " + name;
  return to_string(fusion);
}

}  // namespace batchscope
