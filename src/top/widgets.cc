// Bars, graphs, numbers (top/widgets.h).
#include "top/widgets.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/units.h"

namespace batchscope::top {

std::string percent(std::optional<double> share) { return share ? fmt::format("{:.0f} %", 100 * *share) : "-"; }

std::string rate_text(std::optional<double> bytes_per_s) {
  return bytes_per_s ? format_bytes(*bytes_per_s) + "/s" : "-";
}

std::string short_bytes(std::optional<double> bytes) {
  if (!bytes) return "-";
  constexpr std::array units{'B', 'K', 'M', 'G', 'T', 'P'};
  double value = *bytes;
  std::size_t step = 0;
  for (; std::abs(value) >= 999.5 && step + 1 < units.size(); ++step) value /= 1024;
  const int digits = step == 0 || std::abs(value) >= 99.95 ? 0 : 1;
  return fmt::format("{:.{}f}{}", value, digits, units[step]);
}

std::string number(std::optional<double> value, const char* unit) {
  return value ? fmt::format("{:.0f} {}", *value, unit) : "-";
}

std::string used_of(std::optional<double> used, std::optional<double> all) {
  if (!used && !all) return "-";
  if (!all) return format_bytes(*used);
  const std::string whole = format_bytes(*all);  // "140.4 GiB"
  if (!used) return "- of " + whole;
  const std::string unit = whole.substr(whole.find(' ') + 1);
  constexpr std::array<std::string_view, 6> units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  const auto power = std::find(units.begin(), units.end(), unit) - units.begin();
  return fmt::format("{:.1f} of {}", *used / std::pow(1024.0, static_cast<double>(power)), whole);
}

std::string clock_text(Nanoseconds time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

void draw_bar(const Area& area, std::size_t column, std::size_t row, std::size_t width, std::optional<double> used,
              std::optional<double> reserved, Style style) {
  if (!used) return;
  const auto cells = [&](double share) {
    return static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * static_cast<double>(width)));
  };
  // What is not nothing is seen.
  const std::size_t full = *used > 0 ? std::max<std::size_t>(cells(*used), 1) : 0;
  const std::size_t kept = std::max(cells(*used + reserved.value_or(0)), full + (reserved.value_or(0) > 0 ? 1 : 0));
  for (std::size_t i = 0; i < width; ++i)
    if (i < full)
      area.set(column + i, row, U'█', style);
    else if (i < kept)
      area.set(column + i, row, U'▒', Style::reserved);
    else
      area.set(column + i, row, U'░', Style::dim);
}

void draw_graph(const Area& area, std::size_t column, std::size_t row, std::size_t width, std::size_t rows,
                const History& values, double top, Style style) {
  constexpr std::u32string_view levels = U"▁▂▃▄▅▆▇█";
  const std::size_t count = std::min(width, values.size());
  for (std::size_t i = 0; i < count; ++i) {
    const auto& value = values[values.size() - count + i];
    if (!value) continue;
    const double share = top > 0 ? std::clamp(*value / top, 0.0, 1.0) : 0;
    // Zero is a line at the bottom: only what is unknown is blank.
    const auto eighths = std::max<long>(std::lround(share * 8 * static_cast<double>(rows)), 1);
    for (std::size_t r = 0; r < rows; ++r) {
      const long here = eighths - static_cast<long>(8 * (rows - 1 - r));
      if (here > 0)
        area.set(column + width - count + i, row + r, levels[static_cast<std::size_t>(std::min(here, 8L) - 1)], style);
    }
  }
}

double greatest(const History& values) {
  double most = 0;
  for (const auto& value : values) most = std::max(most, value.value_or(0));
  return most;
}

}  // namespace batchscope::top
