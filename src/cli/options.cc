// The flags of a cell (cli/options.h).
#include "cli/options.h"

#include <fmt/format.h>

#include <map>

#include "cli/values.h"
#include "study/cell_words.h"

namespace batchscope::cli {
namespace {

// A flag whose values study/cell_words.h lists.
CLI::Option* add_listed(CLI::App& app, const std::string& name, std::string& value, const std::string& help) {
  const CellWord* word = find_cell_word(name);
  CLI::Option* option = app.add_option("--" + name, value, help)->capture_default_str();
  set_values(*option, word->values, word->takes_list);
  return option;
}

template <class Words>
std::string choice(const Words& words) {
  return fmt::format("{}", fmt::join(words, " | "));
}

}  // namespace

void CellOptions::add_model_flags(CLI::App& app) {
  app.add_option("--model", model,
                 "Hugging Face folder or GGUF file of a LLaMA-family model (default: the embedded tiny model)")
      ->type_name("PATH");
  app.add_option("--random-weights", random_weights,
                 "weights drawn in this shape: llama-7b, a config.json, or layers=2,hidden=64,…")
      ->type_name("SHAPE");
  app.add_option("--seed", seed, "of random weights")->type_name("N")->capture_default_str();
}

void CellOptions::add_placement_flags(CLI::App& app) {
  app.add_option("--device", device, "cpu:N, N virtual devices, or cuda:0,1 (default: what --parallel needs)")
      ->type_name("DEVICE");
  app.add_option("--parallel", parallel, "mp4 | pp4 | tp4 | dp4 | dp2.tp2 … (default: tp over all devices)")
      ->type_name("LAYOUT");
  add_listed(app, "dtype", dtype, "to compute in: f32 | bf16 on cpu devices; f16 in plans")->type_name("DTYPE");
  app.add_option("--threads", threads, "of each virtual device; auto: an even share of the CPUs that may be used")
      ->type_name("N")
      ->capture_default_str();
}

void CellOptions::add_run_flags(CLI::App& app) {
  add_listed(app, "fusion", fusion,
             fmt::format("off | on | a list of {}", fmt::join(fusion_words.begin() + 2, fusion_words.end(), ",")))
      ->type_name("FUSION");
  app.add_option("--batch", batch, "sequences a batch; an item has one for each choice")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--batch-tokens", batch_tokens, "that a batch computes when scoring, at most (default: no limit)")
      ->type_name("N");
  add_setting_flags(app);
}

void CellOptions::add_setting_flags(CLI::App& app) {
  add_listed(app, "packing", packing, choice(packing_words))->type_name("PACKING");
  app.add_option("--device-memory", device_memory, "of each device: 64MiB, 1.5GB (default: what there is)")
      ->type_name("SIZE");
  app.add_option("--link", link, "between devices: 12GB/s,5us paces virtual ones; nvlink | pcie (default: unpaced)")
      ->type_name("LINK");
}

void CellOptions::add_task_flags(CLI::App& app) {
  app.add_option("--task", task, "questions, one JSON object a line (default: the embedded set)")
      ->type_name("FILE.jsonl");
  app.add_option("--prompt-tokens", prompt_tokens, "generate instead: prompts of N random tokens")->type_name("N");
  app.add_option("--output-tokens", output_tokens, "tokens to generate for each prompt")->type_name("N");
  app.add_option("--requests", requests, fmt::format("how many prompts (default: {})", default_requests))
      ->type_name("N");
  app.add_option("--arrival-rate", arrival_rate,
                 "requests a second, a Poisson process (default: all are there at the begin)")
      ->type_name("RATE");
  app.add_option("--trace", trace,
                 "generate instead: requests with prompts, lengths and arrivals, one JSON object a line")
      ->type_name("FILE.jsonl");
  app.add_option("--temperature", temperature, "of generation (default: 0, the most probable token)")
      ->type_name("NUMBER");
  app.add_option("--top-p", top_p,
                 "of generation: draw from the most probable tokens that have this share (default: 1)")
      ->type_name("NUMBER");
  app.add_option("--task-seed", task_seed, "draws random prompts, arrivals and tokens (default: 0)")->type_name("N");
  app.add_option("--limit", limit, "the first N questions or requests only")->type_name("N");
  app.add_option("--max-tokens-per-sequence", max_tokens_per_sequence,
                 "longest model input; when generating, prompt and output together")
      ->type_name("N");
  add_listed(app, "when-too-long", when_too_long,
             choice(when_too_long_words) + " (cut on the left; the status says so)")
      ->type_name("WHAT");
}

void CellOptions::add_all(CLI::App& app) {
  add_model_flags(app);
  add_task_flags(app);
  add_placement_flags(app);
  add_run_flags(app);
}

ModelSource CellOptions::model_source() const { return parsed().model; }
Placement CellOptions::placement() const { return parsed().placement; }
RunSettings CellOptions::run_settings() const { return parsed().run; }

CellSpec CellOptions::cell() const {
  CellSpec spec = parsed();
  check(spec);
  return spec;
}

CellSpec CellOptions::parsed() const {
  std::map<std::string, std::string, std::less<>> words;
  const auto give = [&](const char* name, const std::string& value) {
    if (!value.empty()) words.emplace(name, value);
  };
  give("model", model);
  give("random-weights", random_weights);
  give("weights-seed", seed);
  give("task", task);
  give("prompt-tokens", prompt_tokens);
  give("output-tokens", output_tokens);
  give("requests", requests);
  give("arrival-rate", arrival_rate);
  give("trace", trace);
  give("temperature", temperature);
  give("top-p", top_p);
  give("task-seed", task_seed);
  give("limit", limit);
  give("max-tokens-per-sequence", max_tokens_per_sequence);
  give("when-too-long", when_too_long);
  give("device", device);
  give("parallel", parallel);
  give("dtype", dtype);
  give("threads", threads);
  give("fusion", fusion);
  give("batch", batch);
  give("batch-tokens", batch_tokens);
  give("packing", packing);
  give("device-memory", device_memory);
  give("link", link);
  return cell_from_words(words);
}

}  // namespace batchscope::cli
