// A figure as JSON and as CSV (report/figure/figure.h).
#include <fmt/format.h>

#include "base/csv.h"
#include "report/figure/figure.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

const char* name_of(FigureUnit unit) {
  constexpr const char* names[] = {"none",         "count", "bytes", "bytes_per_s", "seconds",
                                   "milliseconds", "share", "ratio", "per_s"};
  return names[static_cast<int>(unit)];
}

const char* name_of(FigureStroke stroke) {
  constexpr const char* names[] = {"solid", "dashed", "dotted", "none"};
  return names[static_cast<int>(stroke)];
}

const char* name_of(FigureKind kind) {
  constexpr const char* names[] = {"lines", "curves", "stacked_bars", "intervals"};
  return names[static_cast<int>(kind)];
}

nlohmann::json axis_json(const FigureAxis& axis) {
  return {{"label", axis.label},
          {"unit", name_of(axis.unit)},
          {"logarithmic", axis.logarithmic},
          {"from_zero", axis.from_zero},
          {"categories", axis.categories}};
}

nlohmann::json series_json(const FigureSeries& series) {
  nlohmann::json points = nlohmann::json::array();
  for (const FigurePoint& point : series.points)
    points.push_back({{"x", point.x},
                      {"y", point.y},
                      {"low", json_or_null(point.low)},
                      {"high", json_or_null(point.high)},
                      {"label", point.label},
                      {"note", point.note},
                      {"hollow", point.hollow}});
  return {{"name", series.name},
          {"style", series.style},
          {"stroke", name_of(series.stroke)},
          {"hollow", series.hollow},
          {"points", std::move(points)}};
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

nlohmann::json to_json(const Figure& figure) {
  nlohmann::json series = nlohmann::json::array(), limits = nlohmann::json::array();
  for (const FigureSeries& one : figure.series) series.push_back(series_json(one));
  for (const FigureLimit& limit : figure.limits) limits.push_back({{"y", limit.y}, {"label", limit.label}});
  return {{"id", figure.id},
          {"title", figure.title},
          {"caption", figure.caption},
          {"kind", name_of(figure.kind)},
          {"x", axis_json(figure.x)},
          {"y", axis_json(figure.y)},
          {"series", std::move(series)},
          {"limits", std::move(limits)}};
}

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
