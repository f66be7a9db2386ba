// Cells as JSON (study/cell.h): the spec both ways, the result as the object of `eval --json`.
#include "study/cell.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/units.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

constexpr std::array cell_statuses{CellStatus::ok, CellStatus::truncated, CellStatus::out_of_memory, CellStatus::failed,
                                   CellStatus::timed_out};

// Exact, unlike the text that people write.
nlohmann::json link_json(const LinkSpec& link) {
  return {{"kind", link.kind ? nlohmann::json(std::string(name_of(*link.kind))) : nlohmann::json(nullptr)},
          {"bytes_per_second", json_or_null(link.bytes_per_second)},
          {"latency_ns", link.latency.count()}};
}

LinkSpec link_from_json(const JsonObject& fields) {
  LinkSpec link;
  if (const auto name = maybe_text(fields, "kind")) {
    constexpr std::array kinds{LinkKind::virtual_link, LinkKind::nvlink, LinkKind::pcie, LinkKind::nic};
    const auto found = std::find_if(kinds.begin(), kinds.end(), [&](LinkKind kind) { return name_of(kind) == *name; });
    if (found == kinds.end()) fields.refuse("kind", "virtual, nvlink, pcie or nic");
    link.kind = *found;
  }
  if (fields.has("bytes_per_second"))
    link.bytes_per_second = fields.number("bytes_per_second", 0, std::numeric_limits<double>::max());
  link.latency = Nanoseconds(fields.integer("latency_ns", 0, any_integer));
  return link;
}

// The value that `share` of the sorted times do not exceed (nearest rank), in ms.
nlohmann::json percentile_ms(const std::vector<Nanoseconds>& sorted, double share) {
  if (sorted.empty()) return nullptr;
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return to_seconds(sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1]) * 1e3;
}

// Of times in any order, in ms; null where there are none.
nlohmann::json percentiles_ms(std::vector<Nanoseconds> times) {
  std::sort(times.begin(), times.end());
  return {
      {"p50", percentile_ms(times, 0.50)}, {"p90", percentile_ms(times, 0.90)}, {"p99", percentile_ms(times, 0.99)}};
}

nlohmann::json scores_json(const std::optional<TaskScores>& scores) {
  nlohmann::json json;
  const auto put = [&](const char* key, auto get) {
    json[key] = scores ? nlohmann::json(get(*scores)) : nlohmann::json(nullptr);
  };
  put("items", [](const TaskScores& s) { return s.items; });
  put("acc", [](const TaskScores& s) { return s.acc; });
  put("acc_stderr", [](const TaskScores& s) { return s.acc_stderr; });
  put("acc_norm", [](const TaskScores& s) { return s.acc_norm; });
  put("acc_norm_stderr", [](const TaskScores& s) { return s.acc_norm_stderr; });
  put("acc_norm_low", [](const TaskScores& s) { return s.acc_norm_interval.low; });
  put("acc_norm_high", [](const TaskScores& s) { return s.acc_norm_interval.high; });
  put("acc_bytes", [](const TaskScores& s) { return s.acc_bytes; });
  put("acc_tokens", [](const TaskScores& s) { return s.acc_tokens; });
  return json;
}

nlohmann::json link_json(const LinkReport& link) {
  return {{"kind", std::string(name_of(link.kind))},
          {"predicted_tx_bytes", json_or_null(link.predicted_tx_bytes)},
          {"counted_tx_bytes", json_or_null(link.counted_tx_bytes)},
          {"link_tx_bytes", json_or_null(link.link_tx_bytes)},
          {"predicted_rx_bytes", json_or_null(link.predicted_rx_bytes)},
          {"counted_rx_bytes", json_or_null(link.counted_rx_bytes)},
          {"link_rx_bytes", json_or_null(link.link_rx_bytes)}};
}

}  // namespace

nlohmann::json to_json(const DeviceReport& device) {
  nlohmann::json links = nlohmann::json::array();
  for (const LinkReport& link : device.links) links.push_back(link_json(link));
  const auto busy = [&](double DeviceReport::Busy::*share) {
    return device.busy ? nlohmann::json(*device.busy.*share) : nlohmann::json(nullptr);
  };
  return {{"name", device.name},
          {"virtual", device.is_virtual},
          {"threads", json_or_null(device.threads)},
          {"memory",
           {{"capacity_bytes", json_or_null(device.memory.capacity_bytes)},
            {"planned_bytes", json_or_null(device.memory.planned_bytes)},
            {"peak_bytes", json_or_null(device.memory.peak_bytes)}}},
          {"links", std::move(links)},
          {"busy",
           {{"compute", busy(&DeviceReport::Busy::compute)},
            {"communicate", busy(&DeviceReport::Busy::communicate)},
            {"idle", busy(&DeviceReport::Busy::idle)}}},
          {"energy_j", json_or_null(device.energy_joule)}};
}

