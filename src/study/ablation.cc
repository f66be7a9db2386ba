// Which fusions an ablation compares (study/ablation.h).
#include "study/ablation.h"

#include <algorithm>

namespace batchscope {
namespace {

std::string joined(std::span<const std::string> names, const std::string& without) {
  std::string text;
  for (const std::string& name : names)
    if (name != without) text += (text.empty() ? "" : ",") + name;
  return text.empty() ? "off" : text;
}

}  // namespace

std::vector<Fusion> ablation(std::span<const std::string> available) {
  std::vector<std::string> names(available.begin(), available.end());
  std::erase(names, "graph");
  std::vector<std::string> texts{"off"};
  texts.insert(texts.end(), names.begin(), names.end());
  for (const std::string& name : names) texts.push_back(joined(names, name));
  texts.push_back(joined(names, ""));
  std::vector<Fusion> fusions;
  for (const std::string& text : texts)
    if (const Fusion fusion = parse_fusion(text); std::find(fusions.begin(), fusions.end(), fusion) == fusions.end())
      fusions.push_back(fusion);
  return fusions;
}

std::string fusion_label(const Fusion& fusion) {
  const std::vector<std::string> all{"qkv", "swiglu", "norm", "attention", "comm"};  // what "on" is
  for (const std::string& name : all)
    if (fusion == parse_fusion(joined(all, name))) return "on without " + name;
  return to_string(fusion);
}

}  // namespace batchscope
