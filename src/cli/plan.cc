// `batchscope plan`: memory and traffic to the byte, and the largest batch that fits; loads nothing, needs no GPU.
#include "plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/output.h"
#include "report/text.h"
#include "study/cell.h"

namespace batchscope::cli {
namespace {

// Where sequences are made up for a plan, no more of them, and of their tokens, than this.
constexpr std::int64_t most_sequences = 1 << 16;
constexpr std::int64_t most_tokens = 1 << 24;

struct PlanOptions {
  CellOptions cell;
  std::string sequence_length, new_tokens, json;
};

// What is planned: a plan for any batch, and how large a batch can be at all.
struct Subject {
  std::string what;  // "480 questions", "sequences of 100 tokens"
  std::function<Plan(std::int64_t batch)> plan_of;
  std::int64_t most = 0;
};

Subject task_subject(const CellSpec& spec) {
  const auto task = std::make_shared<PreparedTask>(prepare_task(spec));
  const auto plan_of = [spec, task](std::int64_t batch) {
    CellSpec of_batch = spec;
    of_batch.run.batch = batch;
    return plan_cell(of_batch, *task);
  };
  const auto what = !task->workload ? fmt::format("{} questions", task->questions.size())
                    : task->workload->all_at_begin()
                        ? fmt::format("{} requests", task->workload->requests.size())
                        : fmt::format("{} requests as if all were there at the begin", task->workload->requests.size());
  return {what, plan_of, task->sequences()};
}

Subject sequence_subject(const CellSpec& spec, std::int64_t length, std::optional<std::int64_t> new_tokens) {
  const ModelConfig config = read_config(spec.model);
  spec.placement.layout.check(config);
  if (length + new_tokens.value_or(0) > config.longest_input())
    throw InputError("--sequence-length {}: with what is generated that is more than the {} tokens {} was made for",
                     length, config.longest_input(), config.name);
  const std::int64_t most =
      std::clamp<std::int64_t>(most_tokens / (length + new_tokens.value_or(0)), 1, most_sequences);
  if (spec.run.batch > most)
    throw InputError("--batch {}: a plan without a task makes up {} sequences of that length at most; use fewer",
                     spec.run.batch, most);
  const auto plan_of = [spec, config, length, new_tokens](std::int64_t batch) {
    RunSettings settings = spec.run;
    settings.batch = batch;
    // A batch for each replica, so that every device has work.
    const auto count = static_cast<std::size_t>(batch * spec.placement.layout.replicas());
    if (new_tokens) {
      const GenerateRequest request{std::vector<std::int32_t>(static_cast<std::size_t>(length)), *new_tokens};
      return plan_generate(config, spec.placement, settings, std::vector<GenerateRequest>(count, request));
    }
    const ScoreRequest request{0, std::vector<std::int32_t>(static_cast<std::size_t>(length + 1)), length};
    return plan_score(config, spec.placement, settings, std::vector<ScoreRequest>(count, request));
  };
  const auto what = new_tokens
                        ? fmt::format("one batch of prompts of {} tokens, {} generated for each", length, *new_tokens)
                        : fmt::format("one batch of sequences of {} tokens", length);
  return {what, plan_of, most};
}

Subject subject_of(const PlanOptions& options, const CellSpec& spec) {
  const bool other_model = !spec.model.path.empty() || !spec.model.random_shape.empty();
  if (options.sequence_length.empty()) {
    if (!options.new_tokens.empty())
      throw InputError("--new-tokens: say also how long the prompts are, --sequence-length N");
    if (other_model && spec.task.empty() && !spec.workload)
      throw InputError(
          "plan: say what is to be run: --task FILE, --prompt-tokens N --output-tokens N, or --sequence-length N for "
          "sequences of N tokens");
    return task_subject(spec);
  }
  if (!spec.task.empty() || spec.workload)
    throw InputError(
        "--sequence-length: it stands for a task; leave out --task, --prompt-tokens, --trace and their like");
  const auto length = parse_integer(options.sequence_length, 1, 1 << 24, "--sequence-length");
  std::optional<std::int64_t> new_tokens;
  if (!options.new_tokens.empty()) new_tokens = parse_integer(options.new_tokens, 1, 1 << 20, "--new-tokens");
  return sequence_subject(spec, length, new_tokens);
}

nlohmann::json device_json(const DevicePlan& device) {
  nlohmann::json memory;
  for (const MemoryUse use : memory_uses)
    memory[fmt::format("{}_bytes", name_of(use))] = device.bytes[static_cast<std::size_t>(use)];
  memory["total_bytes"] = device.total_bytes;
  return {{"memory", memory},
          {"links", nlohmann::json::array({{{"kind", std::string(name_of(device.link))},
                                            {"tx_bytes", device.tx_bytes},
                                            {"rx_bytes", device.rx_bytes}}})},
          {"flop", device.flop}};
}

nlohmann::json plan_json(const Plan& plan, std::optional<std::int64_t> largest) {
  nlohmann::json devices = nlohmann::json::array();
  for (const auto& device : plan.devices) devices.push_back(device_json(device));
  return {{"devices", devices}, {"largest_batch", largest ? nlohmann::json(*largest) : nlohmann::json()}};
}

std::string plan_text(const Plan& plan, const CellSpec& spec, const Subject& subject,
                      std::optional<std::int64_t> largest) {
  TextTable table({"device", "weights", "KV", "activ.", "other", "total", "TX", "RX", "TFLOP"});
  for (std::size_t i = 0; i < plan.devices.size(); ++i) {
    const DevicePlan& device = plan.devices[i];
    const auto use = [&](MemoryUse which) { return device.bytes[static_cast<std::size_t>(which)]; };
    const auto bytes = [](std::int64_t count) -> TextTable::Cell { return {bytes_text(static_cast<double>(count))}; };
    table.add({{fmt::format("{}:{}", spec.placement.device.kind, spec.placement.device.numbers[i])},
               bytes(use(MemoryUse::weights)),
               bytes(use(MemoryUse::kv)),
               bytes(use(MemoryUse::activations)),
               bytes(use(MemoryUse::workspace) + use(MemoryUse::communication) + use(MemoryUse::context)),
               bytes(device.total_bytes),
               bytes(device.tx_bytes),
               bytes(device.rx_bytes),
               {fmt::format("{:.3g}", device.flop / 1e12)}});
  }
  std::string text = wrap(fmt::format("plan of {}: {}, fusion {}, batch {}, {}, {}", subject.what,
                                      spec.placement.layout.to_string(), to_string(spec.run.fusion), spec.run.batch,
                                      to_string(spec.run.packing), name_of(spec.placement.dtype)),
                          terminal_columns, 2) +
                     "\n" + table.print(stdout_has_colour());
  if (largest)
    text +=
        fmt::format("largest batch that fits {}: {}\n", bytes_text(static_cast<double>(*spec.run.device_memory_bytes)),
                    *largest > 0 ? fmt::format("{}{}", *largest, *largest == subject.most ? " (all there is)" : "")
                                 : "none, not even 1");
  return text;
}

void plan(const PlanOptions& options) {
  check_destination(options.json, "--json");
  const CellSpec spec = options.cell.cell();
  const Subject subject = subject_of(options, spec);
  const Plan planned = subject.plan_of(spec.run.batch);
  std::optional<std::int64_t> largest;
  if (spec.run.device_memory_bytes)
    largest = largest_batch(subject.most, *spec.run.device_memory_bytes, subject.plan_of);
  if (!options.json.empty()) write_output(options.json, plan_json(planned, largest).dump(2) + "\n");
  if (options.json != "-") print(plan_text(planned, spec, subject, largest));
}

}  // namespace

void add_plan(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = app.add_subcommand("plan", "memory, traffic and the largest batch; loads nothing");
  options->cell.add_all(*command);
  command->add_option("--sequence-length", options->sequence_length, "plan one batch of sequences of N tokens, no task")
      ->type_name("N");
  command->add_option("--new-tokens", options->new_tokens, "with --sequence-length: generate N tokens behind each")
      ->type_name("N");
  command->add_option("--json", options->json, "the plan as one JSON object; - is standard output")->type_name("FILE");
  command->footer(
      "Memory is at the moment of its peak; traffic and arithmetic are of all of it.\n"
      "Example:\n"
      "  batchscope plan --random-weights llama-65b --dtype bf16 --parallel tp8 \\\n"
      "    --sequence-length 100 --batch 64 --device-memory 80GB");
  command->callback([options, &exit_code] {
    plan(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
