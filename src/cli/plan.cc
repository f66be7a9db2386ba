// `batchscope plan`: memory and traffic to the byte, the time, and the largest batch that fits; loads no model, needs
// no GPU.
#include "plan/plan.h"

#include <fmt/format.h>
#include <unistd.h>

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
#include "model/named_shapes.h"
#include "report/text.h"
#include "report/trace_text.h"
#include "study/cell.h"
#include "study/cell_time.h"
#include "study/json_optional.h"

namespace batchscope::cli {
namespace {

// Where sequences are made up for a plan, no more of them, and of their tokens, than this.
constexpr std::int64_t most_sequences = 1 << 16;
constexpr std::int64_t most_tokens = 1 << 24;

struct PlanOptions {
  CellOptions cell;
  std::string sequence_length, new_tokens, json, trace, items;
};

// What is planned, for any batch, and how large a batch can be at all.
struct Subject {
  std::string what;  // "480 questions", "sequences of 100 tokens"
  std::function<std::shared_ptr<const PreparedTask>(std::int64_t batch)> task_of;
  std::int64_t most = 0;

  Plan plan_of(CellSpec spec, std::int64_t batch) const {
    spec.run.batch = batch;
    return plan_cell(spec, *task_of(batch));
  }
};

Subject task_subject(const CellSpec& spec) {
  const auto task = std::make_shared<const PreparedTask>(prepare_task(spec));
  const auto what = !task->workload ? fmt::format("{} questions", task->questions.size())
                    : task->workload->all_at_begin()
                        ? fmt::format("{} requests", task->workload->requests.size())
                        : fmt::format("{} requests, as if all arrived at the start", task->workload->requests.size());
  return {what, [task](std::int64_t) { return task; }, task->sequences()};
}

Subject sequence_subject(const CellSpec& spec, std::int64_t length, std::optional<std::int64_t> new_tokens) {
  const ModelConfig config = read_config(spec.model);
  spec.placement.layout.check(config);
  if (length + new_tokens.value_or(0) > config.longest_input())
    throw InputError("--sequence-length {}: with the generated tokens it exceeds the {} tokens that {} was made for",
                     length, config.longest_input(), config.name);
  const std::int64_t most =
      std::clamp<std::int64_t>(most_tokens / (length + new_tokens.value_or(0)), 1, most_sequences);
  if (spec.run.batch > most)
    throw InputError("--batch {}: a plan without a task takes at most {} sequences of that length; use fewer",
                     spec.run.batch, most);
  // A batch for each replica, so that every device has work.
  const auto task_of = [config, length, new_tokens, replicas = spec.placement.layout.replicas()](std::int64_t batch) {
    const auto task = std::make_shared<PreparedTask>();
    task->config = config;
    const auto count = static_cast<std::size_t>(batch * replicas);
    if (new_tokens)
      task->workload.emplace().requests.resize(
          count, {.prompt = std::vector<std::int32_t>(static_cast<std::size_t>(length)), .new_tokens = *new_tokens});
    else
      task->requests.requests.resize(count,
                                     {0, std::vector<std::int32_t>(static_cast<std::size_t>(length + 1)), length});
    return task;
  };
  const auto what = new_tokens
                        ? fmt::format("one batch of prompts of {} tokens, {} generated for each", length, *new_tokens)
                        : fmt::format("one batch of sequences of {} tokens", length);
  return {what, task_of, most};
}

Subject subject_of(const PlanOptions& options, const CellSpec& spec) {
  const bool other_model = !spec.model.path.empty() || !spec.model.random_shape.empty();
  if (options.sequence_length.empty()) {
    if (!options.new_tokens.empty())
      throw InputError("--new-tokens: give the length of the prompts, too: --sequence-length N");
    if (other_model && spec.task.empty() && !spec.workload)
      throw InputError(
          "plan: say what to run: --task FILE, --prompt-tokens N --output-tokens N, or --sequence-length N for "
          "sequences of N tokens");
    return task_subject(spec);
  }
  if (!spec.task.empty() || spec.workload)
    throw InputError("--sequence-length replaces a task; leave out --task, --prompt-tokens, --trace and the like");
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

nlohmann::json plan_json(const CellTimeModel::TimedPlan& planned, std::optional<std::int64_t> largest) {
  nlohmann::json devices = nlohmann::json::array();
  for (const auto& device : planned.plan.devices) devices.push_back(device_json(device));
  return {{"devices", devices},
          {"estimated_seconds", json_or_null(planned.seconds)},
          {"largest_batch", json_or_null(largest)}};
}

// "f32, bf16 weights".
std::string dtypes_text(const Placement& placement) {
  std::string text(name_of(placement.dtype));
  if (placement.weights_dtype) text += fmt::format(", {} weights", name_of(*placement.weights_dtype));
  if (placement.kv_dtype) text += fmt::format(", {} KV cache", name_of(*placement.kv_dtype));
  return text;
}

std::string plan_text(const CellTimeModel::TimedPlan& planned, const CellSpec& spec, const Subject& subject,
                      std::optional<std::int64_t> largest) {
  const Plan& plan = planned.plan;
  TextTable table({"device", "weights", "KV", "activ.", "other", "total", "TX", "RX", "TFLOP"});
  for (std::size_t i = 0; i < plan.devices.size(); ++i) {
    const DevicePlan& device = plan.devices[i];
    const auto use = [&](MemoryUse which) { return device.bytes[static_cast<std::size_t>(which)]; };
    const auto bytes = [](std::int64_t count) -> TextTable::Field { return {bytes_text(static_cast<double>(count))}; };
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
                                      to_string(spec.run.packing), dtypes_text(spec.placement)),
                          terminal_columns, 2) +
                     "\n" + table.print(stdout_has_colour());
  if (planned.seconds)
    text += fmt::format("time: about {} s, by what kernels and collectives take on this machine\n",
                        seconds_text(planned.seconds));
  if (largest)
    text +=
        fmt::format("largest batch that fits {}: {}\n", bytes_text(static_cast<double>(*spec.run.device_memory_bytes)),
                    *largest > 0 ? fmt::format("{}{}", *largest, *largest == subject.most ? " (the whole task)" : "")
                                 : "none, not even 1");
  return text;
}

std::string known_shapes() {
  std::string text = "Names of shapes, which may also be spelled as on the Hub (Qwen/Qwen3-8B-Base):\n";
  for (const std::string& family : shape_families()) text += "  " + family + "\n";
  return text;
}

// A task of lengths, as question.h reads it.
std::string items_text(const PreparedTask& task) {
  if (task.questions.empty()) throw InputError("--items: a plan of questions has them; give --task FILE");
  std::string text;
  for (std::size_t i = 0; i < task.questions.size(); ++i) {
    const Question& question = task.questions[i];
    text += nlohmann::ordered_json{{"id", question.id}, {"tokens", task.requests.tokens[i]}, {"gold", question.gold}}
                .dump() +
            "\n";
  }
  return text;
}

void plan(const PlanOptions& options) {
  check_destination(options.json, "--json");
  check_destination(options.items, "--items");
  check_destination(options.trace, "--step-trace");
  if (options.json == "-" && options.trace == "-")
    throw InputError("--json and --step-trace: standard output can take one of them; give the other a file");
  const CellSpec spec = options.cell.cell();
  const Subject subject = subject_of(options, spec);
  const auto task = subject.task_of(spec.run.batch);
  if (!options.items.empty()) write_output(options.items, items_text(*task));
  MeasuredRates rates;
  CellTimeModel times(rates);
  times.expect(spec, *task);
  const CellTimeModel::TimedPlan planned = times.plan(spec, *task);
  std::optional<std::int64_t> largest;
  if (spec.run.device_memory_bytes)
    largest = largest_batch(subject.most, *spec.run.device_memory_bytes,
                            [&](std::int64_t batch) { return subject.plan_of(spec, batch); });
  if (!options.json.empty()) write_output(options.json, plan_json(planned, largest).dump(2) + "\n");
  const bool trace_as_table = options.trace == "-" && isatty(STDOUT_FILENO) == 1;
  const std::vector<Trace>& traces = planned.plan.traces;
  if (!options.trace.empty() && !trace_as_table)
    write_output(options.trace, trace_lines(traces, times.model(spec, *task)));
  if (options.json == "-" || (options.trace == "-" && !trace_as_table)) return;
  print_text(plan_text(planned, spec, subject, largest));
  if (trace_as_table && !traces.empty())
    print_text(fmt::format("\none step of {}, by op:\n{}", spec.placement.device.name(0),
                           trace_table(traces.front(), times.model(spec, *task), stdout_has_colour())));
}

}  // namespace

void add_plan(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = app.add_subcommand("plan", "predict memory, traffic, time and the largest batch; loads no model");
  options->cell.add_all(*command);
  command->add_option("--sequence-length", options->sequence_length, "plan one batch of sequences of N tokens, no task")
      ->type_name("N");
  command->add_option("--new-tokens", options->new_tokens, "with --sequence-length: generate N tokens after each")
      ->type_name("N");
  command
      ->add_option("--step-trace", options->trace,
                   "every kernel and collective of the largest step, in order, one JSON object per line; - is standard "
                   "output, on a terminal as a table")
      ->type_name("FILE");
  command
      ->add_option("--items", options->items,
                   "the tokens of each question, one JSON object per line: itself a task, where only lengths matter")
      ->type_name("FILE.jsonl");
  command->add_option("--json", options->json, "the plan as one JSON object; - is standard output")->type_name("FILE");
  command->footer(
      "Memory is given at its peak; traffic, arithmetic and time for the whole run.\n"
      "Times are known where the devices are at hand: kernels and collectives are\n"
      "measured on them for a moment.\n" +
      known_shapes() +
      "Example:\n"
      "  batchscope plan --random-weights llama-65b --dtype bf16 --parallel tp8 \\\n"
      "    --sequence-length 100 --batch 64 --device-memory 80GB");
  command->callback([options, &exit_code] {
    plan(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
