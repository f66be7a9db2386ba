// --gpus, of verbs that read GPUs.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/nvml/sleeping_gpus.h"
#include "telemetry/sources/gpu_choice.h"

namespace batchscope::cli {

inline void add_gpus(CLI::App& command, std::vector<std::string>& names) {
  command
      .add_option(gpus_flag, names,
                  "only these GPUs, by index, UUID or PCI bus id: 0,2 or GPU-1a2b3c4d or 0000:3b:00.0")
      ->type_name("GPU,…")
      ->delimiter(',');
}

// "not recorded until it answers: GPU 1: …", for people.
inline std::string until_it_comes(std::string_view what, const nvml::Refusal& refusal) {
  const bool is_asleep = nvml::is_asleep(refusal.why);
  return fmt::format("not {} until it {}: {}", what, is_asleep ? "wakes" : "answers", refusal.text());
}

}  // namespace batchscope::cli
