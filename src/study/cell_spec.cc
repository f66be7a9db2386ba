// What a cell is set to (study/cell.h): as JSON, both ways, by the table of axes; and what cannot go together.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "base/units.h"
#include "study/axes.h"
#include "study/cell.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

constexpr double largest = std::numeric_limits<double>::max();

// The value of an axis as JSON has it; null for text that is no number where one belongs, such as "auto".
nlohmann::json value_json(const Axis& axis, const std::string& text) {
  if (axis.kind == AxisKind::count_or_word && text == "batch") return text;
  if (axis.kind == AxisKind::text)
    return text.empty() && axis.in_json != InJson::always ? nlohmann::json(nullptr) : nlohmann::json(text);
  if (text.empty() || text[0] < '0' || text[0] > '9') return nullptr;
  if (axis.kind == AxisKind::number) return parse_number(text, 0, largest, axis.word);
  return parse_integer(text, 0, any_integer, axis.word);
}

// Numbers as no exponent writes them, which not every axis takes.
std::string number_text(double value) {
  std::array<char, 400> buffer;
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
  return {buffer.data(), error == std::errc() ? end : buffer.data()};
}

std::string text_in(const Axis& axis, const JsonObject& fields, const std::string& key) {
  if (axis.kind == AxisKind::text) return fields.text(key);
  if (axis.kind == AxisKind::count_or_word && fields.find(key)->is_string()) return fields.text(key);
  if (axis.kind == AxisKind::number) return number_text(fields.number(key, -1, largest));
  return std::to_string(fields.integer(key, 0, any_integer));
}

void read_axis(const Axis& axis, const JsonObject& fields, const std::string& key, CellSpec& spec) {
  if (axis.from_json != nullptr) return axis.from_json(fields.object(key), spec);
  if (!fields.has(key) && axis.in_json != InJson::always) return;
  axis.set(spec, text_in(axis, fields, key), fields.name(key));
}

}  // namespace

nlohmann::json to_json(const CellSpec& spec) {
  nlohmann::json json;
  const CellSpec plain = with_nothing_set(spec);
  for (const Axis& axis : axes()) {
    if (!axis.applies_to(spec)) continue;
    const std::string text = axis.text(spec);
    if (axis.in_json == InJson::when_set && text == axis.text(plain)) continue;
    json[nlohmann::json::json_pointer(axis.json)] =
        axis.to_json != nullptr ? axis.to_json(spec) : value_json(axis, text);
  }
  return json;
}

CellSpec cell_spec_from_json(const nlohmann::json& json) {
  const JsonObject cell(json, "cell");
  CellSpec spec;
  if (cell.has("workload")) spec.workload.emplace();
  for (const Axis& axis : axes()) {
    if (!axis.applies_to(spec)) continue;
    const std::size_t slash = axis.json.rfind('/');
    const std::string key = axis.json.substr(slash + 1);
    read_axis(axis, slash > 0 ? cell.object(axis.json.substr(1, slash - 1)) : cell, key, spec);
  }
  check(spec);
  return spec;
}

// Cells with equal keys share a worker process and its loaded model.
std::string CellSpec::worker_key() const {
  std::string key;
  for (const Axis& axis : axes())
    if (axis.group == AxisGroup::engine || axis.group == AxisGroup::model || axis.group == AxisGroup::placement)
      key += axis.text(*this) + "|";
  return key;
}

namespace {

// What only our own engine can be held to, and what only servers can.
void check_engine(const CellSpec& spec) {
  if (!spec.engine.is_server() && spec.engine.access != ServerAccess())
    throw InputError("--retries, --request-timeout, --token-file and --token-variable are for servers, not for --engine {}",
                     label(spec.engine));
  if (!spec.engine.access.token_file.empty() && !spec.engine.access.token_variable.empty())
    throw InputError("--token-file and --token-variable cannot be combined; give one");
  if (spec.engine.is_ours()) return;
  const auto refuse = [&](bool is_set, const char* what) {
    if (is_set)
      throw InputError("{}: only batchscope's own engine can be held to it, not --engine {}; leave it out", what,
                       label(spec.engine));
  };
  refuse(!spec.model.random_shape.empty(), "--random-weights");
  refuse(spec.workload.has_value() && !spec.engine.is_server(), "--prompt-tokens, --trace and their like");
  refuse(spec.max_tokens_per_sequence.has_value(), "--max-tokens-per-sequence");
  refuse(spec.run.batch_tokens.has_value(), "--batch-tokens");
  refuse(spec.run.device_memory_bytes.has_value(), "--device-memory");
  refuse(spec.run.link != LinkSpec(), "--link");
}

}  // namespace

void check(const CellSpec& spec) {
  if (spec.run.batch < 1) throw InputError("--batch: {} sequences cannot be run; the minimum is 1", spec.run.batch);
  if (spec.limit && *spec.limit < 1) throw InputError("--limit: {} items; the minimum is 1", *spec.limit);
  if (spec.run.device_memory_bytes && *spec.run.device_memory_bytes < 1)
    throw InputError("--device-memory: {} bytes; the minimum is 1", *spec.run.device_memory_bytes);
  if (spec.max_tokens_per_sequence && *spec.max_tokens_per_sequence < 1)
    throw InputError("--max-tokens-per-sequence: {} tokens; the minimum is 1", *spec.max_tokens_per_sequence);
  if (spec.workload && !spec.task.empty())
    throw InputError(
        "--task {}: its questions are scored, but --prompt-tokens, --trace and the like ask for generation; leave "
        "out "
        "one or the other",
        spec.task);
  if (spec.sample && spec.workload) throw InputError("--sample: it takes questions; requests to generate have --limit");
  if (spec.workload) check(*spec.workload);
  check_engine(spec);
  check(spec.placement);
}

}  // namespace batchscope
