// Recognises the forms in which others publish traces, and reads their rows.
#include "task/trace_formats.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"

namespace batchscope {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 5> own_keys{"id", "arrival_s", "prompt", "prompt_tokens", "output_tokens"};
constexpr std::int64_t longest_prompt = 1 << 24;  // of one request
constexpr double latest_s = 1e13;                 // an instant since 1970 may be in milliseconds

// What others call what we know by another name, or in another unit.
struct OtherName {
  std::string_view theirs;
  const char* ours;
};
constexpr std::array other_names{OtherName{"max_tokens", "output_tokens"},
                                 OtherName{"max_new_tokens", "output_tokens"},
                                 OtherName{"max_completion_tokens", "output_tokens"},
                                 OtherName{"output_len", "output_tokens"},
                                 OtherName{"output_length", "output_tokens"},
                                 OtherName{"expected_output_len", "output_tokens"},
                                 OtherName{"completion_tokens", "output_tokens"},
                                 OtherName{"input_length", "prompt_tokens"},
                                 OtherName{"input_tokens", "prompt_tokens"},
                                 OtherName{"prompt_len", "prompt_tokens"},
                                 OtherName{"arrival_ms", "arrival_s, in seconds"},
                                 OtherName{"arrival_time", "arrival_s, in seconds"},
                                 OtherName{"arrival", "arrival_s, in seconds"},
                                 OtherName{"timestamp", "arrival_s, in seconds"},
                                 OtherName{"time", "arrival_s, in seconds"},
                                 OtherName{"request_id", "id"},
                                 OtherName{"text", "prompt"},
                                 OtherName{"input", "prompt"}};

// All of them in one message.
void refuse_unknown_keys(const JsonObject& line) {
  std::string unknown;
  for (const auto& [key, value] : line.value().items()) {
    if (std::find(own_keys.begin(), own_keys.end(), key) != own_keys.end()) continue;
    const auto meant = std::find_if(other_names.begin(), other_names.end(),
                                    [&name = key](const OtherName& other) { return other.theirs == name; });
    const std::string near = meant != other_names.end() ? std::string(meant->ours) : nearest(key, own_keys);
    const std::string shown = quote(key);
    unknown += fmt::format("{}{}{}", unknown.empty() ? "" : ", ", shown.substr(1, shown.size() - 2),
                           near.empty() ? "" : fmt::format(" (did you mean {}?)", near));
  }
  if (!unknown.empty())
    throw InputError("{}: not known: {}; a request has {}", line.where(), unknown, fmt::join(own_keys, ", "));
}

// Seconds, or a date.
std::optional<double> read_arrival(const JsonObject& line) {
  const json* value = line.find("arrival_s");
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) {
    const auto time = parse_iso_time(value->get_ref<const std::string&>());
    if (!time) line.refuse("arrival_s", "seconds, or a date as 2024-02-03T10:00:00.1");
    return time;
  }
  const double seconds = line.number("arrival_s", -latest_s, latest_s);
  if (seconds < 0) line.refuse("arrival_s", "seconds since the start, 0 or more");
  return seconds;
}

void read_id(const JsonObject& line, RequestOutline& request) {
  const json* id = line.find("id");
  if (id == nullptr) return;
  if (!id->is_number_integer() && !id->is_string()) line.refuse("id", "a whole number or a text");
  request.id = *id;
}

TraceRow read_own(const JsonObject& line) {
  if (line.has("custom_id") && line.has("body"))
    throw InputError(
        "{}: it is a batch file for OpenAI's API; write its requests as {{prompt, output_tokens}}, one per line",
        line.where());
  refuse_unknown_keys(line);
  TraceRow row{.arrival_s = read_arrival(line)};
  read_id(line, row.request);
  if (line.has("prompt") == line.has("prompt_tokens"))
    throw InputError("{}: a request has either a prompt or prompt_tokens, {}", line.where(),
                     line.has("prompt") ? "not both" : "and this has none");
  if (line.has("prompt"))
    row.request.prompt = line.text("prompt");
  else
    row.request.prompt_tokens = line.integer("prompt_tokens", 0, longest_prompt);
  row.request.output_tokens = line.integer("output_tokens", 0, most_output_tokens);
  return row;
}

// input_length, output_length, and the time in a unit of its own.
TraceRow read_row(const JsonObject& line, double unit_s) {
  TraceRow row{.arrival_s = line.number("timestamp", -1, latest_s) * unit_s};
  row.request.prompt_tokens = line.integer("input_length", 0, longest_prompt);
  row.request.output_tokens = line.integer("output_length", 0, most_output_tokens);
  return row;
}

