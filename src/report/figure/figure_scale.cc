// Scales and ticks (report/figure/figure_scale.h).
#include "report/figure/figure_scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace batchscope {
namespace {

constexpr double largest = 1e300;  // differences of what is in view stay finite

bool is_bytes(FigureUnit unit) { return unit == FigureUnit::bytes || unit == FigureUnit::bytes_per_s; }

// Batches and bytes come in powers of two.
bool is_binary(FigureUnit unit) { return is_bytes(unit) || unit == FigureUnit::count; }

std::string superscript(std::string_view digits) {
  constexpr std::array<const char*, 10> raised{"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string text;
  for (const char c : digits) {
    if (c == '-') text += "⁻";
    if (c >= '0' && c <= '9') text += raised[static_cast<std::size_t>(c - '0')];
  }
  return text;
}

// "60000" -> "60 000", with a space that no line breaks at.
std::string in_thousands(std::string text) {
  const std::size_t point = std::min(text.find('.'), text.size());
  if (point > 4 + (text.front() == '-' ? 1 : 0)) text.insert(point - 3, "\u00a0");
  return text;
}

std::string binary_text(double bytes, const char* suffix) {
  constexpr std::array names{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t step = 0;
  for (; std::abs(bytes) >= 1024 && step + 1 < names.size(); ++step) bytes /= 1024;
  return fmt::format("{} {}{}", number_text(bytes), names[step], suffix);
}

// `step` tells how many digits tell neighbours apart.
std::string tick_text(double value, double step, FigureUnit unit) {
  const double size = std::abs(value);
  const int digits =
      size > 0 && step > 0 ? std::clamp(static_cast<int>(std::ceil(std::log10(size / step))) + 1, 1, 12) : 4;
  switch (unit) {
    case FigureUnit::bytes:
      return value == 0 ? "0" : binary_text(value, "");
    case FigureUnit::bytes_per_s:
      return value == 0 ? "0" : binary_text(value, "/s");
    case FigureUnit::share:
      return number_text(value * 100, digits) + " %";
    default:
      return number_text(value, digits);
  }
}

// The least of 1, 2, 5 × 10^k, or of the powers of two, that is not less.
double nice_step(double least, bool binary) {
  if (binary) return std::exp2(std::ceil(std::log2(least) - 1e-9));
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

}  // namespace

std::string number_text(double value, int digits) {
  if (value == 0) return "0";
  const double size = std::abs(value);
  if (size >= 1e-3 && size < 1e6) return in_thousands(fmt::format("{:.{}g}", value, std::max(digits, 6)));
  const std::string text = fmt::format("{:.{}e}", value, digits - 1);
  const std::size_t e = text.find('e');
  std::string mantissa = text.substr(0, e), exponent = text.substr(e + 1);
  if (mantissa.find('.') != mantissa.npos) {
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    if (mantissa.back() == '.') mantissa.pop_back();
  }
  exponent.erase(0, exponent.front() == '+' ? 1 : 0);
  while (exponent.size() > 1 && exponent[exponent.front() == '-' ? 1 : 0] == '0')
    exponent.erase(exponent.front() == '-' ? 1 : 0, 1);
  return (mantissa == "1" ? "" : mantissa == "-1" ? "-" : mantissa + "·") + "10" + superscript(exponent);
}

std::string value_text(double value, FigureUnit unit) { return tick_text(value, 0, unit); }

void Extent::Range::add(double value) {
  low = std::min(low.value_or(value), value);
  high = std::max(high.value_or(value), value);
}

bool Extent::usable(double value) const { return std::isfinite(value) && (!logarithmic_ || value > 0); }

void Extent::add(double value) {
  if (usable(value)) values_.add(std::clamp(value, -largest, largest));
}

void Extent::add_interval(double low, double high) {
  if (usable(low)) intervals_.add(std::clamp(low, -largest, largest));
  if (usable(high)) intervals_.add(std::clamp(high, -largest, largest));
}

std::pair<double, double> Extent::bounds() const {
  if (!values_.low) return logarithmic_ ? std::pair(1.0, 2.0) : std::pair(0.0, 1.0);
  double low = *values_.low, high = *values_.high;
  const double reach = std::max(high / 2 - low / 2, std::abs(high) / 2);
  const double least = logarithmic_ ? low / 4 : low >= 0 ? std::max(0.0, low - reach) : low - reach;
  const double most = logarithmic_ ? high * 4 : high + reach;
  if (intervals_.low) low = std::min(low, std::max(*intervals_.low, least));
  if (intervals_.high) high = std::max(high, std::min(*intervals_.high, most));
  return {low, high};
}

Scale::Scale(const FigureAxis& axis, const Extent& extent, int most) : axis_(axis), logarithmic_(axis.logarithmic) {
  auto [low, high] = extent.bounds();
  if (!logarithmic_ && axis.from_zero) {
    low = std::min(low, 0.0);
    high = std::max(high, 0.0);
  }
  if (has_categories())
    make_categories(static_cast<std::size_t>(most));
  else if (logarithmic_)
    make_logarithmic(low, high, most);
  else
    make_linear(low, high, most);
}

// Names of whole values; where there are too many, of every second or third.
void Scale::make_categories(std::size_t most) {
  const std::size_t count = axis_.categories.size();
  logarithmic_ = false;
  begin_ = -0.5;
  end_ = static_cast<double>(count) - 0.5;
  for (std::size_t i = 0; i < count; i += (count + most - 1) / most)
    ticks_.push_back({static_cast<double>(i), axis_.categories[i]});
}

void Scale::make_linear(double low, double high, int most) {
  if (high - low <= std::max(std::abs(low), std::abs(high)) * 1e-9) {
    const double around = high == 0 ? 1 : std::abs(high) * 0.1;
    if (!(axis_.from_zero && low >= 0 && high == 0)) low -= around;
    high += around;
  }
  const double least = std::max((high - low) / most, 1e-300);
  const bool whole = axis_.unit == FigureUnit::count;
  const double step = std::max(nice_step(least, is_bytes(axis_.unit)), whole ? 1.0 : 0.0);
  const double first = std::floor(low / step + 1e-6);
  double last = std::ceil(high / step - 1e-6);
  // Room above a marker, but not above the whole.
  const bool is_whole_share = axis_.unit == FigureUnit::share && std::abs(high - 1) < 1e-6;
  if (last <= first || (last * step - high < 0.02 * (last - first) * step && !is_whole_share)) ++last;
  begin_ = first * step;
  end_ = last * step;
  for (double i = first; i <= last; ++i) tick_at(i * step, step);
}

void Scale::make_logarithmic(double low, double high, int most) {
  begin_ = std::log2(low);
  end_ = std::log2(high);
  const double room = end_ - begin_ < 1 ? 1 : 0.06 * (end_ - begin_);
  begin_ -= room;
  end_ += room;
  if (is_binary(axis_.unit)) {
    const double step = std::max(1.0, std::ceil((end_ - begin_) / most));
    for (double e = std::ceil(begin_ / step) * step; e <= end_; e += step)
      if (e >= 0 || is_bytes(axis_.unit) || end_ < 0) tick_at(std::exp2(e), 0);  // there is no half of a sequence
    return;
  }
  const double decades = (end_ - begin_) / std::log2(10);
  const double step = std::max(1.0, std::ceil(decades / most));
  const bool between = 3 * decades <= most + 2;
  for (double e = std::floor(begin_ / std::log2(10) / step) * step; e * std::log2(10) <= end_; e += step)
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor > 1 && !between) continue;
      const double value = factor * std::pow(10, e), place = std::log2(value);
      if (place >= begin_ && place <= end_) tick_at(value, 0);
    }
}

void Scale::tick_at(double value, double step) {
  if (std::isfinite(value) && (!logarithmic_ || value > 0))
    ticks_.push_back({value, tick_text(value, step, axis_.unit)});
}

double Scale::fraction(double value) const {
  if (logarithmic_) value = value > 0 ? std::log2(value) : begin_;
  return (value - begin_) / (end_ - begin_);
}

}  // namespace batchscope
