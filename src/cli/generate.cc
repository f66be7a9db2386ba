// `batchscope generate`: greedy continuation of prompts.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/output.h"
#include "engine/engine.h"
#include "model/model.h"
#include "study/cell.h"
#include "study/environment.h"

namespace batchscope::cli {
namespace {

struct GenerateOptions {
  CellOptions cell;
  std::vector<std::string> prompts;
  std::string new_tokens = "64", json;
  bool ids = false;
};

std::vector<GenerateRequest> make_requests(const std::vector<std::string>& prompts, const Tokenizer& tokenizer,
                                           std::int64_t new_tokens, const ModelConfig& config) {
  std::vector<GenerateRequest> requests;
  for (const std::string& prompt : prompts) {
    GenerateRequest request{tokenizer.encode(prompt), new_tokens};
    if (request.prompt.empty())
      throw InputError("--prompt '{}': it has no token, and this tokenizer adds none; give some text", prompt);
    const std::int64_t length = std::ssize(request.prompt) + new_tokens;
    if (length > config.longest_input())
      throw InputError("--new-tokens {}: with the prompt's {} that is {} tokens, but {} was made for {}; ask for fewer",
                       new_tokens, request.prompt.size(), length, config.name, config.longest_input());
    requests.push_back(std::move(request));
  }
  return requests;
}

std::vector<std::int32_t> whole_sequence(const GenerateRequest& request, const GeneratedSequence& generated) {
  std::vector<std::int32_t> tokens = request.prompt;
  tokens.insert(tokens.end(), generated.tokens.begin(), generated.tokens.end());
  return tokens;
}

nlohmann::json result_json(const GenerateReport& run, const std::vector<GenerateRequest>& requests,
                           const Tokenizer& tokenizer, Nanoseconds load_time) {
  nlohmann::json sequences = nlohmann::json::array(), devices = nlohmann::json::array();
  std::int64_t generated = 0, steps = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto fresh = std::ssize(run.sequences[i].tokens);
    generated += fresh;
    steps = std::max<std::int64_t>(steps, fresh);
    const auto tokens = whole_sequence(requests[i], run.sequences[i]);
    sequences.push_back({{"prompt_tokens", requests[i].prompt.size()},
                         {"tokens", tokens},
                         {"text", tokenizer.decode(tokens)}});
  }
  for (const auto& device : run.devices) devices.push_back(to_json(device));
  const double seconds = to_seconds(run.time), first = to_seconds(run.sequences.front().first_token);
  return {{"status", "ok"},
          {"sequences", sequences},
          {"generated_tokens", generated},
          {"seconds", seconds},
          {"load_seconds", to_seconds(load_time)},
          {"time_to_first_token_ms", first * 1e3},
          {"time_per_output_token_ms",
           steps > 1 ? nlohmann::json((seconds - first) * 1e3 / static_cast<double>(steps - 1)) : nlohmann::json()},
          {"tokens_per_s", static_cast<double>(generated) / seconds},
          {"devices", devices},
          {"environment", environment_json()}};
}

void generate(const GenerateOptions& options) {
  check_destination(options.json, "--json");
  const ModelSource source = options.cell.model_source();
  const Placement placement = options.cell.placement();
  const RunSettings settings = options.cell.run_settings();
  const std::int64_t new_tokens = parse_integer(options.new_tokens, 1, 1'000'000, "--new-tokens");
  const ModelConfig config = read_config(source);
  const auto tokenizer = open_tokenizer(source, config);
  const auto prompts = options.prompts.empty() ? std::vector<std::string>{""} : options.prompts;
  const auto requests = make_requests(prompts, *tokenizer, new_tokens, config);

  const auto engine = make_engine("batchscope");
  const Nanoseconds load_time = engine->load(source, placement);
  const GenerateReport run = engine->generate(requests, settings, nullptr, {});

  const auto json = result_json(run, requests, *tokenizer, load_time);
  if (!options.json.empty())
    write_output(options.json, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  if (options.json == "-") return;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto tokens = whole_sequence(requests[i], run.sequences[i]);
    print(options.ids ? nlohmann::json(tokens).dump() + "\n" : tokenizer->decode(tokens) + "\n");
  }
}

}  // namespace

void add_generate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand("generate", "continue prompts with the most probable tokens");
  options->cell.add_model_flags(*command);
  command->add_option("--prompt", options->prompts, "text to continue; may be given several times (default: none)")
      ->type_name("TEXT")
      ->take_all();
  command->add_option("--new-tokens,--max-new-tokens", options->new_tokens, "to generate for each prompt, at most")
      ->type_name("N")
      ->capture_default_str();
  options->cell.add_placement_flags(*command);
  options->cell.add_run_flags(*command);
  command->add_flag("--ids", options->ids, "print token ids, the prompt's first, not text");
  command->add_option("--json", options->json, "text, ids, times and devices as one JSON object; - is standard output")
      ->type_name("FILE");
  command->footer("Example:\n  batchscope generate --prompt \"Ana has a red kite.\" --new-tokens 20");
  command->callback([options, &exit_code] {
    generate(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
