// Lines of JSON, made and read (engine/command/protocol.h).
#include "engine/command/protocol.h"

#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace batchscope::engine_protocol {
namespace {

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t most_words = 64, most_devices = 1024;
constexpr double longest_s = 1e9;

std::string line_of(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <class T>
nlohmann::json or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

// Throws what the engine says went wrong.
void refuse_error(const JsonObject& answer) {
  if (!answer.has("error")) return;
  const std::string text = answer.text("error");
  const std::string kind = answer.text("kind", "failed");
  if (kind == "out_of_memory") throw OutOfMemory("the engine is out of memory: " + text);
  if (kind == "bad_input") throw InputError("the engine: {}", text);
  if (kind != "failed") answer.refuse("kind", "out_of_memory, bad_input or failed");
  throw Failure("the engine failed: {}", text);
}

std::vector<std::string> words(const JsonObject& object, const char* key) {
  if (!object.has(key)) return {};
  std::vector<std::string> found = object.texts(key);
  if (found.size() > most_words) object.refuse(key, "a few words");
  return found;
}

std::optional<std::int64_t> count(const JsonObject& object, const char* key) {
  return object.has(key) ? std::optional(object.integer(key, 0, most)) : std::nullopt;
}

// Python writes NaN and -Infinity, which parse_json() hands out as texts.
double number_of(const JsonObject& answer, const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_null() || value == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (value == "Infinity") return std::numeric_limits<double>::infinity();
  if (value == "-Infinity") return -std::numeric_limits<double>::infinity();
  answer.refuse("log_likelihoods", "numbers");
}

const nlohmann::json& array(const JsonObject& object, const char* key) {
  const nlohmann::json* found = object.find(key);
  if (found == nullptr || !found->is_array()) object.refuse(key, "an array");
  return *found;
}

DeviceReport device(const nlohmann::json& json) {
  const JsonObject fields(json, "answer to score", "devices.");
  DeviceReport device;
  device.name = fields.text("name");
  device.is_virtual = false;
  device.memory.capacity_bytes = count(fields, "memory_capacity_bytes");
  device.memory.peak_bytes = count(fields, "memory_peak_bytes");
  return device;
}

}  // namespace

std::string hello() { return line_of({{"ask", "hello"}, {"protocol", version}}); }

std::string load(const ModelSource& model, const Placement& placement) {
  return line_of({{"ask", "load"},
                  {"model", model.path},
                  {"device", to_string(placement.device)},
                  {"parallel", placement.layout.to_string()},
                  {"dtype", std::string(name_of(placement.dtype))},
                  {"threads", or_null(placement.threads)}});
}

std::string prepare(std::span<const ScoreRequest> requests, const RunSettings& settings) {
  nlohmann::json all = nlohmann::json::array();
  for (const ScoreRequest& request : requests)
    all.push_back({{"group", request.group}, {"context", request.context}, {"continuation", request.continuation}});
  return line_of({{"ask", "prepare"},
                  {"batch", settings.batch},
                  {"packing", to_string(settings.packing)},
                  {"fusion", to_string(settings.fusion)},
                  {"requests", std::move(all)}});
}

std::string warm_up() { return line_of({{"ask", "warm_up"}}); }
std::string score() { return line_of({{"ask", "score"}}); }

bool is_progress(std::string_view line) {
  // No answer has it: a whole parse of a long one is not spent on the question.
  constexpr std::string_view key = "{\"progress\"";
  return line.starts_with(key);
}

Hello read_hello(std::string_view line) {
  const nlohmann::json json = parse_json(line, "answer to hello");
  const JsonObject answer(json, "answer to hello");
  refuse_error(answer);
  Hello hello;
  hello.name = answer.text("name");
  hello.version = answer.text("version", "");
  if (hello.name.empty()) answer.refuse("name", "the engine's name");
  if (const std::int64_t spoken = answer.integer("protocol", 1, most, version); spoken != version)
    throw InputError("answer to hello: it speaks protocol {}, this program {}", spoken, version);
  hello.capabilities = {.layouts = words(answer, "layouts"),
                        .fusions = words(answer, "fusions"),
                        .packings = words(answer, "packings"),
                        .dtypes = words(answer, "dtypes"),
                        .plans = false,
                        .scores = true,
                        .generates = false};
  return hello;
}

void read_done(std::string_view line, std::string_view asked) {
  const std::string where = fmt::format("answer to {}", asked);
  const nlohmann::json json = parse_json(line, where);
  const JsonObject answer(json, where);
  refuse_error(answer);
  if (!answer.boolean("done")) answer.refuse("done", "true");
}

ScoreReport read_scores(std::string_view line, std::size_t requests) {
  const nlohmann::json json = parse_json(line, "answer to score");
  const JsonObject answer(json, "answer to score");
  refuse_error(answer);
  ScoreReport report;
  for (const auto& value : array(answer, "log_likelihoods"))
    report.log_likelihoods.push_back(number_of(answer, value));
  if (report.log_likelihoods.size() != requests)
    throw InputError("answer to score: log_likelihoods: {} were asked for, {} came", requests,
                     report.log_likelihoods.size());
  if (answer.has("tokens")) {
    const JsonObject tokens = answer.object("tokens");
    report.tokens = {count(tokens, "requested"), count(tokens, "truncated"), count(tokens, "computed"),
                     count(tokens, "padding")};
    if (report.tokens.truncated.value_or(0) > report.tokens.requested.value_or(most))
      tokens.refuse("truncated", "no more than requested");
  }
  report.batches = count(answer, "batches");
  if (answer.has("batch_seconds")) {
    const nlohmann::json& times = array(answer, "batch_seconds");
    for (const auto& time : times) {
      if (!time.is_number() || !(time.get<double>() >= 0) || time.get<double>() > longest_s)
        answer.refuse("batch_seconds", "times in seconds");
      report.batch_times.push_back(from_seconds(time.get<double>()));
    }
    if (!report.batches) report.batches = std::ssize(times);
  }
  if (answer.has("devices")) {
    const nlohmann::json& devices = array(answer, "devices");
    if (devices.size() > most_devices) answer.refuse("devices", "a few devices");
    for (const auto& each : devices) report.devices.push_back(device(each));
  }
  return report;
}

}  // namespace batchscope::engine_protocol
