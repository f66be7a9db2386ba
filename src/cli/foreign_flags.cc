// The table of others' flags (cli/foreign_flags.h).
#include "cli/foreign_flags.h"

#include <algorithm>
#include <array>

namespace batchscope::cli {
namespace {

struct ForeignFlag {
  std::string_view theirs, ours;
  std::string_view value_prefix = "";  // "tp": their 4 is our tp4
  bool means_the_same = true;          // false: near enough for a hint only
};
constexpr std::array foreign_flags{
    ForeignFlag{"--tensor-parallel-size", "--parallel", "tp"},
    ForeignFlag{"--tp-size", "--parallel", "tp"},
    ForeignFlag{"-tp", "--parallel", "tp"},
    ForeignFlag{"--pipeline-parallel-size", "--parallel", "pp"},
    ForeignFlag{"-pp", "--parallel", "pp"},
    ForeignFlag{"--tp", "--parallel", "tp"},  // SGLang's
    ForeignFlag{"--pp", "--parallel", "pp"},
    ForeignFlag{"--dp", "--parallel", "dp"},
    ForeignFlag{"--data-parallel-size", "--parallel", "dp"},
    ForeignFlag{"-dp", "--parallel", "dp"},
    ForeignFlag{"-m", "--model"},
    ForeignFlag{"--model-path", "--model"},
    ForeignFlag{"--temp", "--temperature"},
    ForeignFlag{"--request-rate", "--arrival-rate"},
    ForeignFlag{"--max-model-len", "--max-tokens-per-sequence"},
    ForeignFlag{"--ctx-size", "--max-tokens-per-sequence"},
    ForeignFlag{"-c", "--max-tokens-per-sequence"},
    ForeignFlag{"--max-num-seqs", "--batch"},
    ForeignFlag{"--batch-size", "--batch"},
    ForeignFlag{"--max-batch-size", "--batch"},
    ForeignFlag{"--concurrency", "--batch"},
    ForeignFlag{"--max-concurrency", "--batch"},
    ForeignFlag{"--num-concurrent", "--batch"},
    ForeignFlag{"--base-url", "--engine"},
    ForeignFlag{"--max-running-requests", "--batch"},
    ForeignFlag{"--context-length", "--max-tokens-per-sequence"},
    ForeignFlag{"--max-seq-len", "--max-tokens-per-sequence"},
    ForeignFlag{"--max-num-batched-tokens", "--batch-tokens"},
    ForeignFlag{"--num-prompts", "--requests"},
    ForeignFlag{"--random-input-len", "--prompt-tokens"},
    ForeignFlag{"--random-output-len", "--output-tokens"},
    ForeignFlag{"--input-len", "--prompt-tokens"},
    ForeignFlag{"--output-len", "--output-tokens"},
    ForeignFlag{"--n-predict", "--new-tokens"},
    ForeignFlag{"-n", "--new-tokens"},
    ForeignFlag{"--max-tokens", "--new-tokens"},
    ForeignFlag{"-p", "--prompt"},
    ForeignFlag{"-t", "--threads"},
    ForeignFlag{"--tasks", "--task FILE.jsonl", "", false},
    ForeignFlag{"--model-args", "--model PATH", "", false},
    ForeignFlag{"--output-path", "-o FILE.bscope or --json FILE", "", false},
    ForeignFlag{"--dataset-path", "--trace FILE or --task FILE", "", false},
    ForeignFlag{"--dataset", "--trace FILE or --task FILE", "", false},
    ForeignFlag{"--gpu-memory-utilization", "--device-memory SIZE", "", false},
    ForeignFlag{"--mem-fraction-static", "--device-memory SIZE", "", false},
    ForeignFlag{"--enable-prefix-caching", "--packing prefix", "", false},
    ForeignFlag{"--enforce-eager", "--fusion off", "", false},
    ForeignFlag{"--dataset-name", "--trace-format FORMAT", "", false},
    ForeignFlag{"--hf-repo", "--model PATH", "", false},
    ForeignFlag{"--host", "--listen HOST:PORT", "", false},
    ForeignFlag{"--port", "--listen HOST:PORT", "", false},
    ForeignFlag{"--quantization", "--weights-dtype", "", false},
    ForeignFlag{"--n-gpu-layers", "--device", "", false},
    ForeignFlag{"-ngl", "--device", "", false},
};

// lm-evaluation-harness writes --batch_size, others --batch-size.
std::string with_dashes(std::string_view flag) {
  std::string out(flag);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

const ForeignFlag* find(std::string_view flag) {
  const std::string name = with_dashes(flag);
  const auto found = std::find_if(foreign_flags.begin(), foreign_flags.end(),
                                  [&](const ForeignFlag& each) { return each.theirs == name; });
  return found == foreign_flags.end() ? nullptr : &*found;
}

bool has_flag(const CLI::App& verb, std::string_view flag) {
  return verb.get_option_no_throw(std::string(flag)) != nullptr;
}

}  // namespace

std::vector<std::string> in_our_spelling(const CLI::App& app, const std::vector<std::string>& words) {
  const auto verbs = app.get_subcommands({});
  const auto found = std::find_if(verbs.begin(), verbs.end(),
                                  [&](const CLI::App* each) { return !words.empty() && each->get_name() == words[0]; });
  if (found == verbs.end()) return words;
  const CLI::App* verb = *found;
  std::vector<std::string> out{words[0]};
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "--") {
      out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    const std::string flag = words[i].substr(0, words[i].find('='));
    const bool has_value = flag.size() < words[i].size();
    const ForeignFlag* foreign = words[i].starts_with('-') && !has_flag(*verb, flag) ? find(flag) : nullptr;
    std::string name = foreign != nullptr && foreign->means_the_same ? std::string(foreign->ours) : with_dashes(flag);
    const bool is_known = words[i].starts_with("-") && !has_flag(*verb, flag) && has_flag(*verb, name);
    if (!is_known || (!has_value && i + 1 == words.size())) {
      out.push_back(words[i]);
      continue;
    }
    const std::string prefix(foreign != nullptr ? foreign->value_prefix : "");
    const std::string value = has_value ? words[i].substr(flag.size() + 1) : words[++i];
    if (name == "--arrival-rate" && value == "inf") continue;  // all at once, as without it
    out.push_back(std::move(name));
    out.push_back(prefix + value);
  }
  return out;
}

std::string our_name_of(std::string_view flag) {
  const ForeignFlag* foreign = find(flag);
  return foreign != nullptr ? std::string(foreign->ours) : "";
}

}  // namespace batchscope::cli