TraceRow read_vllm(const JsonObject& line) {
  TraceRow row;
  row.request.prompt = line.text("prompt");
  if (!line.has("output_tokens"))
    throw InputError("{}: it does not say how many tokens to generate; add output_tokens to each line", line.where());
  row.request.output_tokens = line.integer("output_tokens", 0, most_output_tokens);
  return row;
}

TraceRow read_json_row(const JsonObject& line, TraceFormat format) {
  switch (format) {
    case TraceFormat::mooncake:
      return read_row(line, 1e-3);
    case TraceFormat::bailian:
      return read_row(line, 1);
    case TraceFormat::vllm:
      return read_vllm(line);
    default:
      return read_own(line);
  }
}

// The first question of a conversation, and the answer to it, whose tokens are counted later.
std::vector<TraceRow> read_sharegpt(std::string_view text, std::string_view origin, std::size_t most) {
  const json content = parse_json(text, origin);
  if (!content.is_array()) throw InputError("{}: expected a list of conversations, as ShareGPT's files are", origin);
  std::vector<TraceRow> rows;
  for (const json& one : content) {
    if (rows.size() == most) break;
    const std::string where = fmt::format("{}: conversation {}", origin, rows.size());
    const JsonObject conversation(one, where);
    const json* turns = conversation.find("conversations");
    if (turns == nullptr || !turns->is_array()) conversation.refuse("conversations", "a list of turns");
    if (turns->size() < 2) continue;  // nobody answered
    TraceRow row;
    row.request.prompt = JsonObject((*turns)[0], where).text("value");
    row.request.output = JsonObject((*turns)[1], where).text("value");
    row.request.output_tokens = 1;  // at least
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string_view take_line(std::string_view& text) {
  std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

// The fields of a line of CSV; quotes around one are taken off.
std::vector<std::string> fields_of(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"')
      fields.back() += line[++i];
    else if (line[i] == '"')
      quoted = !quoted;
    else if (line[i] == ',' && !quoted)
      fields.emplace_back();
    else
      fields.back() += line[i];
  }
  return fields;
}

// Columns by their names in the header.
struct CsvColumns {
  std::string_view time, prompt, output;
};

CsvColumns columns_of(TraceFormat format) {
  if (format == TraceFormat::azure) return {"TIMESTAMP", "ContextTokens", "GeneratedTokens"};
  return {"Timestamp", "Request tokens", "Response tokens"};
}

class CsvReader {
 public:
  CsvReader(std::string_view header, std::string_view origin, TraceFormat format) : origin_(origin) {
    const std::vector<std::string> names = fields_of(header);
    const auto find = [&](std::string_view name) {
      const auto found = std::find(names.begin(), names.end(), name);
      if (found == names.end()) throw InputError("{}:1: there is no column {}", origin, name);
      return static_cast<std::size_t>(found - names.begin());
    };
    const CsvColumns columns = columns_of(format);
    time_ = find(columns.time);
    prompt_ = find(columns.prompt);
    output_ = find(columns.output);
    header_ = names;
  }

  TraceRow read(std::string_view line, std::int64_t number) const {
    const std::vector<std::string> fields = fields_of(line);
    if (fields.size() < header_.size())
      throw InputError("{}:{}: {} fields, but {} columns", origin_, number, fields.size(), header_.size());
    TraceRow row;
    row.arrival_s = parse_iso_time(fields[time_]);
    if (!row.arrival_s) row.arrival_s = parse_number(fields[time_]);
    if (!row.arrival_s || *row.arrival_s < 0) refuse(number, time_, fields[time_], "a time");
    row.request.prompt_tokens = count(number, prompt_, fields[prompt_], longest_prompt);
    row.request.output_tokens = count(number, output_, fields[output_], most_output_tokens);
    return row;
  }

 private:
  [[noreturn]] void refuse(std::int64_t number, std::size_t column, const std::string& found,
                           const char* expected) const {
    throw InputError("{}:{}: {}: expected {}, found {}", origin_, number, header_[column], expected, quote(found));
  }
  // Some writers have "52.0".
  std::int64_t count(std::int64_t number, std::size_t column, const std::string& text, std::int64_t most) const {
    const auto value = parse_number(text);
    if (!value || *value < 0 || *value > static_cast<double>(most) ||
        *value != static_cast<double>(static_cast<std::int64_t>(*value)))
      refuse(number, column, text, "a number of tokens");
    return static_cast<std::int64_t>(*value);
  }

  std::string_view origin_;
  std::vector<std::string> header_;
  std::size_t time_ = 0, prompt_ = 0, output_ = 0;
};

bool has_failed(const TraceRow& row) {
  return row.request.output_tokens == 0 || (!row.request.prompt && row.request.prompt_tokens == 0);
}

// Takes a whole number off the text; absent where there is none of so many digits.
std::optional<int> take_digits(std::string_view& text, std::size_t digits) {
  int value = 0;
  if (text.size() < digits) return std::nullopt;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + digits, value);
  if (error != std::errc() || stop != text.data() + digits || value < 0) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

// "Z", "+01:00", "-0800" or nothing, in seconds.
std::optional<double> take_offset(std::string_view text) {
  if (text.empty() || text == "Z" || text == "z" || text == " UTC") return 0;
  const bool is_behind = text.front() == '-';
  if (!take(text, "+-")) return std::nullopt;
  const auto hours = take_digits(text, 2);
  take(text, ":");
  const auto minutes = text.empty() ? std::optional(0) : take_digits(text, 2);
  if (!hours || !minutes || !text.empty()) return std::nullopt;
  return (is_behind ? -60.0 : 60.0) * (60 * *hours + *minutes);
}

}  // namespace

TraceFormat parse_trace_format(std::string_view word, std::string_view what) {
  const auto found = std::find(trace_format_words.begin(), trace_format_words.end(), word);
  if (found == trace_format_words.end())
    throw InputError("{}: '{}' is not a trace format; use one of {}", what, word, fmt::join(trace_format_words, ", "));
  return static_cast<TraceFormat>(found - trace_format_words.begin());
}

std::optional<double> parse_iso_time(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || !take(text, "T ")) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ":")) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ":")) return std::nullopt;
  const auto second = take_digits(text, 2);
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!second || !date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  double fraction = 0;
  if (text.starts_with('.')) {
    const auto digits = std::min(text.find_first_not_of("0123456789", 1), text.size());
    fraction = parse_number("0" + std::string(text.substr(0, digits))).value_or(0);
    text.remove_prefix(digits);
  }
  const auto offset = take_offset(text);
  if (!offset) return std::nullopt;
  const double days = std::chrono::sys_days(date).time_since_epoch().count();
  return days * 86400 + *hour * 3600 + *minute * 60 + *second + fraction - *offset;
}

