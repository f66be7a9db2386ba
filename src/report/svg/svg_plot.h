// The parts of an SVG figure below its title. Each draws from `top` down and returns where it ends, px. Inside
// src/report only.
#pragma once

#include "report/figure/figure.h"
#include "report/svg/svg_canvas.h"

namespace batchscope {

double draw_lines(SvgCanvas& canvas, const Figure& figure, double top);
double draw_rows(SvgCanvas& canvas, const Figure& figure, double top);  // stacked bars, intervals
double draw_legend(SvgCanvas& canvas, const Figure& figure, double top);

}  // namespace batchscope
