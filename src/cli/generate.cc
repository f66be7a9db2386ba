// `batchscope generate`: continues prompts, and prints the text as it comes.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/generated_text.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/processes.h"
#include "comm/world.h"
#include "engine/engine.h"
#include "engine/sampling.h"
#include "model/model.h"
#include "plan/plan.h"
#include "study/cell.h"
#include "study/environment.h"
#include "study/json_optional.h"
#include "telemetry/marks/sink.h"

namespace batchscope::cli {
namespace {

struct GenerateOptions {
  CellOptions cell;
  std::vector<std::string> prompts;
  std::string new_tokens = "64", temperature = "0", top_p = "1", sampling_seed = "0", json;
  bool ids = false, ignore_eos = false;
};

// All of standard input, without the end of its last line.
std::string read_standard_input() {
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (true) {
    const ssize_t got = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw InputError("--prompt -: cannot read standard input: {}", std::strerror(errno));
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

// Where there are several processes rank 0's has the standard input, and tells the others.
std::string standard_input(World* world) {
  if (world == nullptr) return read_standard_input();
  std::string text;
  world->together([&] {
    if (speaks()) text = read_standard_input();
    text = world->all_ranks(world->first()).broadcast(std::move(text));
  });
  return text;
}

std::vector<std::string> read_prompts(const GenerateOptions& options, World* world) {
  auto prompts = options.prompts.empty() ? std::vector<std::string>{""} : options.prompts;
  if (std::count(prompts.begin(), prompts.end(), "-") > 1)
    throw InputError("--prompt -: standard input can be read only once; give it once");
  for (std::string& prompt : prompts)
    if (prompt == "-") prompt = standard_input(world);
  return prompts;
}

// What all requests have in common.
GenerateRequest request_of(const GenerateOptions& options) {
  return {.new_tokens = parse_integer(options.new_tokens, 1, 1'000'000, "--new-tokens"),
          .stop_at_eos = !options.ignore_eos,
          .sampling = {.temperature = parse_temperature(options.temperature, "--temperature"),
                       .top_p = parse_top_p(options.top_p, "--top-p"),
                       .seed = static_cast<std::uint64_t>(
                           parse_integer(options.sampling_seed, 0, any_integer, "--sampling-seed"))}};
}

std::vector<GenerateRequest> make_requests(const std::vector<std::string>& prompts, const GenerateRequest& common,
                                           const Tokenizer& tokenizer, const ModelConfig& config) {
  std::vector<GenerateRequest> requests;
  for (const std::string& prompt : prompts) {
    GenerateRequest request = common;
    request.prompt = tokenizer.encode(prompt);
    if (request.prompt.empty())
      throw InputError("--prompt '{}': it has no tokens, and this tokenizer adds none; give some text", prompt);
    const std::int64_t length = std::ssize(request.prompt) + request.new_tokens;
    if (length > config.longest_input())
      throw InputError("--new-tokens {}: with the prompt's {} that is {} tokens, but {} was made for {}; ask for fewer",
                       request.new_tokens, request.prompt.size(), length, config.name, config.longest_input());
    requests.push_back(std::move(request));
  }
  return requests;
}

// Ends a generation of which nobody reads the rest, and which leaves nothing else behind.
struct NobodyReads : std::exception {};

double milliseconds(Nanoseconds time) { return to_seconds(time) * 1e3; }

// Between a sequence's first token and its last; null where that is one.
nlohmann::json time_per_output_token_ms(const GeneratedSequence& sequence) {
  const auto steps = std::ssize(sequence.tokens) - 1;
  if (steps < 1) return nullptr;
  return milliseconds(sequence.end - sequence.first_token) / static_cast<double>(steps);
}

// Of those that are numbers; null where none is.
nlohmann::json median(std::vector<nlohmann::json> values) {
  std::erase(values, nlohmann::json());
  if (values.empty()) return nullptr;
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (middle->get<double>() + std::max_element(values.begin(), middle)->get<double>()) / 2;
}

nlohmann::json result_json(const GenerateReport& run, const std::vector<GenerateRequest>& requests,
                           const Tokenizer& tokenizer, Nanoseconds load_time) {
  nlohmann::json sequences = nlohmann::json::array(), devices = nlohmann::json::array();
  std::vector<nlohmann::json> first, per_token;
  std::int64_t generated = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const GeneratedSequence& sequence = run.sequences[i];
    generated += std::ssize(sequence.tokens);
    first.emplace_back(milliseconds(sequence.first_token - sequence.arrival));
    per_token.push_back(time_per_output_token_ms(sequence));
    const auto tokens = whole_sequence(requests[i].prompt, sequence.tokens);
    sequences.push_back({{"prompt_tokens", requests[i].prompt.size()},
                         {"tokens", tokens},
                         {"text", tokenizer.decode(tokens)},
                         {"time_to_first_token_ms", first.back()},
                         {"time_per_output_token_ms", per_token.back()}});
  }
  for (const auto& device : run.devices) devices.push_back(to_json(device));
  const double seconds = to_seconds(run.time);
  return {{"status", "ok"},
          {"sequences", sequences},
          {"generated_tokens", generated},
          {"steps", json_or_null(run.steps)},
          {"seconds", seconds},
          {"load_seconds", to_seconds(load_time)},
          {"time_to_first_token_ms", median(first)},
          {"time_per_output_token_ms", median(per_token)},
          {"tokens_per_s", static_cast<double>(generated) / seconds},
          {"devices", devices},
          {"environment", environment_json()}};
}

Nanoseconds load(Engine& engine, const ModelSource& source, const Placement& placement, PhaseSink& phases) {
  const PhaseScope phase(&phases, "load", "engine", placement.layout.to_string());
  return engine.load(source, placement);
}

void generate(const GenerateOptions& options, World* world) {
  if (speaks()) check_destination(options.json, "--json");
  const ModelSource source = options.cell.model_source();
  const Placement placement = placed({.placement = options.cell.placement()}, world).placement;
  const RunSettings settings = options.cell.run_settings();
  const GenerateRequest common = request_of(options);
  const ModelConfig config = read_config(source);
  const auto tokenizer = open_tokenizer(source, config);
  const auto requests = make_requests(read_prompts(options, world), common, *tokenizer, config);

  const auto engine = make_engine(EngineSpec(), world);
  if (!speaks()) {
    engine->load(source, placement);
    engine->generate(requests, settings, nullptr, {});
    return;
  }
  MarkSink phases;
  const Nanoseconds load_time = load(*engine, source, placement, phases);
  GeneratedText text(requests, config.eos_tokens, *tokenizer, options.ids ? TextForm::ids : TextForm::text);
  bool wanted = options.json != "-";  // a reader that went away wants no more
  const auto show = [&](const std::string& piece) {
    wanted = wanted && (isatty(STDOUT_FILENO) == 1 ? print_text(piece) : print(piece));
    if (!wanted && options.json.empty()) throw NobodyReads();
  };
  try {
    GenerateReport run = engine->generate(
        requests, settings, &phases, [&](std::size_t request, std::int32_t token) { show(text.add(request, token)); });
    if (options.json.empty()) return;
    const Plan plan = plan_generate(config, placement, settings, requests);
    for (std::size_t i = 0; i < run.devices.size(); ++i)
      run.devices[i].memory.planned_bytes = plan.devices[i].total_bytes;
    const auto json = result_json(run, requests, *tokenizer, load_time);
    write_output(options.json, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  } catch (const NobodyReads&) {
  }
}

}  // namespace

void add_generate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand("generate", "continue prompts, printing text token by token");
  options->cell.add(*command, {AxisGroup::model});
  command
      ->add_option("--prompt", options->prompts,
                   "text to continue, - reads it from standard input; may be given several times (default: none)")
      ->type_name("TEXT")
      ->take_all();
  command
      ->add_option("--new-tokens,--max-new-tokens", options->new_tokens, "maximum tokens to generate for each prompt")
      ->type_name("N")
      ->capture_default_str();
  command->add_flag("--ignore-eos", options->ignore_eos, "continue past the model's end-of-sequence token");
  command
      ->add_option("--temperature", options->temperature,
                   "0: the most probable token; else sampled from softmax(logits / temperature)")
      ->type_name("X")
      ->capture_default_str();
  command->add_option("--top-p", options->top_p, "sample from the most probable tokens that add up to this probability")
      ->type_name("P")
      ->capture_default_str();
  command
      ->add_option("--sampling-seed", options->sampling_seed,
                   "seed of sampling: equal seeds give equal tokens in every layout and batch")
      ->type_name("N")
      ->capture_default_str();
  options->cell.add(*command, {AxisGroup::placement, AxisGroup::run, AxisGroup::setting});
  command->add_flag("--ids", options->ids, "print token ids, the prompt's first, not text");
  command->add_option("--json", options->json, "text, ids, times and devices as one JSON object; - is standard output")
      ->type_name("FILE");
  command->footer(
      "One prompt's text is printed as it is generated; of several, each is printed\n"
      "when it and those before it are complete. --batch is how many run at a time.\n"
      "Example:\n"
      "  batchscope generate --prompt \"Ana has a red kite.\" --new-tokens 20 \\\n"
      "    --temperature 0.8 --top-p 0.9");
  command->callback([options, &exit_code] {
    in_every_process([&](World* world) { generate(*options, world); });
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
