// A figure as an SVG document of paper quality: text stays text, and it reads in grey as in colour.
#pragma once

#include <string>

#include "report/figure/figure.h"

namespace batchscope {

constexpr double paper_width = 720;   // px: as wide as a page of text
constexpr double screen_width = 440;  // readable on a phone, and beside others on a larger screen

// A whole <svg> element, white behind, without references to anything outside of it; it may stand in an HTML page
// beside others, since each id in it begins with the figure's own. Points that are not finite are left out; the others
// have their values as a tooltip.
std::string to_svg(const Figure& figure, double width = paper_width);

}  // namespace batchscope
