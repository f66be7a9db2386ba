// Words to specs (study/cell_words.h).
#include "study/cell_words.h"

#include <algorithm>
#include <array>

#include "base/units.h"
#include "engine/sampling.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

constexpr std::int64_t most = 1'000'000'000;  // of anything that is counted
constexpr std::int64_t most_requests = 1'000'000;

std::int64_t count(const std::string& value, std::string_view what) { return parse_integer(value, 1, most, what); }

// Settings whose parsers do not know what they are given for.
template <class Parse>
auto named(Parse parse, const std::string& value, std::string_view what) {
  try {
    return parse(value);
  } catch (const InputError& error) {
    const std::string_view message = error.what();
    if (message.starts_with(what) || message.starts_with("--")) throw;
    throw InputError("{}: {}", what, message);
  }
}

std::optional<int> parse_threads(const std::string& value, std::string_view what) {
  if (value == "auto") return std::nullopt;
  return static_cast<int>(parse_integer(value, 1, 4096, what));
}

// Those to compute in.
constexpr std::array<std::string_view, 3> dtype_words{"f32", "bf16", "f16"};

// The first of its words makes a cell one that generates.
Workload& workload(CellSpec& spec) { return spec.workload ? *spec.workload : spec.workload.emplace(); }

using Spec = CellSpec;
using Text = const std::string&;
using What = std::string_view;

constexpr std::array words{
    CellWord{"engine", WordKind::text, [](Spec& s, Text v, What) { s.engine = v; }},
    CellWord{"model", WordKind::text, [](Spec& s, Text v, What) { s.model.path = v; }},
    CellWord{"random-weights", WordKind::text, [](Spec& s, Text v, What) { s.model.random_shape = v; }},
    CellWord{"weights-seed", WordKind::whole_number,
             [](Spec& s, Text v, What w) {
               s.model.seed = static_cast<std::uint64_t>(parse_integer(v, 0, any_integer, w));
             }},
    CellWord{"task", WordKind::text, [](Spec& s, Text v, What) { s.task = v; }},
    CellWord{"prompt-tokens", WordKind::whole_number,
             [](Spec& s, Text v, What w) { workload(s).prompt_tokens = count(v, w); }},
    CellWord{"output-tokens", WordKind::whole_number,
             [](Spec& s, Text v, What w) { workload(s).output_tokens = parse_integer(v, 1, most_output_tokens, w); }},
    CellWord{"requests", WordKind::whole_number,
             [](Spec& s, Text v, What w) { workload(s).requests = parse_integer(v, 1, most_requests, w); }},
    CellWord{"arrival-rate", WordKind::number,
             [](Spec& s, Text v, What w) { workload(s).arrival_rate = parse_number(v, 1e-6, 1e6, w); }},
    CellWord{"trace", WordKind::text, [](Spec& s, Text v, What) { workload(s).trace = v; }},
    CellWord{"temperature", WordKind::number,
             [](Spec& s, Text v, What w) { workload(s).sampling.temperature = parse_temperature(v, w); }},
    CellWord{"top-p", WordKind::number,
             [](Spec& s, Text v, What w) { workload(s).sampling.top_p = parse_top_p(v, w); }},
    CellWord{"task-seed", WordKind::whole_number,
             [](Spec& s, Text v, What w) {
               workload(s).sampling.seed = static_cast<std::uint64_t>(parse_integer(v, 0, any_integer, w));
             }},
    CellWord{"limit", WordKind::whole_number, [](Spec& s, Text v, What w) { s.limit = count(v, w); }},
    CellWord{"max-tokens-per-sequence", WordKind::whole_number,
             [](Spec& s, Text v, What w) { s.max_tokens_per_sequence = count(v, w); }},
    CellWord{"when-too-long", WordKind::text,
             [](Spec& s, Text v, What w) { s.when_too_long = parse_when_too_long(v, w); }, when_too_long_words},
    CellWord{"device", WordKind::text, [](Spec& s, Text v, What w) { s.placement.device = named(parse_device, v, w); }},
    CellWord{"parallel", WordKind::text,
             [](Spec& s, Text v, What w) { s.placement.layout = named(Layout::parse, v, w); }},
    CellWord{"dtype", WordKind::text, [](Spec& s, Text v, What w) { s.placement.dtype = parse_dtype(v, w); },
             dtype_words},
    CellWord{"threads", WordKind::either, [](Spec& s, Text v, What w) { s.placement.threads = parse_threads(v, w); }},
    CellWord{"fusion", WordKind::text, [](Spec& s, Text v, What w) { s.run.fusion = named(parse_fusion, v, w); },
             fusion_words, true},
    CellWord{"batch", WordKind::whole_number, [](Spec& s, Text v, What w) { s.run.batch = count(v, w); }},
    CellWord{"batch-tokens", WordKind::whole_number, [](Spec& s, Text v, What w) { s.run.batch_tokens = count(v, w); }},
    CellWord{"packing", WordKind::text, [](Spec& s, Text v, What w) { s.run.packing = named(parse_packing, v, w); },
             packing_words},
    CellWord{"device-memory", WordKind::either,
             [](Spec& s, Text v, What w) { s.run.device_memory_bytes = parse_bytes(v, w); }},
    CellWord{"link", WordKind::text,
             [](Spec& s, Text v, What w) { s.run.link = v == "unpaced" ? LinkSpec() : named(parse_link, v, w); }},
};

}  // namespace

std::span<const CellWord> cell_words() { return words; }

const CellWord* find_cell_word(std::string_view name) {
  const auto found = std::find_if(words.begin(), words.end(), [&](const CellWord& word) { return word.name == name; });
  return found == words.end() ? nullptr : &*found;
}

CellSpec cell_from_words(const std::map<std::string, std::string, std::less<>>& given) {
  CellSpec spec;
  for (const auto& [name, value] : given) {
    const CellWord* word = find_cell_word(name);
    if (word == nullptr) throw InputError("'{}' is not a setting of a cell", name);
    word->set(spec, value, name == "weights-seed" ? "--seed" : "--" + name);
  }
  if (spec.workload && spec.workload->trace.empty() && spec.workload->requests == 0)
    spec.workload->requests = default_requests;
  const bool has_device = given.contains("device"), has_parallel = given.contains("parallel");
  if (!has_parallel) spec.placement.layout = Layout::parse(fmt::format("tp{}", spec.placement.device.count()));
  if (!has_device) spec.placement.device = parse_device(fmt::format("cpu:{}", spec.placement.layout.ranks()));
  return spec;
}

}  // namespace batchscope