namespace {

// Time, tokens and batches of a run; null in every place for a cell that did not get that far.
nlohmann::json run_json(const std::optional<ScoreReport>& run) {
  const auto known = [&](auto value) { return run ? nlohmann::json(value(*run)) : nlohmann::json(nullptr); };
  // A cell that never ran knows what was asked and cut; of what it would have computed it knows nothing.
  const bool ran = run && run->time > Nanoseconds(0);
  nlohmann::json devices = nlohmann::json::array();
  if (run)
    for (const DeviceReport& device : run->devices) devices.push_back(to_json(device));

  nlohmann::json json;
  json["tokens"] = {{"requested", known([](const ScoreReport& r) { return r.tokens.requested; })},
                    {"truncated", known([](const ScoreReport& r) { return r.tokens.truncated; })},
                    {"computed", ran ? nlohmann::json(run->tokens.computed) : nlohmann::json(nullptr)},
                    {"padding", ran ? nlohmann::json(run->tokens.padding) : nlohmann::json(nullptr)}};
  json["seconds"] = ran ? nlohmann::json(to_seconds(run->time)) : nlohmann::json(nullptr);
  json["batches"] = ran ? nlohmann::json(run->batches) : nlohmann::json(nullptr);
  json["batch_ms"] = percentiles_ms(run ? run->batch_times : std::vector<Nanoseconds>());
  // Tokens that the task asked for and got, not those computed: the same work under every packing.
  json["tokens_per_s"] =
      ran ? nlohmann::json(static_cast<double>(run->tokens.requested - run->tokens.truncated) / to_seconds(run->time))
          : nlohmann::json(nullptr);
  json["devices"] = std::move(devices);
  return json;
}

// Of a workload that ran; null in every place for questions.
nlohmann::json requests_json(const CellResult& result) {
  std::vector<Nanoseconds> first, per_output, queue, latency;
  std::int64_t output_tokens = 0;
  for (const RequestResult& request : result.requests) {
    first.push_back(request.time_to_first_token());
    queue.push_back(request.queue_time());
    latency.push_back(request.latency());
    output_tokens += request.output_tokens;
    if (const auto time = request.time_per_output_token()) per_output.push_back(*time);
  }
  const bool ran = !result.requests.empty();
  nlohmann::json json;
  json["requests"] = ran ? nlohmann::json(result.requests.size()) : nlohmann::json(nullptr);
  json["output_tokens"] = ran ? nlohmann::json(output_tokens) : nlohmann::json(nullptr);
  json["output_tokens_per_s"] =
      ran ? nlohmann::json(static_cast<double>(output_tokens) / to_seconds(result.run->time)) : nlohmann::json(nullptr);
  json["ttft_ms"] = percentiles_ms(std::move(first));
  json["tpot_ms"] = percentiles_ms(std::move(per_output));
  json["queue_ms"] = percentiles_ms(std::move(queue));
  json["latency_ms"] = percentiles_ms(std::move(latency));
  json["time_to_first_token_ms"] = json["ttft_ms"]["p50"];
  json["time_per_output_token_ms"] = json["tpot_ms"]["p50"];
  return json;
}

}  // namespace

std::string to_string(CellStatus status) {
  switch (status) {
    case CellStatus::ok:
      return "ok";
    case CellStatus::truncated:
      return "truncated";
    case CellStatus::out_of_memory:
      return "out_of_memory";
    case CellStatus::failed:
      return "failed";
    case CellStatus::timed_out:
      return "timed_out";
  }
  return "failed";
}

CellStatus parse_cell_status(std::string_view text) {
  for (const CellStatus status : cell_statuses)
    if (to_string(status) == text) return status;
  throw InputError("'{}' is not a cell's status; ok, truncated, out_of_memory, failed or timed_out are", text);
}

ExitCode exit_code(CellStatus status) {
  switch (status) {
    case CellStatus::ok:
    case CellStatus::truncated:
      return ExitCode::ok;
    case CellStatus::out_of_memory:
      return ExitCode::out_of_memory;
    case CellStatus::failed:
      return ExitCode::failed;
    case CellStatus::timed_out:
      return ExitCode::timed_out;
  }
  return ExitCode::failed;
}

std::string to_string(WhenTooLong when) { return std::string(when_too_long_words[static_cast<std::size_t>(when)]); }

WhenTooLong parse_when_too_long(std::string_view text, std::string_view what) {
  const auto found = std::find(when_too_long_words.begin(), when_too_long_words.end(), text);
  if (found != when_too_long_words.end()) return static_cast<WhenTooLong>(found - when_too_long_words.begin());
  throw InputError("{}: '{}' is neither fail nor truncate", what, text);
}

