// Ablation: one fusion at a time, against none and against all.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/settings.h"

namespace batchscope {

// Off, each of `available` alone, all of them but each, all of them; all different. Graphs are left out: where a device
// has them, they are asked for by name.
std::vector<Fusion> ablation(std::span<const std::string> available);

// For people: "off", "norm", "on without norm", "on".
std::string fusion_label(const Fusion& fusion);

}  // namespace batchscope
