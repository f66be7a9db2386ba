// Finds a reference for a cell's first items, and compares the two.
#include "study/sentinel.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "engine/local_engine.h"
#include "model/model.h"
#include "store/store.h"
#include "study/grid.h"
#include "study/json_optional.h"
#include "study/records.h"

namespace batchscope {
namespace {

// What our own engine may be asked for beside a cell: some seconds on a few cores.
constexpr double largest_reference_flop = 2e12;
constexpr std::int64_t largest_reference_parameters = 250'000'000;

bool is_own_reference(const CellSpec& spec) {
  return spec.engine.is_ours() && spec.run.batch == 1 && spec.placement.dtype == DType::f32 &&
         spec.placement.layout.ranks() == 1 && spec.placement.device.kind == "cpu" && spec.run.fusion == Fusion() &&
         spec.run.packing != Packing::prefix && !spec.max_tokens_per_sequence;
}

// The cell as our own engine runs it for a reference.
CellSpec reference_cell(const CellSpec& spec) {
  CellSpec plain;
  plain.model = spec.model;
  plain.task = spec.task;
  plain.sentinel_items = spec.sentinel_items;
  plain.sample = spec.sample;
  plain.sample_seed = spec.sample_seed;
  plain.limit = std::min(spec.limit.value_or(spec.sentinel_items), spec.sentinel_items);
  plain.placement.device = parse_device("cpu:1");
  return plain;
}

std::vector<ItemRecord> first_items(const std::vector<ItemScore>& items, std::int64_t count) {
  std::vector<ItemRecord> records;
  for (std::size_t i = 0; i < items.size() && std::ssize(records) < count; ++i)
    records.push_back({.id_json = id_text(items[i].id),
                       .gold = items[i].gold,
                       .log_likelihoods = items[i].log_likelihoods,
                       .truncated = items[i].truncated});
  return records;
}

// "9 of 32 answers differ from those of …"
std::string departure_text(const SentinelReport& report) {
  const SentinelVerdict& seen = report.verdict;
  return fmt::format("{} of the first {} answers differ from those of {}, and log-likelihoods by up to {:.3g} (half of "
                     "them by {:.2g} or more): more than rounding explains; the answers cannot be trusted",
                     seen.changed, seen.items, report.reference, seen.largest_difference, seen.typical_difference);
}

void add_numbers(const JsonObject& line, const nlohmann::json& values, std::vector<double>& numbers) {
  for (const auto& value : values) {
    if (!value.is_number()) line.refuse("ll", "numbers");
    numbers.push_back(value.get<double>());
  }
}

// Of a file of `eval --items`.
std::vector<ItemRecord> read_items(const std::filesystem::path& path, std::int64_t count) {
  std::vector<ItemRecord> items;
  const std::string text = read_file(path);
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < text.size() && std::ssize(items) < count;) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string where = fmt::format("{}:{}", path.string(), ++number);
    const nlohmann::json json = parse_json(std::string_view(text).substr(begin, end - begin), path.string(), number);
    const JsonObject line(json, where);
    const nlohmann::json* id = line.find("id");
    const nlohmann::json* values = line.find("ll");
    if (id == nullptr || values == nullptr || !values->is_array())
      throw InputError("{}: a line of `eval --items` with id and ll is expected", where);
    ItemRecord item{.id_json = id_text(*id), .truncated = line.boolean("truncated", false)};
    add_numbers(line, *values, item.log_likelihoods);
    items.push_back(std::move(item));
    begin = end + 1;
  }
  return items;
}

