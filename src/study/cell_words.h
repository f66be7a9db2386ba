// The words of a cell: eval's flags (with "--" in front) and the keys of study files are the same, and so is their
// meaning. This is the one place that turns them into a CellSpec.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "study/cell.h"

namespace batchscope {

enum class WordKind { text, whole_number, number, either };  // either: text or a whole number

struct CellWord {
  std::string_view name;
  WordKind kind;
  // Parses `value` into the spec; InputError that names `what`.
  void (*set)(CellSpec& spec, const std::string& value, std::string_view what);
  std::span<const std::string_view> values{};  // all that it takes, where they can be listed
  bool takes_list = false;                     // of these, with commas between
};

std::span<const CellWord> cell_words();
const CellWord* find_cell_word(std::string_view name);  // null for an unknown one

// A whole cell from what was given, words by name. "device" and "parallel" complete each other when one is missing:
// as many devices as ranks, or tensor parallelism over all devices. Not checked yet (check() in cell.h).
CellSpec cell_from_words(const std::map<std::string, std::string, std::less<>>& words);

}  // namespace batchscope
