// A figure's points as CSV (report/figure/figure.h).
#include <fmt/format.h>

#include "base/csv.h"
#include "report/figure/figure.h"

namespace batchscope {
namespace {

const char* name_of(FigureUnit unit) {
  constexpr const char* names[] = {"none",         "count", "bytes", "bytes_per_s", "seconds",
                                   "milliseconds", "share", "ratio", "per_s"};
  return names[static_cast<int>(unit)];
}

// A name or note that there is not is an empty field.
std::string csv_or_nothing(const std::string& text) { return text.empty() ? "" : csv_field(text); }

std::string csv_number(const std::optional<double>& value) { return value ? fmt::format("{}", *value) : ""; }

std::string csv_header(const char* name, const FigureAxis& axis) {
  return csv_field(axis.unit == FigureUnit::none || !axis.categories.empty()
                       ? fmt::format("{} ({})", name, axis.label)
                       : fmt::format("{} ({}, {})", name, axis.label, name_of(axis.unit)));
}

}  // namespace

std::string to_csv(const Figure& figure) {
  std::string text = fmt::format("series,{},{},low,high,note\n", csv_header("x", figure.x), csv_header("y", figure.y));
  for (const FigureSeries& series : figure.series)
    for (const FigurePoint& point : series.points) {
      const auto category = static_cast<std::size_t>(point.x);
      const std::string x = category < figure.x.categories.size() ? figure.x.categories[category] : csv_number(point.x);
      text += fmt::format("{},{},{},{},{},{}\n", csv_or_nothing(series.name), csv_or_nothing(x), csv_number(point.y),
                          csv_number(point.low), csv_number(point.high), csv_or_nothing(point.note));
    }
  return text;
}

}  // namespace batchscope