TraceFormat recognise_trace(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  const std::string_view line = text.substr(0, text.find('\n'));
  const auto has = [&](const char* what) { return line.find(what) != std::string_view::npos; };
  if (text.starts_with('[') && text.substr(0, 4096).find("\"conversations\"") != std::string_view::npos)
    return TraceFormat::sharegpt;
  if (has("ContextTokens") && has("GeneratedTokens") && !text.starts_with('{')) return TraceFormat::azure;
  if (has("Request tokens") && has("Response tokens") && !text.starts_with('{')) return TraceFormat::burstgpt;
  if (has("\"chat_id\"") && has("\"input_length\"")) return TraceFormat::bailian;
  if (has("\"hash_ids\"") && has("\"input_length\"")) return TraceFormat::mooncake;
  return TraceFormat::own;
}

std::vector<TraceRow> read_trace_rows(std::string_view text, std::string_view origin, TraceFormat format,
                                      std::optional<std::int64_t> limit) {
  const auto most = static_cast<std::size_t>(limit.value_or(std::numeric_limits<std::int64_t>::max()));
  if (format == TraceFormat::sharegpt) return read_sharegpt(text, origin, most);
  std::optional<CsvReader> csv;
  std::int64_t number = 1;
  if (format == TraceFormat::azure || format == TraceFormat::burstgpt) {
    csv.emplace(take_line(text), origin, format);
    ++number;
  }
  std::vector<TraceRow> rows;
  std::size_t good = 0;
  for (; !text.empty() && good < most; ++number) {
    const std::string_view line = take_line(text);
    if (is_blank(line)) continue;
    if (csv) {
      rows.push_back(csv->read(line, number));
    } else {
      const json content = parse_json(line, origin, number);
      rows.push_back(read_json_row(JsonObject(content, fmt::format("{}:{}", origin, number)), format));
    }
    rows.back().line = number;
    good += has_failed(rows.back()) ? 0 : 1;
  }
  return rows;
}

}  // namespace batchscope
