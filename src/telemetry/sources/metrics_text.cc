// The text formats of metrics (sources/metrics_text.h). https://prometheus.io/docs/instrumenting/exposition_formats/
#include "telemetry/sources/metrics_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <optional>
#include <utility>

namespace batchscope {
namespace {

struct Family {
  std::string_view type{}, help{};
};
using Families = std::map<std::string_view, Family>;

bool is_letter(char c, bool with_colon) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (with_colon && c == ':');
}

// Takes a name from the begin; "" where there is none.
std::string_view take_name(std::string_view& text, bool with_colon) {
  std::size_t length = 0;
  while (length < text.size() &&
         (is_letter(text[length], with_colon) || (length > 0 && text[length] >= '0' && text[length] <= '9')))
    ++length;
  const auto name = text.substr(0, length);
  text.remove_prefix(length);
  return name;
}

void skip_blanks(std::string_view& text) { text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size())); }

std::string_view take_word(std::string_view& text) {
  const auto word = text.substr(0, text.find_first_of(" \t"));
  text.remove_prefix(word.size());
  skip_blanks(text);
  return word;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// What stands between quotes, the first of which is gone.
std::optional<std::string> take_quoted(std::string_view& text) {
  std::string out;
  while (!text.empty()) {
    const char c = text[0];
    text.remove_prefix(1);
    if (c == '"') return out;
    if (c != '\\') {
      out += c;
      continue;
    }
    if (text.empty()) break;
    out += text[0] == 'n' ? '\n' : text[0];
    text.remove_prefix(1);
  }
  return std::nullopt;
}

// The labels behind the opening brace, with the closing one.
std::optional<std::vector<Label>> take_labels(std::string_view& text) {
  std::vector<Label> labels;
  for (skip_blanks(text); !take(text, '}'); skip_blanks(text)) {
    const auto name = take_name(text, false);
    skip_blanks(text);
    if (name.empty() || !take(text, '=')) return std::nullopt;
    skip_blanks(text);
    if (!take(text, '"')) return std::nullopt;
    auto value = take_quoted(text);
    if (!value) return std::nullopt;
    labels.push_back({std::string(name), std::move(*value)});
    skip_blanks(text);
    if (!take(text, ',') && !text.starts_with('}')) return std::nullopt;
  }
  return labels;
}

std::optional<double> number(std::string_view word) {
  if (word.starts_with('+')) word.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);  // knows inf and nan
  if (error == std::errc::result_out_of_range) return std::numeric_limits<double>::quiet_NaN();
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

// "# TYPE name type", "# HELP name text"; other comments say nothing to us.
void read_comment(std::string_view line, Families& families) {
  line.remove_prefix(1);
  skip_blanks(line);
  const auto word = take_word(line);
  if (word != "TYPE" && word != "HELP") return;
  const auto name = take_word(line);
  if (name.empty()) return;
  (word == "TYPE" ? families[name].type : families[name].help) = line;
}

struct Part {
  const Family* family = nullptr;
  std::string_view suffix{};
};

// Which family a sample belongs to: that of its name, or of its name without a suffix.
Part part_of(std::string_view name, const Families& families) {
  if (const auto found = families.find(name); found != families.end()) return {&found->second, ""};
  for (const std::string_view suffix :
       {"_total", "_sum", "_count", "_bucket", "_created", "_info", "_gsum", "_gcount"}) {
    if (!name.ends_with(suffix)) continue;
    const auto found = families.find(name.substr(0, name.size() - suffix.size()));
    if (found != families.end()) return {&found->second, suffix};
  }
  return {};
}

// Nothing: the sample is left out.
std::optional<CounterKind> kind_of(std::string_view name, const Part& part) {
  if (name.ends_with("_created")) return std::nullopt;
  const std::string_view type = part.family != nullptr ? part.family->type : "";
  if (type == "info" || type == "stateset") return std::nullopt;
  if (part.suffix == "_bucket") return std::nullopt;
  if (type == "counter") return CounterKind::cumulative;
  if ((type == "histogram" || type == "summary") && (part.suffix == "_sum" || part.suffix == "_count"))
    return CounterKind::cumulative;
  if (type == "gauge" || type == "gaugehistogram" || type == "summary") return CounterKind::gauge;
  return name.ends_with("_total") ? CounterKind::cumulative : CounterKind::gauge;
}

// False when the line is none. A time stamp and an exemplar may follow the value.
bool read_sample(std::string_view line, const Families& families, std::vector<MetricsText::Sample>& samples) {
  const auto name = take_name(line, true);
  if (name.empty()) return false;
  skip_blanks(line);
  std::vector<Label> labels;
  if (take(line, '{')) {
    auto taken = take_labels(line);
    if (!taken) return false;
    labels = std::move(*taken);
  }
  skip_blanks(line);
  const auto value = number(take_word(line));
  if (!value || (!line.empty() && line[0] != '#' && !number(take_word(line)))) return false;
  const Part part = part_of(name, families);
  const auto kind = kind_of(name, part);
  if (!kind) return true;
  samples.push_back({.name = std::string(name),
                     .labels = std::move(labels),
                     .value = *value,
                     .kind = *kind,
                     .help = std::string(part.family != nullptr ? part.family->help : "")});
  return true;
}

}  // namespace

MetricsText parse_metrics_text(std::string_view text) {
  MetricsText out;
  Families families;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    skip_blanks(line);
    if (line.empty()) continue;
    if (line[0] == '#')
      read_comment(line, families);
    else if (!read_sample(line, families, out.samples))
      ++out.malformed_lines;
  }
  return out;
}

std::string to_text(const std::vector<Label>& labels) {
  std::string out;
  for (const Label& label : labels) {
    out += fmt::format("{}{}=\"", out.empty() ? "" : ",", label.name);
    for (const char c : label.value) {
      if (c == '"' || c == '\\') out += '\\';
      out += c == '\n' ? ' ' : c;
    }
    out += '"';
  }
  return out;
}

}  // namespace batchscope
