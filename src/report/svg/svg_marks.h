// Colours, markers and dashes of an SVG figure, each of which tells series apart without the others; points in words.
// Inside src/report only.
#pragma once

#include <cstddef>
#include <string>

#include "report/figure/figure.h"

namespace batchscope {

// Okabe and Ito's colours, the yellow left out, which white paper swallows.
const char* colour_of(std::size_t style);
// Of the parts of a bar: they differ in lightness too.
const char* bar_colour_of(std::size_t style);

// The outline of a marker with its centre at (x, y), as a path's data.
std::string marker_path(std::size_t style, double x, double y);

// Of a marker, as attributes.
std::string marker_fill(std::size_t style, bool hollow);
// Of a line, as attributes to follow `stroke="…"`; "" for solid.
const char* dash_of(FigureStroke stroke);

// A point in lines of text: its series, its place and value with units, its interval, its note.
std::string point_text(const Figure& figure, const FigureSeries& series, const FigurePoint& point);

// "12.3": coordinates with one digit.
std::string px(double value);

}  // namespace batchscope
