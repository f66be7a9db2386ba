// Text in an SVG: safe in XML, and as wide as a browser will draw it at most. Inside src/report only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

// One line that any XML reader takes: control characters, direction marks and what XML forbids are dropped, broken
// UTF-8 becomes U+FFFD. Not escaped yet.
std::string clean_text(std::string_view text);
std::string escape_xml(std::string_view clean);

// Width in px at a font size in px, by classes of letters; of the sans-serif fonts in use the widest.
double text_px(std::string_view clean, double size);
// Cut in the middle, with "…" there, where it would be wider.
std::string fit_text(const std::string& clean, double size, double width);
// Broken at spaces; a word that is wider than a line is cut.
std::vector<std::string> wrap_text(const std::string& clean, double size, double width);

}  // namespace batchscope
