// Writes metrics in the text formats of Prometheus and OpenMetrics.
#include "serve/exposition.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/units.h"
#include "base/utf8.h"

namespace batchscope::serve {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

// Takes what stands before the separator.
std::string_view take(std::string_view& text, char separator) {
  const auto end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return trimmed(part);
}

// The highest quality that the header gives one of these media types; none where it names none of them.
std::optional<double> quality(std::string_view accept, std::initializer_list<std::string_view> types) {
  std::optional<double> best;
  while (!accept.empty()) {
    std::string_view range = take(accept, ',');
    const std::string_view type = take(range, ';');
    if (std::find(types.begin(), types.end(), type) == types.end()) continue;
    double q = 1;
    while (!range.empty())
      if (std::string_view parameter = take(range, ';'); take(parameter, '=') == "q")
        q = parse_number(trimmed(parameter)).value_or(0);
    best = std::max(best.value_or(0), q);
  }
  return best;
}

// Names of processes and interfaces are any bytes: what is no UTF-8 becomes U+FFFD.
std::string escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : well_formed(text)) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\\' || (quotes && c == '"'))
      out += std::string("\\") + c;
    else
      out += c;
  }
  return out;
}

std::string number(double value) {
  constexpr double exact = 1LL << 53;
  if (std::abs(value) < exact && value == std::trunc(value)) return fmt::format("{:.0f}", value);
  return fmt::format("{}", value);
}

std::string labels_text(const std::vector<Label>& labels) {
  if (labels.empty()) return {};
  std::string out;
  for (const Label& label : labels)
    out += fmt::format("{}{}=\"{}\"", out.empty() ? "{" : ",", label.name, escaped(label.value, true));
  return out + "}";
}

std::string_view type_name(MetricType type, TextFormat format) {
  switch (type) {
    case MetricType::counter:
      return "counter";
    case MetricType::summary:
      return "summary";
    case MetricType::histogram:
      return "histogram";
    case MetricType::info:
      return format == TextFormat::openmetrics ? "info" : "gauge";  // the older format has no info
    default:
      return "gauge";
  }
}

}  // namespace

TextFormat preferred_format(std::string_view accept) {
  const auto openmetrics = quality(accept, {"application/openmetrics-text"});
  const auto plain = quality(accept, {"text/plain", "text/html", "text/*"});
  if (!openmetrics && !plain) return TextFormat::openmetrics;
  return plain.value_or(0) > openmetrics.value_or(0) ? TextFormat::prometheus : TextFormat::openmetrics;
}

const char* content_type(TextFormat format) {
  return format == TextFormat::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                           : "text/plain; version=0.0.4; charset=utf-8";
}

std::string sample_name(const MetricFamily& family, const MetricSample& sample) {
  return family.name + (family.type == MetricType::counter ? "_total"
                        : family.type == MetricType::info  ? "_info"
                                                           : sample.suffix);
}

std::string to_text(const std::vector<MetricFamily>& families, TextFormat format) {
  const bool openmetrics = format == TextFormat::openmetrics;
  std::string out;
  for (const MetricFamily& family : families) {
    if (family.samples.empty()) continue;
    // The older format calls a family as its samples are called.
    const std::string name =
        openmetrics || family.type == MetricType::summary || family.type == MetricType::histogram
            ? family.name
            : sample_name(family, family.samples[0]);
    out += fmt::format("# HELP {} {}\n", name, escaped(family.help, openmetrics));
    out += fmt::format("# TYPE {} {}\n", name, type_name(family.type, format));
    if (openmetrics && !family.unit.empty() && family.name.ends_with("_" + family.unit))
      out += fmt::format("# UNIT {} {}\n", name, family.unit);
    for (const MetricSample& sample : family.samples)
      out += fmt::format("{}{} {}\n", sample_name(family, sample), labels_text(sample.labels), number(sample.value));
  }
  return openmetrics ? out + "# EOF\n" : out;
}

}  // namespace batchscope::serve
