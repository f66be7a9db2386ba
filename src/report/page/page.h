// A report as one HTML file that needs nothing beside it: sections, figures, notes. `report` and `compare` fill it.
#pragma once

#include <string>
#include <vector>

#include "report/figure/figure.h"
#include "report/section.h"

namespace batchscope {

// What came out, in plain words: "Fastest", "MP4, batch 16", "2.29 s, 80.0 % right".
struct PageFact {
  std::string label, value, detail{};
  bool is_bad = false;  // not to be overlooked
};

// A chapter with its own heading and place in the page's contents.
struct PagePart {
  std::string id;     // of its anchor; no other part, figure or section has it
  std::string title;  // short: "Memory"
  std::vector<std::string> intro{};
  std::vector<Figure> figures{};
  std::vector<Section> sections{};
  std::string html{};  // stands behind them; written by the caller, who has escaped what is foreign
};

struct Page {
  std::string title;                  // "study demo"
  std::string subtitle{};             // one line: program, machine, date
  std::vector<std::string> badges{};  // loud: "VIRTUAL"
  std::vector<PageFact> facts{};
  std::vector<std::string> warnings{};
  std::vector<PagePart> parts{};
};

// Works from a file, offline: style, scripts and data are inside, and no request leaves it. Without JavaScript, and
// printed, it has the same tables, and figures.
std::string to_html(const Page& page);

}  // namespace batchscope
