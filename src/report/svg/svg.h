// A figure as an SVG document of paper quality: text stays text, and it reads in grey as in colour.
#pragma once

#include <string>

#include "report/figure/figure.h"

namespace batchscope {

// A whole <svg> element, white behind, without references to anything outside of it; it may stand in an HTML page
// beside others, since each id in it begins with the figure's own. Points that are not finite are left out.
std::string to_svg(const Figure& figure);

}  // namespace batchscope
