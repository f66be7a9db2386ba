// The sentinel of a cell: its first items beside those of a reference (analysis/sentinel.h has the test). A cell that
// departs is `degraded`; one without a reference says that, and why.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "analysis/sentinel.h"
#include "store/records.h"
#include "study/cell.h"

namespace batchscope {

// Answers that a cell's are compared with.
struct SentinelReference {
  std::string name;              // "batchscope, f32, batch 1 on cpu:1"
  std::string why_not;           // not "": there is none, and why
  double tolerance = 0;          // of what made them
  std::vector<ItemRecord> items = {};  // the first ones of the task

  static SentinelReference none(std::string why) { return {.name = {}, .why_not = std::move(why)}; }
};
nlohmann::json to_json(const SentinelReference& reference);
SentinelReference sentinel_reference_from_json(const nlohmann::json& json);

// What rounding may do to a cell's log-likelihoods, by the coarsest part of what it computes in.
double sentinel_tolerance(const CellSpec& spec);

// Of a cell that has run: the first items of its task.
SentinelReference reference_of(const CellSpec& spec, const std::string& name, const std::vector<ItemRecord>& items);
// Our own engine's answers to the cell's first questions, one sequence a batch in f32 on a virtual device of this process.
// None where that makes no sense, and where the model is too large to be run for it.
SentinelReference own_reference(const CellSpec& spec);
std::string own_reference_key(const CellSpec& spec);  // equal for cells that share one
// From a file of `eval --items`, or the reference cell of a .bscope file. InputError where it holds none.
SentinelReference read_reference(const std::filesystem::path& path, const CellSpec& spec);

// Compares and notes what was seen in the result, whose status becomes degraded where it departs.
void watch(const SentinelReference& reference, const CellSpec& spec, CellResult& result);

}  // namespace batchscope
