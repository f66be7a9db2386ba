// A report in parts, made once: the terminal prints them, the page shows the same ones.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/text.h"

namespace batchscope {

struct Section {
  std::string id;     // of the page's anchor: "time"
  std::string title;  // "": goes on from the section before
  std::optional<TextTable> table{};
  std::vector<std::string> notes{};  // paragraphs below the table
};

// A blank line, the title, the table and the notes, at most 80 columns wide.
std::string to_text(const Section& section, bool colour);

}  // namespace batchscope
