// Names and order of a study's cells.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "study/cell.h"

namespace batchscope {

// Everything of a cell but its batch, in words: "tp4 fusion=on padded f32 memory=67108864".
std::string strategy_name(const CellSpec& spec);
// The same cell has the same key in every run of the study: strategy, batch, repeat (1, 2, …).
std::string cell_key(const CellSpec& spec, std::int64_t repeat);

// A cell as a .bscope file keeps it.
nlohmann::json stored_cell(const CellSpec& spec, std::int64_t repeat);

// A strategy whose sequences are cut is a row of the one that does not cut them, not a column of its own.
CellSpec without_token_limit(CellSpec spec);
std::string token_limit_name(const CellSpec& spec);  // "≤12 tok", or "" where there is none

// For tables, one a strategy: layout and fusion, and of the rest what differs among them: "TP4 fused 64.0 MiB".
// Token limits are left out.
std::vector<std::string> short_names(std::span<const CellSpec> strategies);

// One run of one cell, in the place that chance gave it.
struct PlannedRun {
  std::size_t cell = 0;     // index into the cells
  std::int64_t repeat = 1;  // 1, 2, …
};
// Every cell once a repeat. Within a repeat, the cells that share a worker stay together; the order of these blocks,
// and of the cells in each, is drawn from the seed.
std::vector<PlannedRun> run_order(std::span<const CellSpec> cells, std::int64_t repeats, std::uint64_t seed);

}  // namespace batchscope
