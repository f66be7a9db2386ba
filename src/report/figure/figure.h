// Figures as data: what is drawn, apart from how (report/svg/svg.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace batchscope {

enum class FigureUnit { none, count, bytes, bytes_per_s, seconds, milliseconds, share, ratio, per_s };

struct FigureAxis {
  std::string label;  // "batch (sequences)"
  FigureUnit unit = FigureUnit::none;
  bool logarithmic = false;
  bool from_zero = true;                  // of a linear axis: zero is in view
  std::vector<std::string> categories{};  // names of x = 0, 1, …; empty: x is a quantity
};

struct FigurePoint {
  double x = 0, y = 0;
  std::optional<double> low, high;  // 95 % interval of y
  std::string label{};              // beside its marker where there is room: "64"
  std::string note{};               // what is to be known of it: "batch 8", "truncated to 12 tokens", "not valid: …"
  bool hollow = false;              // its marker without filling: it is not what was asked for, or not to be trusted
};

enum class FigureStroke { solid, dashed, dotted, none };

// Points that belong together, in the order in which a line joins them.
struct FigureSeries {
  std::string name;                           // in the legend; equal names share an entry
  std::size_t style = 0;                      // colour and marker: a strategy has the same in every figure
  FigureStroke stroke = FigureStroke::solid;  // none: markers only
  bool hollow = false;                        // all markers without filling: planned, or not asked for
  std::vector<FigurePoint> points{};
};

// A line across the whole figure: a memory limit, chance.
struct FigureLimit {
  double y = 0;
  std::string label;
};

// lines: series over x. curves: likewise, of so many points that none is marked, intervals as bands. stacked_bars: at
// each category of x the series' y on top of each other. intervals: on its side, the categories of x from top to
// bottom, y with its interval from left to right.
enum class FigureKind { lines, curves, stacked_bars, intervals };

struct Figure {
  std::string id;     // "memory": the file's name and the page's anchor
  std::string title;  // one line
  std::string caption{};
  FigureKind kind = FigureKind::lines;
  FigureAxis x, y;
  std::vector<FigureSeries> series{};
  std::vector<FigureLimit> limits{};
};

// One line a point: series,x,y,low,high,note; the header names units.
std::string to_csv(const Figure& figure);

}  // namespace batchscope