// The study's reference cell where the file has one that ran, else the first cell that did.
SentinelReference reference_of_file(const std::filesystem::path& path, std::int64_t count) {
  const StoreReader reader(path);
  std::string wanted;
  for (const StudyRecord& study : reader.studies()) {
    const nlohmann::json json = parse_json(study.spec_json, path.string());
    wanted = maybe_text(JsonObject(json, path.string()), "reference").value_or("");
  }
  std::optional<SentinelReference> found;
  for (const CellRecord& cell : reader.cells())
    for (const AttemptRecord& attempt : reader.attempts(cell.id)) {
      if (attempt.status != "ok" || (found && cell.key != wanted)) continue;
      std::vector<ItemRecord> items = reader.items(attempt.id);
      if (items.empty()) continue;
      items.resize(std::min<std::size_t>(items.size(), static_cast<std::size_t>(count)));
      const nlohmann::json json = parse_json(cell.spec_json, path.string());
      const CellSpec spec = cell_spec_from_json(JsonObject(json, path.string()).object("spec").value());
      found = SentinelReference{.name = fmt::format("{} in {}", cell.key, path.filename().string()),
                                .why_not = "",
                                .tolerance = sentinel_tolerance(spec),
                                .items = std::move(items)};
      break;
    }
  if (!found) throw InputError("--reference {}: no cell of it has answers and is ok", path.string());
  return *found;
}

}  // namespace

nlohmann::json to_json(const SentinelReference& reference) {
  nlohmann::json items = nlohmann::json::array();
  for (const ItemRecord& item : reference.items)
    items.push_back({{"id", item.id_json}, {"ll", item.log_likelihoods}});
  return {{"name", reference.name},
          {"why_not", reference.why_not},
          {"tolerance", reference.tolerance},
          {"items", std::move(items)}};
}

SentinelReference sentinel_reference_from_json(const nlohmann::json& json) {
  const JsonObject fields(json, "reference");
  SentinelReference reference{.name = fields.text("name"),
                              .why_not = fields.text("why_not"),
                              .tolerance = fields.number("tolerance", -1, 1e9)};
  const nlohmann::json* items = fields.find("items");
  if (items == nullptr || !items->is_array()) fields.refuse("items", "an array");
  for (const auto& each : *items) {
    const JsonObject item(each, "reference's item");
    const nlohmann::json* values = item.find("ll");
    if (values == nullptr || !values->is_array()) item.refuse("ll", "an array");
    ItemRecord& record = reference.items.emplace_back();
    record.id_json = item.text("id");
    add_numbers(item, *values, record.log_likelihoods);
  }
  return reference;
}

// A standard deviation in nats of a token whose probability is far from 1. Measured on models/tiny and stories260K
// against f32: bf16 0.01 to 0.03, f32 in other batches and layouts below 1e-5. Large models in bf16, whose logits of
// some tens are rounded to an eighth, come to 0.05. f16 has eight times bf16's precision. Other engines compute f32 in
// ways of their own: TF32 has f16's precision; llama.cpp rounds the activations that meet quantised weights to 8 bits,
// which comes to 0.05 on SmolLM2-135M in Q4_1 (200 items), 0.17 at most, as bf16 does. Weights in FP8 by rows, computed
// in f32, come to 0.13 on models/tiny (200 items) and on SmolLM2-135M (25), 0.87 at most.
double sentinel_tolerance(const CellSpec& spec) {
  constexpr double f32 = 0.002, f16 = 0.02, bf16 = 0.15, fp8 = 0.6;
  const Precision precision = spec.placement.precision();
  double coarsest = spec.engine.is_ours() ? f32 : f16;
  // Nobody has said what a server computes in, and most take bf16.
  if (spec.engine.is_server() && precision.compute == DType::f32) coarsest = bf16;
  if (!spec.engine.is_ours() && has_quantised_weights(spec.model)) coarsest = bf16;
  for (const DType dtype : {precision.weights, precision.compute, precision.kv}) {
    if (dtype == DType::fp8) coarsest = std::max(coarsest, fp8);
    if (dtype == DType::bf16) coarsest = std::max(coarsest, bf16);
    if (dtype == DType::f16) coarsest = std::max(coarsest, f16);
  }
  return coarsest;
}

SentinelReference reference_of(const CellSpec& spec, const std::string& name, const std::vector<ItemRecord>& items) {
  SentinelReference reference{.name = name, .why_not = "", .tolerance = sentinel_tolerance(spec)};
  const auto count = std::min<std::size_t>(items.size(), static_cast<std::size_t>(spec.sentinel_items));
  reference.items.assign(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(count));
  return reference;
}

