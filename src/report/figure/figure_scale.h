// The scale of an axis: what part of a quantity is in view, where a value lies, and which values carry a label.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/figure/figure.h"

namespace batchscope {

// "1.5", "20000", "2·10⁶"; `digits` that count.
std::string number_text(double value, int digits = 4);
// "1.5 MiB", "80.2 %"; without the unit where the axis' label has it.
std::string value_text(double value, FigureUnit unit);

// What of an axis has to be in view. Values that are not finite, or not positive on a logarithmic axis, have no say.
class Extent {
 public:
  explicit Extent(bool logarithmic) : logarithmic_(logarithmic) {}
  void add(double value);
  void add_interval(double low, double high);
  // Of an interval that is much longer than the values' range only a part is in view.
  std::pair<double, double> bounds() const;

 private:
  struct Range {
    std::optional<double> low, high;
    void add(double value);
  };
  bool usable(double value) const;
  bool logarithmic_;
  Range values_, intervals_;
};

class Scale {
 public:
  // At most `most` labels, or few more.
  Scale(const FigureAxis& axis, const Extent& extent, int most);

  // 0 at the axis' begin, 1 at its end. Outside of it for what is not in view.
  double fraction(double value) const;

  struct Tick {
    double value = 0;
    std::string label;
  };
  const std::vector<Tick>& ticks() const { return ticks_; }
  bool has_categories() const { return !axis_.categories.empty(); }

 private:
  void make_categories(std::size_t most);
  void make_linear(double low, double high, int most);
  void make_logarithmic(double low, double high, int most);
  void tick_at(double value, double step);

  FigureAxis axis_;
  bool logarithmic_;
  double begin_ = 0, end_ = 1;  // logarithms to base 2 where the axis is logarithmic
  std::vector<Tick> ticks_;
};

}  // namespace batchscope
