// Reads "64MiB", "12GB/s", "1/6s" and prints quantities in the unit that suits their size.
#include "base/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"

namespace batchscope {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array byte_units{Unit{"", 1},         Unit{"B", 1},       Unit{"KB", 1e3},     Unit{"MB", 1e6},
                                Unit{"GB", 1e9},     Unit{"TB", 1e12},   Unit{"KiB", 1024.0}, Unit{"MiB", 1048576.0},
                                Unit{"GiB", 0x1p30}, Unit{"TiB", 0x1p40}};
constexpr std::array time_units{Unit{"ns", 1},  Unit{"us", 1e3},   Unit{"ms", 1e6},
                                Unit{"s", 1e9}, Unit{"min", 60e9}, Unit{"h", 3600e9}};

// "1.5", or a fraction "1/6".
std::optional<double> parse_fraction(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return parse_number(text);
  const auto numerator = parse_number(text.substr(0, slash));
  const auto denominator = parse_number(text.substr(slash + 1));
  if (!numerator || !denominator || *denominator == 0) return std::nullopt;
  return *numerator / *denominator;
}

// A number with one of the units behind it, in the unit whose factor is 1.
template <class Units>
std::optional<double> parse_quantity(std::string_view text, const Units& units) {
  const auto unit_begin = std::min(text.find_first_not_of("0123456789./"), text.size());
  const auto number = parse_fraction(text.substr(0, unit_begin));
  auto name = text.substr(unit_begin);
  while (!name.empty() && name.front() == ' ') name.remove_prefix(1);
  for (const Unit& unit : units)
    if (number && name == unit.name) return *number * unit.factor;
  return std::nullopt;
}

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  const char* end = text.data() + text.size();
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::int64_t parse_bytes(std::string_view text, std::string_view what) {
  const auto bytes = parse_quantity(text, byte_units);
  if (const std::string_view unit = text.substr(std::min(text.find_first_not_of("0123456789."), text.size()));
      !bytes && (unit == "K" || unit == "M" || unit == "G" || unit == "T" || unit == "Gi" || unit == "Mi"))
    throw InputError("{}: '{}' may mean two sizes; write {}B (powers of 1000) or {}iB (powers of 1024)", what, text,
                     text.substr(0, text.size() - (unit.size() - 1)), text.substr(0, text.size() - (unit.size() - 1)));
  if (!bytes || *bytes < 1 || *bytes > 0x1p62)
    throw InputError("{}: '{}' is not a size in bytes; write for example 64MiB, 1.5GB or 1048576", what, text);
  return static_cast<std::int64_t>(*bytes);
}

double parse_bandwidth(std::string_view text, std::string_view what) {
  const bool per_second = text.size() > 2 && text.substr(text.size() - 2) == "/s";
  const auto bytes = per_second ? parse_quantity(text.substr(0, text.size() - 2), byte_units) : std::nullopt;
  if (!bytes || *bytes <= 0)
    throw InputError("{}: '{}' is not a bandwidth; write for example 12GB/s or 800MiB/s", what, text);
  return *bytes;
}

double parse_share(std::string_view text, std::string_view what) {
  const bool percent = text.ends_with('%');
  const auto number = parse_number(percent ? text.substr(0, text.size() - 1) : text);
  if (!number || *number <= 0) throw InputError("{}: '{}' is not a share; write for example 3% or 0.03", what, text);
  return percent ? *number / 100 : *number;
}

Nanoseconds parse_duration(std::string_view text, std::string_view what) {
  const auto time = parse_quantity(text, time_units);
  if (!time || *time > 0x1p62)
    throw InputError("{}: '{}' is not a duration; write for example 5us, 200ms, 1/6s or 2min", what, text);
  return Nanoseconds(std::llround(*time));
}

std::int64_t parse_integer(std::string_view text, std::int64_t low, std::int64_t high, std::string_view what) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < low || value > high)
    throw InputError("{}: '{}' is not a whole number from {} to {}", what, text, low, high);
  return value;
}

double parse_number(std::string_view text, double low, double high, std::string_view what) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !(value >= low && value <= high))
    throw InputError("{}: '{}' is not a number from {} to {}", what, text, low, high);
  return value;
}

std::string format_bytes(double bytes) {
  constexpr std::array names{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t step = 0;
  while (std::abs(bytes) >= 999.95 && step + 1 < names.size()) {
    bytes /= 1024;
    ++step;
  }
  return step == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, names[step]);
}

std::string format_duration(Nanoseconds time) {
  const double seconds = to_seconds(time);
  if (seconds >= 3600)
    return fmt::format("{:.0f} h {:02.0f} min", std::floor(seconds / 3600), std::floor(std::fmod(seconds, 3600) / 60));
  if (seconds >= 60)
    return fmt::format("{:.0f} min {:02.0f} s", std::floor(seconds / 60), std::floor(std::fmod(seconds, 60)));
  if (seconds >= 1) return fmt::format("{:.2f} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.1f} ms", seconds * 1e3);
  return fmt::format("{:.0f} us", seconds * 1e6);
}

std::string format_count(std::int64_t count) {
  std::string digits = fmt::format("{}", count);
  const std::size_t first = count < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, " ");
  return digits;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
    }
  }
  return row[b.size()];
}

}  // namespace batchscope