std::string own_reference_key(const CellSpec& spec) {
  return fmt::format("{}|{}|{}", to_json(reference_cell(spec)).dump(), spec.workload.has_value(), is_own_reference(spec));
}

SentinelReference own_reference(const CellSpec& spec) {
  if (spec.sentinel_items == 0) return SentinelReference::none("--sentinel-items is 0");
  if (spec.workload) return SentinelReference::none("requests are generated, not scored");
  if (!spec.model.random_shape.empty()) return SentinelReference::none("answers of random weights mean nothing");
  if (spec.engine.is_server() && (spec.model.path.empty() || !std::filesystem::exists(spec.model.path)))
    return SentinelReference::none("the server's model is not here; name its files with --model");
  if (is_own_reference(spec)) return SentinelReference::none("it is what others are compared with");
  const CellSpec plain = reference_cell(spec);
  try {
    const PreparedTask task = prepare_task(plain);
    const auto parameters = task.config.value().parameters();
    const double flop = 2 * static_cast<double>(parameters) * static_cast<double>(task.requests.counts.requested);
    if (parameters > largest_reference_parameters || flop > largest_reference_flop)
      return SentinelReference::none(fmt::format(
          "the model has {:.3g} parameters, too many to be run here for a reference; name one with --reference",
          static_cast<double>(parameters)));
    if (task.requests.counts.truncated > 0) return SentinelReference::none("the questions are too long for the model");
    LocalEngine engine;
    engine.load(plain.model, plain.placement);
    CellResult result = run_cell(engine, plain, task, nullptr);
    if (result.status != CellStatus::ok) return SentinelReference::none("its reference failed: " + result.reason);
    return {.name = "batchscope at batch 1 in f32",
            .why_not = "",
            .tolerance = sentinel_tolerance(plain),
            .items = first_items(result.items, plain.sentinel_items)};
  } catch (const InputError& error) {
    return SentinelReference::none(fmt::format("batchscope's own engine cannot read the model: {}", error.what()));
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& error) {
    return SentinelReference::none(fmt::format("its reference failed: {}", error.what()));
  }
}

SentinelReference read_reference(const std::filesystem::path& path, const CellSpec& spec) {
  const auto count = std::max<std::int64_t>(spec.sentinel_items, 1);
  if (path.extension() == ".bscope") return reference_of_file(path, count);
  SentinelReference reference{.name = path.filename().string(),
                              .why_not = "",
                              .tolerance = sentinel_tolerance(spec),
                              .items = read_items(path, count)};
  if (reference.items.empty()) throw InputError("--reference {}: it has no items", path.string());
  return reference;
}

void watch(const SentinelReference& reference, const CellSpec& spec, CellResult& result) {
  if (spec.workload || result.items.empty() || spec.sentinel_items == 0) return;
  SentinelReport& report = result.sentinel.emplace();
  report.reference = reference.name;
  report.why_not = reference.why_not;
  if (!report.why_not.empty()) return;
  if (result.status == CellStatus::truncated || (result.run && result.run->tokens.truncated.value_or(0) > 0)) {
    report.why_not = "its questions were cut";
    return;
  }
  const std::vector<ItemRecord> here = first_items(result.items, spec.sentinel_items);
  std::vector<SentinelItem> pairs;
  for (std::size_t i = 0; i < std::min(here.size(), reference.items.size()); ++i) {
    const ItemRecord& theirs = reference.items[i];
    if (theirs.id_json != here[i].id_json || theirs.log_likelihoods.size() != here[i].log_likelihoods.size() ||
        theirs.truncated) {
      report.why_not = theirs.truncated ? "the reference's questions were cut" : "the reference has other questions";
      return;
    }
    pairs.push_back({theirs.log_likelihoods, here[i].log_likelihoods});
  }
  const double tolerance = std::max(reference.tolerance, sentinel_tolerance(spec));
  report.verdict = watch(pairs, tolerance);
  if (!report.verdict.departs() || result.status != CellStatus::ok) return;
  result.status = CellStatus::degraded;
  result.reason = departure_text(report) + (result.reason.empty() ? "" : "; " + result.reason);
}

}  // namespace batchscope