std::string CellSpec::worker_key() const {
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}", engine, model.path, model.random_shape, model.seed,
                     to_string(placement.device), placement.layout.to_string(), name_of(placement.dtype),
                     placement.threads.value_or(0));
}

nlohmann::json to_json(const CellSpec& spec) {
  nlohmann::json json = {
      {"engine", spec.engine},
      {"model", {{"path", spec.model.path}, {"random_shape", spec.model.random_shape}, {"seed", spec.model.seed}}},
      {"task", spec.task},
      {"limit", json_or_null(spec.limit)},
      {"device", to_string(spec.placement.device)},
      {"parallel", spec.placement.layout.to_string()},
      {"dtype", std::string(name_of(spec.placement.dtype))},
      {"threads", json_or_null(spec.placement.threads)},
      {"fusion", to_string(spec.run.fusion)},
      {"batch", spec.run.batch},
      {"packing", to_string(spec.run.packing)},
      {"device_memory_bytes", json_or_null(spec.run.device_memory_bytes)},
      {"link", link_json(spec.run.link)},
      {"max_tokens_per_sequence", json_or_null(spec.max_tokens_per_sequence)},
      {"when_too_long", to_string(spec.when_too_long)}};
  if (spec.run.batch_tokens) json["batch_tokens"] = *spec.run.batch_tokens;
  if (spec.workload) json["workload"] = to_json(*spec.workload);  // files from before workloads mean the same without
  return json;
}

CellSpec cell_spec_from_json(const nlohmann::json& json) {
  const JsonObject fields(json, "cell");
  const JsonObject model = fields.object("model");
  CellSpec spec;
  spec.engine = fields.text("engine");
  spec.model.path = model.text("path");
  spec.model.random_shape = model.text("random_shape");
  spec.model.seed = static_cast<std::uint64_t>(model.integer("seed", 0, any_integer));
  spec.task = fields.text("task");
  if (const nlohmann::json* workload = fields.find("workload")) spec.workload = workload_from_json(*workload);
  spec.limit = maybe_integer(fields, "limit", 1);
  spec.placement.device = parse_device(fields.text("device"));
  spec.placement.layout = Layout::parse(fields.text("parallel"));
  spec.placement.dtype = parse_dtype(fields.text("dtype"), fields.name("dtype"));
  if (fields.has("threads")) spec.placement.threads = static_cast<int>(fields.integer("threads", 1, 4096));
  spec.run.fusion = parse_fusion(fields.text("fusion"));
  spec.run.batch = fields.integer("batch", 1, any_integer);
  spec.run.packing = parse_packing(fields.text("packing"));
  spec.run.device_memory_bytes = maybe_integer(fields, "device_memory_bytes", 1);
  spec.run.link = link_from_json(fields.object("link"));
  spec.run.batch_tokens = maybe_integer(fields, "batch_tokens", 1);
  spec.max_tokens_per_sequence = maybe_integer(fields, "max_tokens_per_sequence", 1);
  spec.when_too_long = parse_when_too_long(fields.text("when_too_long"), fields.name("when_too_long"));
  check(spec);
  return spec;
}

void check(const CellSpec& spec) {
  if (spec.run.batch < 1) throw InputError("--batch: {} sequences cannot be run; 1 is the least", spec.run.batch);
  if (spec.limit && *spec.limit < 1) throw InputError("--limit: {} items; 1 is the least", *spec.limit);
  if (spec.run.device_memory_bytes && *spec.run.device_memory_bytes < 1)
    throw InputError("--device-memory: {} bytes; 1 is the least", *spec.run.device_memory_bytes);
  if (spec.max_tokens_per_sequence && *spec.max_tokens_per_sequence < 1)
    throw InputError("--max-tokens-per-sequence: {} tokens; 1 is the least", *spec.max_tokens_per_sequence);
  if (spec.workload && !spec.task.empty())
    throw InputError(
        "--task {}: its questions are scored, but --prompt-tokens, --trace and their like ask for generation; leave "
        "out "
        "one or the other",
        spec.task);
  if (spec.workload) check(*spec.workload);
  check(spec.placement);
}

nlohmann::json to_json(const CellResult& result) {
  nlohmann::json json = scores_json(result.scores);
  json.update(run_json(result.run));
  json.update(requests_json(result));
  json["status"] = to_string(result.status);
  json["valid"] = json_or_null(result.valid);
  json["reason"] = result.reason;
  json["load_seconds"] = result.load_time ? nlohmann::json(to_seconds(*result.load_time)) : nlohmann::json(nullptr);
  json["environment"] = result.environment.is_object() ? result.environment : nlohmann::json::object();
  return json;
}

}  // namespace batchscope
