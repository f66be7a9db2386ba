// The axes of a cell: all that can be set, a row each. Whoever handles settings goes through these rows: eval's flags,
// the keys of study files, the JSON of stored cells, the names of strategies, the columns of tables and exports, and
// what reports compare. So a new axis is a row, its use, and its test.
#pragma once

#include <array>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "study/cell.h"

namespace batchscope {

// Which flags a verb has, by group; only eval has those of `engine`. Groups model, placement and engine are fixed while a
// model is loaded: cells that differ there do not share a worker.
enum class AxisGroup { engine, model, task, placement, run, setting };

// What a study file may give: text, a whole number, a number; a size is text with a unit or bytes; count_or_word is a
// whole number or a word such as "auto".
enum class AxisKind { text, whole_number, number, size, count_or_word };

// Where a stored cell has it: always, as null where it is not set, or only where it is set. Axes that came after the
// first stored cells are left out, so that cells without them stay the same.
enum class InJson { when_set, or_null, always };

// How a strategy's name has it: "tp2", "fusion=on", the latter only where it is set, or not at all.
enum class Naming { when_set, always, bare, never };

struct Axis {
  std::string_view word;  // key of study files; with "--" in front, the flag
  AxisGroup group;
  AxisKind kind = AxisKind::text;
  // Parses `value` into the spec; InputError that names `what`.
  void (*set)(CellSpec& spec, const std::string& value, std::string_view what);
  // The value as set() takes it; of what is not set "", or the word that stands for that.
  std::string (*text)(const CellSpec& spec);

  std::string_view flag{};                     // where it is another word: "seed" of weights-seed
  std::string_view type{};                     // of the flag's value, as --help shows it: "N", "PATH"
  std::string help{};                          // of the flag
  std::string_view preset{};                   // what --help shows as the flag's value where none is given
  std::span<const std::string_view> values{};  // all that it takes, where they can be listed
  bool takes_list = false;                     // of these, with commas between

  std::string json{};  // where it lies in a stored cell; by default "/" and the word, with underscores
  InJson in_json = InJson::when_set;
  // Where neither a text nor a number is exact: an object of these parts.
  nlohmann::json (*to_json)(const CellSpec& spec) = nullptr;
  void (*from_json)(const JsonObject& object, CellSpec& spec) = nullptr;
  std::span<const char* const> parts{};

  // In the name of a strategy, and so in the keys of stored cells. New axes come last.
  struct {
    std::string_view word{};  // by default the axis's own
    Naming naming = Naming::when_set;
    int place = std::numeric_limits<int>::max();
  } name{};
  // What a short name says where strategies differ: "" is nothing, absent that it does not apply. By default "word
  // value".
  std::optional<std::string> (*label)(const CellSpec& spec, const std::string& text) = nullptr;

  std::string column{};  // of exports; by default the word with underscores
  std::string title{};   // of the page's table of cells; by default the word with spaces
  std::string hint{};    // what is to be known of it there

  // Cells that differ here alone are paired, against those with the first value, and the second.
  struct {
    const char* title = nullptr;  // of the table; null: not paired
    std::array<const char*, 2> baselines{};
  } compared{};

  bool is_of_workload() const { return json.starts_with("/workload/"); }
  // A workload's axes apply only to cells that have one.
  bool applies_to(const CellSpec& spec) const { return !is_of_workload() || spec.workload; }
  std::string flag_name() const;  // "--batch"
};

// In the order of --help.
std::span<const Axis> axes();
// In the order of a strategy's name.
std::span<const Axis* const> axes_by_name();
const Axis* find_axis(std::string_view word);  // null for an unknown one

// The spec in which nothing is set that `spec` has set; it generates where that one does.
CellSpec with_nothing_set(const CellSpec& spec);

// Sets one axis; of --parallel "tp" stands for all devices that the spec has. InputError for an unknown word.
void set_axis(CellSpec& spec, std::string_view word, const std::string& value);

using AxisValues = std::map<std::string, std::string, std::less<>>;  // by word
// Whether the cell has all these values.
bool has_values(const CellSpec& spec, const AxisValues& wanted);
// A whole cell from what was given. "device" and "parallel" complete each other when one is missing: as many devices as
// ranks, or tensor parallelism over all devices. Not checked yet (check() in cell.h).
CellSpec cell_of(const AxisValues& given);

}  // namespace batchscope
