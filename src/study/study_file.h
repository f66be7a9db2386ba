// A study as its TOML file describes it: which cells, how often, in which order. docs/study_files.md documents the
// file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "study/cell.h"

namespace batchscope {

struct StudySpec {
  std::string name;
  std::uint64_t seed = 0;  // of the order in which cells run
  std::int64_t repeats = 1;
  Nanoseconds time_out = from_seconds(600);           // of each cell, and of each loading of a model
  Nanoseconds sample_period = from_seconds(1.0 / 6);  // of the time series
  std::vector<CellSpec> cells;  // in the order of the file, all different; paths as the file has them
  std::size_t reference = 0;    // the cell whose answers the others' are compared with
  bool names_reference = false;  // it was named, and is trusted; else the sentinel looks at it, too
  bool paper_sampler = false;    // GPUs are sampled as the paper did, too (telemetry/sources/paper.h)
  bool frontier = true;         // search for the largest batch of each strategy
  std::optional<std::int64_t> frontier_largest_batch;  // where that search stops; absent: all sequences at once
  std::filesystem::path folder;                        // of the file: relative paths start there
};

// InputError names file, line, key, and the nearest right one. `settings`, each "key=value", replace what the file says
// of the key, wherever it does.
StudySpec read_study(const std::filesystem::path& path, std::span<const std::string> settings = {});
StudySpec parse_study(std::string_view text, const std::string& origin, std::span<const std::string> settings = {});

// The study's meaning, without comments and layout of its file: what must be equal to resume it.
nlohmann::json to_json(const StudySpec& study);

// A cell with its paths as the program can open them.
CellSpec resolved(const CellSpec& spec, const std::filesystem::path& folder);

}  // namespace batchscope
