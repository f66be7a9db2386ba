// A section for the terminal (report/section.h).
#include "report/section.h"

#include <fmt/format.h>

namespace batchscope {

std::string to_text(const Section& section, bool colour) {
  std::string text = "\n";
  if (!section.title.empty()) {
    const std::string title = wrap(section.title, terminal_columns, 2);
    text += (colour ? fmt::format("\x1b[1;4m{}\x1b[0m", title) : title) + "\n";
  }
  if (section.table) text += section.table->print(colour);
  const std::size_t indent = section.title.empty() ? 0 : 2;
  for (const std::string& note : section.notes) text += wrap(note, terminal_columns, indent) + "\n";
  return text;
}

}  // namespace batchscope
