// Traces of requests (read_trace of task/workload.h).
#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/units.h"
#include "task/workload.h"

namespace batchscope {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 5> keys{"id", "arrival_s", "prompt", "prompt_tokens", "output_tokens"};
constexpr std::int64_t most_prompt_tokens = 1 << 24;  // of one request
constexpr double latest_s = 1e9;

void refuse_unknown_keys(const JsonObject& line) {
  for (const auto& [key, value] : line.value().items()) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    const std::string near = nearest(key, keys);
    throw InputError("{}: this key is not known; {}", line.name(key),
                     near.empty() ? fmt::format("a request has {}", fmt::join(keys, ", "))
                                  : fmt::format("did you mean '{}'?", near));
  }
}

Nanoseconds read_arrival(const JsonObject& line) {
  if (!line.has("arrival_s")) return Nanoseconds(0);
  const double seconds = line.number("arrival_s", -latest_s, latest_s);
  if (seconds < 0) line.refuse("arrival_s", "seconds since the begin, 0 or more");
  return from_seconds(seconds);
}

RequestOutline read_line(const JsonObject& line, std::int64_t place) {
  refuse_unknown_keys(line);
  RequestOutline request;
  request.id = place;
  if (const json* id = line.find("id")) {
    if (!id->is_number_integer() && !id->is_string()) line.refuse("id", "a whole number or a text");
    request.id = *id;
  }
  request.arrival = read_arrival(line);
  if (line.has("prompt") == line.has("prompt_tokens"))
    throw InputError("{}: a request has either a prompt or prompt_tokens, {}", line.where(),
                     line.has("prompt") ? "not both" : "and this has none");
  if (line.has("prompt"))
    request.prompt = line.text("prompt");
  else
    request.prompt_tokens = line.integer("prompt_tokens", 1, most_prompt_tokens);
  request.output_tokens = line.integer("output_tokens", 1, most_output_tokens);
  return request;
}

}  // namespace

std::vector<RequestOutline> parse_trace(std::string_view text, std::string_view origin,
                                        std::optional<std::int64_t> limit) {
  std::vector<RequestOutline> requests;
  std::unordered_map<std::string, std::int64_t> lines;  // of each id
  for (std::int64_t number = 1;
       !text.empty() && std::ssize(requests) < limit.value_or(std::numeric_limits<std::int64_t>::max()); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", origin, number);
    const json content = parse_json(line, origin, number);
    RequestOutline request = read_line(JsonObject(content, where), std::ssize(requests));
    if (!requests.empty() && request.arrival < requests.back().arrival)
      throw InputError("{}: arrives before the request above it; sort the lines by arrival_s", where);
    const std::string id = request.id.dump(-1, ' ', false, json::error_handler_t::replace);
    const auto [first, is_new] = lines.emplace(id, number);
    if (!is_new)
      throw InputError("{}: id {} was already used in line {}; ids must differ", where, quote(id), first->second);
    requests.push_back(std::move(request));
  }
  if (requests.empty()) throw InputError("{}: no request in it; it holds one JSON object a line", origin);
  return requests;
}

std::vector<RequestOutline> read_trace(const std::filesystem::path& path, std::optional<std::int64_t> limit) {
  return parse_trace(read_file(path), path.string(), limit);
}

}  // namespace batchscope
