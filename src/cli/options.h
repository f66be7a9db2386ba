// Flags that eval, generate and plan share: the words of docs/study_files.md, parsed in one place.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "study/cell.h"

namespace batchscope::cli {

// Text as the user wrote it; cell() parses it, so that an error names its flag. "" is: not given.
struct CellOptions {
  std::string model, random_weights, seed = "0";
  std::string task, limit;
  std::string prompt_tokens, output_tokens, requests, arrival_rate, trace, temperature, top_p, task_seed;
  std::string device, parallel, threads = "auto", dtype = "f32";
  std::string fusion = "off", batch = "1", batch_tokens, packing = "padded";
  std::string device_memory, link;
  std::string max_tokens_per_sequence, when_too_long = "fail";

  void add_model_flags(CLI::App& app);      // --model --random-weights --seed
  void add_placement_flags(CLI::App& app);  // --device --parallel --dtype --threads
  void add_run_flags(CLI::App& app);        // --fusion --batch, and those of add_setting_flags()
  void add_setting_flags(CLI::App& app);    // --packing --device-memory --link
  void add_task_flags(CLI::App& app);  // --task --limit --max-tokens-per-sequence --when-too-long, and a workload's
  void add_all(CLI::App& app);

  ModelSource model_source() const;
  Placement placement() const;  // --device and --parallel complete each other when one is not given
  RunSettings run_settings() const;
  CellSpec cell() const;  // checked

 private:
  CellSpec parsed() const;
};

}  // namespace batchscope::cli
