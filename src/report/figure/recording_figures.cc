// Figures over time (report/figure/recording_figures.h).
#include "report/figure/recording_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>

namespace batchscope {
namespace {

constexpr std::size_t most_points = 800;

// What shares an axis: shares, bytes, bytes a second, each other unit by itself.
struct Quantity {
  const char* id;
  const char* label;
  FigureUnit unit;
};

Quantity quantity_of(const SeriesRecord& series) {
  const bool is_rate = series.kind == "cumulative";
  if (series.unit == "ratio" || (series.unit == "seconds" && is_rate)) return {"activity", "share", FigureUnit::share};
  if ((series.unit == "bytes" && is_rate) || series.unit == "bytes per second")
    return {"traffic", "bytes per second", FigureUnit::bytes_per_s};
  if (series.unit == "bytes") return {"memory", "bytes", FigureUnit::bytes};
  if (series.unit == "watts" || series.unit == "joules") return {"power", "watts", FigureUnit::none};
  if (series.unit == "hertz") return {"clocks", "hertz", FigureUnit::none};
  if (series.unit == "celsius") return {"temperature", "°C", FigureUnit::none};
  return {is_rate ? "events" : "values", is_rate ? "per second" : "", is_rate ? FigureUnit::per_s : FigureUnit::none};
}

// "gpu_pm_sm_active_ratio" is "pm sm active": the unit is the axis'.
std::string short_name(const SeriesRecord& series) {
  std::string name = series.name;
  for (const char* prefix : {"gpu_", "host_", "process_"})
    if (name.starts_with(prefix)) name.erase(0, std::string_view(prefix).size());
  for (const char* suffix :
       {"_total", "_ratio", "_bytes", "_bytes_per_second", "_seconds", "_watts", "_joules", "_hertz", "_celsius"})
    if (name.ends_with(suffix)) name.erase(name.size() - std::string_view(suffix).size());
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::vector<FigurePoint> levels(const std::vector<SeriesBucket>& buckets, Nanoseconds zero) {
  std::vector<FigurePoint> points;
  for (const SeriesBucket& bucket : buckets) {
    if (!bucket.sum || bucket.count <= 0) continue;
    FigurePoint point{.x = to_seconds((bucket.begin + bucket.end) / 2 - zero),
                      .y = *bucket.sum / static_cast<double>(bucket.count)};
    if (bucket.count > 1) {
      point.low = bucket.min;
      point.high = bucket.max;
    }
    points.push_back(point);
  }
  return points;
}

std::vector<FigurePoint> rates(const std::vector<SeriesBucket>& buckets, Nanoseconds zero) {
  std::vector<FigurePoint> points;
  for (std::size_t i = 1; i < buckets.size(); ++i) {
    const SeriesBucket &a = buckets[i - 1], &b = buckets[i];
    if (!a.last || !b.last || b.end <= a.end) continue;
    points.push_back(
        {.x = to_seconds((a.end + b.end) / 2 - zero), .y = (*b.last - *a.last) / to_seconds(b.end - a.end)});
  }
  return points;
}

// Worth a line: a level that changes, a rate that is not always zero.
bool is_worth_drawing(const std::vector<FigurePoint>& points, bool is_rate) {
  return points.size() > 1 && std::any_of(points.begin(), points.end(), [&](const FigurePoint& point) {
           return is_rate ? point.y != 0 : point.y != points[0].y || point.low != point.high;
         });
}

// A file's name and a page's anchor: "gpu-0". A long one is cut, and told from others by a number.
std::string id_of(const std::string& device) {
  constexpr std::size_t longest = 100;
  std::string id;
  for (const char c : device.substr(0, device.find(" (")))
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      id += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (!id.empty() && id.back() != '-')
      id += '-';
  if (id.size() > longest) id = fmt::format("{}-{:016x}", id.substr(0, longest), std::hash<std::string>()(device));
  return id;
}

std::vector<Figure> session_figures(const StoreReader& reader, std::int64_t session, const RecordingPart& part) {
  const auto interval = recording_interval(reader, session, part);
  if (!interval) return {};
  std::vector<Figure> figures;
  std::map<std::string, std::size_t> figure_of;  // by id
  for (const SeriesRecord& series : reader.series(session)) {
    const auto buckets = reader.buckets(series, most_points, interval->begin, interval->end);
    auto points = series.kind == "cumulative" ? rates(buckets, interval->zero) : levels(buckets, interval->zero);
    if (!is_worth_drawing(points, series.kind == "cumulative")) continue;
    const Quantity quantity = quantity_of(series);
    const std::string id = fmt::format("{}-{}", id_of(series.device), quantity.id);
    const auto [found, is_new] = figure_of.emplace(id, figures.size());
    if (is_new)
      figures.push_back({.id = id,
                         .title = fmt::format("{}: {}{}", series.device, quantity.id,
                                              series.is_virtual ? " (VIRTUAL: simulated on the CPU)" : ""),
                         .kind = FigureKind::curves,
                         .x = {.label = "time (s)", .unit = FigureUnit::none, .from_zero = false},
                         .y = {.label = quantity.label, .unit = quantity.unit}});
    Figure& figure = figures[found->second];
    // Colours come again after some: then lines are broken.
    constexpr std::size_t colours = 8;
    constexpr FigureStroke strokes[] = {FigureStroke::solid, FigureStroke::dashed, FigureStroke::dotted};
    const std::size_t i = figure.series.size();
    figure.series.push_back({.name = short_name(series),
                             .style = i,
                             .stroke = strokes[i / colours % std::size(strokes)],
                             .points = std::move(points)});
  }
  return figures;
}

}  // namespace

std::vector<Figure> recording_figures(const StoreReader& reader, std::span<const RecordedSession> sessions,
                                      const RecordingPart& part) {
  std::vector<Figure> all;
  for (const RecordedSession& recorded : sessions)
    for (Figure& figure : session_figures(reader, recorded.session.id, part)) {
      if (sessions.size() > 1) {
        figure.id = fmt::format("session-{}-{}", recorded.session.id, figure.id);
        figure.title += fmt::format(" ({})", recorded.title());
      }
      all.push_back(std::move(figure));
    }
  return all;
}

}  // namespace batchscope
