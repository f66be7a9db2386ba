// The table of axes: one row for each thing that a cell can set.
#include "study/axes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "base/units.h"
#include "cuda_driver/library.h"
#include "engine/sampling.h"
#include "study/json_optional.h"
#include "study/link_json.h"
#include "task/trace_formats.h"

namespace batchscope {
namespace {

constexpr std::int64_t most = 1'000'000'000;  // of anything that is counted
constexpr std::int64_t most_requests = 1'000'000;

using Spec = CellSpec;
using Text = const std::string&;
using What = std::string_view;
using Said = std::optional<std::string>;

std::int64_t count(Text value, What what) { return parse_integer(value, 1, most, what); }
std::uint64_t seed(Text value, What what) {
  return static_cast<std::uint64_t>(parse_integer(value, 0, any_integer, what));
}

// Settings whose parsers do not know what they are given for.
template <class Parse>
auto named(Parse parse, Text value, What what) {
  try {
    return parse(value);
  } catch (const InputError& error) {
    const std::string_view message = error.what();
    if (message.starts_with(what) || message.starts_with("--")) throw;
    throw InputError("{}: {}", what, message);
  }
}

// "cuda:all": the GPUs that CUDA shows.
DeviceSpec all_gpus(What what) {
  static const std::size_t count = [&] {
    try {
      return cuda::Library().gpus().size();
    } catch (const Failure& failure) {
      throw InputError("{} cuda:all: {}; to plan for GPUs elsewhere, name them: cuda:0,1", what, failure.what());
    }
  }();
  if (count == 0) throw InputError("{} cuda:all: CUDA finds none here; to plan for others, name them: cuda:0,1", what);
  DeviceSpec device{.kind = "cuda", .numbers = std::vector<int>(count)};
  std::iota(device.numbers.begin(), device.numbers.end(), 0);
  return device;
}

constexpr std::string_view shared_by_devices = "/devices";  // "128GB/devices"

// What may be set, as text.
template <class T>
std::string text_of(const std::optional<T>& value, const char* unset = "") {
  return value ? fmt::format("{}", *value) : unset;
}
std::string count_text(std::int64_t value) { return value > 0 ? std::to_string(value) : ""; }

// The first of its words makes a cell one that generates.
Workload& workload(Spec& spec) { return spec.workload ? *spec.workload : spec.workload.emplace(); }
template <class Get>
std::string of_workload(const Spec& spec, Get get) {
  return spec.workload ? fmt::format("{}", get(*spec.workload)) : "";
}

// Labels.
Said itself(const Spec&, Text text) { return text; }
Said file_name(const Spec&, Text text) { return std::filesystem::path(text).filename().string(); }
Said nothing(const Spec&, Text) { return std::nullopt; }

// Those to compute in.
constexpr std::array<std::string_view, 3> dtype_words{"f32", "bf16", "f16"};

// Those to keep weights and the KV cache in, apart from that.
constexpr std::array<std::string_view, 4> kept_dtype_words{"auto", "f32", "bf16", "f16"};
constexpr std::array<std::string_view, 5> weights_dtype_words{"auto", "f32", "bf16", "f16", "fp8"};
std::optional<DType> kept_dtype(Text value, What what, DType (*parse)(std::string_view, std::string_view)) {
  return value == "auto" ? std::nullopt : std::optional(parse(value, what));
}
std::string kept_dtype_text(std::optional<DType> dtype) { return std::string(dtype ? name_of(*dtype) : "auto"); }

constexpr std::array link_parts{"kind", "bytes_per_second", "latency_ns"};

template <class Words>
std::string choice(const Words& words) {
  return fmt::format("{}", fmt::join(words, " | "));
}

std::vector<Axis> rows() {
  return {
      {.word = "engine",
       .group = AxisGroup::engine,
       .set =
           [](Spec& s, Text v, What w) {
             const ServerAccess access = s.engine.access;
             s.engine = parse_engine(v, w);
             s.engine.access = access;
           },
       .text = [](const Spec& s) { return to_string(s.engine); },
       .type = "ENGINE",
       .help = "batchscope, a server's address such as http://localhost:8000/v1, or \"command:PROGRAM ARGUMENTS\": any "
               "program that speaks docs/engines.md",
       .preset = "batchscope",
       .in_json = InJson::always,
       .name = {.place = 26},
       .label = nothing},  // a short name begins with it
      {.word = "retries",
       .group = AxisGroup::engine,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { s.engine.access.retries = parse_integer(v, 0, 1000, w); },
       .text = [](const Spec& s) { return std::to_string(s.engine.access.retries); },
       .type = "N",
       .help = "how often a request to a server is sent again after it failed; all are counted",
       .preset = "0",
       .name = {.naming = Naming::never},
       .label = nothing},
      {.word = "request-timeout",
       .group = AxisGroup::engine,
       .set =
           [](Spec& s, Text v, What w) {
             s.engine.access.request_timeout = parse_duration(v, w);
             if (s.engine.access.request_timeout < std::chrono::milliseconds(1))
               throw InputError("{}: {} is too short; the shortest is 1ms", w, v);
           },
       .text =
           [](const Spec& s) {
             const auto ms = std::chrono::round<std::chrono::milliseconds>(s.engine.access.request_timeout).count();
             return ms % 60'000 == 0 ? fmt::format("{}min", ms / 60'000) : fmt::format("{}ms", ms);
           },
       .type = "TIME",
       .help = "for a server's whole answer to a request",
       .preset = "5min",
       .name = {.naming = Naming::never},
       .label = nothing},
      {.word = "token-file",
       .group = AxisGroup::engine,
       .set = [](Spec& s, Text v, What) { s.engine.access.token_file = v; },
       .text = [](const Spec& s) { return s.engine.access.token_file; },
       .type = "FILE",
       .help = "send the bearer token in this file to the server; it is read again for each request",
       .name = {.naming = Naming::never},
       .label = nothing},
      {.word = "token-variable",
       .group = AxisGroup::engine,
       .set = [](Spec& s, Text v, What) { s.engine.access.token_variable = v; },
       .text = [](const Spec& s) { return s.engine.access.token_variable; },
       .type = "NAME",
       .help = "send the bearer token in this environment variable to the server",
       .name = {.naming = Naming::never},
       .label = nothing},
      {.word = "sentinel-items",
       .group = AxisGroup::engine,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { s.sentinel_items = parse_integer(v, 0, most, w); },
       .text = [](const Spec& s) { return std::to_string(s.sentinel_items); },
       .type = "N",
       .help = "first questions whose answers are compared with a reference; 0: none",
       .preset = "32",
       .label = nothing,
       .hint = "compared with a reference"},
      {.word = "model",
       .group = AxisGroup::model,
       .set = [](Spec& s, Text v, What) { s.model.path = v; },
       .text = [](const Spec& s) { return s.model.path; },
       .type = "PATH",
       .help = "Hugging Face folder or GGUF file of a LLaMA-family model (default: the embedded tiny model)",
       .json = "/model/path",
       .in_json = InJson::always,
       .name = {.place = 11},
       .label = file_name},
      {.word = "random-weights",
       .group = AxisGroup::model,
       .set = [](Spec& s, Text v, What) { s.model.random_shape = v; },
       .text = [](const Spec& s) { return s.model.random_shape; },
       .type = "SHAPE",
       .help = "random weights of this shape: llama-7b, a config.json, or layers=2,hidden=64,…",
       .json = "/model/random_shape",
       .in_json = InJson::always,
       .name = {.place = 12},
       .label = itself},
      {.word = "weights-seed",
       .group = AxisGroup::model,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { s.model.seed = seed(v, w); },
       .text = [](const Spec& s) { return std::to_string(s.model.seed); },
       .flag = "seed",
       .type = "N",
       .help = "seed of the random weights",
       .preset = "0",
       .json = "/model/seed",
       .in_json = InJson::always,
       .name = {.place = 13},
       .column = "seed"},
      {.word = "task",
       .group = AxisGroup::task,
       .set = [](Spec& s, Text v, What) { s.task = v; },
       .text = [](const Spec& s) { return s.task; },
       .type = "FILE.jsonl",
       .help = "questions, one JSON object per line (default: the embedded set)",
       .in_json = InJson::always,
       .name = {.place = 14},
       .label = [](const Spec& s, Text v) -> Said {
         return s.workload ? "generate" : v.empty() ? "questions" : file_name(s, v);
       }},
      {.word = "prompt-tokens",
       .group = AxisGroup::task,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { workload(s).prompt_tokens = count(v, w); },
       .text = [](const Spec& s) { return s.workload ? count_text(s.workload->prompt_tokens) : ""; },
       .type = "N",
       .help = "generate instead: prompts of N random tokens",
       .json = "/workload/prompt_tokens",
       .in_json = InJson::or_null,
       .name = {.place = 18},
       .label = [](const Spec& s, Text v) -> Said {  // with the next one
         return v.empty() ? v : fmt::format("{}+{} tok", v, s.workload->output_tokens);
       },
       .column = "workload_prompt_tokens",
       .hint = "of each request"},
      {.word = "output-tokens",
       .group = AxisGroup::task,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { workload(s).output_tokens = parse_integer(v, 1, most_output_tokens, w); },
       .text = [](const Spec& s) { return s.workload ? count_text(s.workload->output_tokens) : ""; },
       .type = "N",
       .help = "tokens to generate for each prompt",
       .json = "/workload/output_tokens",
       .in_json = InJson::or_null,
       .name = {.place = 19},
       .label = nothing,
       .column = "workload_output_tokens",
       .hint = "of each request"},
      {.word = "requests",
       .group = AxisGroup::task,
       .kind = AxisKind::count_or_word,
       .set =
           [](Spec& s, Text v, What w) {
             workload(s).requests = v == "batch" ? Workload::one_batch : parse_integer(v, 1, most_requests, w);
           },
       .text =
           [](const Spec& s) {
             if (!s.workload) return std::string();
             return s.workload->requests == Workload::one_batch ? "batch" : count_text(s.workload->requests);
           },
       .type = "N",
       .help = fmt::format("how many prompts; batch: as many as run at a time (default: {})", default_requests),
       .json = "/workload/requests",
       .in_json = InJson::or_null,
       .name = {.place = 20},
       .label = [](const Spec&, Text v) { return v.empty()      ? Said()
                                                 : v == "batch" ? "one batch"
                                                                : v + " requests"; },
       .column = "workload_requests"},
      {.word = "arrival-rate",
       .group = AxisGroup::task,
       .kind = AxisKind::number,
       .set = [](Spec& s, Text v, What w) { workload(s).arrival_rate = parse_number(v, 1e-6, 1e6, w); },
       .text = [](const Spec& s) { return s.workload ? text_of(s.workload->arrival_rate) : ""; },
       .type = "RATE",
       .help = "requests per second (default: all arrive at the start)",
       .json = "/workload/arrival_rate",
       .in_json = InJson::or_null,
       .name = {.place = 21},
       .label = [](const Spec& s, Text v) -> Said {
         return !s.workload->trace.empty() ? Said() : v.empty() ? "at once" : v + "/s";
       },
       .hint = "requests per second; none: all at the start"},
      {.word = "burstiness",
       .group = AxisGroup::task,
       .kind = AxisKind::number,
       .set = [](Spec& s, Text v, What w) { workload(s).burstiness = parse_number(v, 1e-3, 1e6, w); },
       .text = [](const Spec& s) { return of_workload(s, [](const Workload& w) { return w.burstiness; }); },
       .type = "NUMBER",
       .help = "of --arrival-rate: gaps vary by 1/sqrt of it; below 1 requests come in bursts, 1000 is nearly regular "
               "(default: 1, a Poisson process)",
       .json = "/workload/burstiness",
       .label = [](const Spec&, Text v) -> Said { return v == "1" ? "" : "burstiness " + v; }},
      {.word = "trace",
       .group = AxisGroup::task,
       .set = [](Spec& s, Text v, What) { workload(s).trace = v; },
       .text = [](const Spec& s) { return s.workload ? s.workload->trace : ""; },
       .type = "FILE",
       .help = "generate instead: requests with prompts or lengths and arrival times, one JSON object per line, or in "
               "the format of Azure, BurstGPT, Mooncake, Bailian, vLLM or ShareGPT",
       .json = "/workload/trace",
       .in_json = InJson::or_null,
       .name = {.place = 15},
       .label = file_name},
      {.word = "trace-format",
       .group = AxisGroup::task,
       .set =
           [](Spec& s, Text v, What w) {
             parse_trace_format(v, w);
             workload(s).trace_format = v;
           },
       .text = [](const Spec& s) { return s.workload ? s.workload->trace_format : ""; },
       .type = "FORMAT",
       .help = choice(trace_format_words) + " (default: detected)",
       .values = trace_format_words,
       .json = "/workload/trace_format",
       .name = {.place = 16},
       .label = itself},
      {.word = "trace-speed",
       .group = AxisGroup::task,
       .kind = AxisKind::number,
       .set = [](Spec& s, Text v, What w) { workload(s).trace_speed = parse_number(v, 1e-6, 1e6, w); },
       .text = [](const Spec& s) { return of_workload(s, [](const Workload& w) { return w.trace_speed; }); },
       .type = "NUMBER",
       .help = "how many times faster the trace's requests arrive (default: 1)",
       .json = "/workload/trace_speed",
       .name = {.place = 17},
       .label = [](const Spec&, Text v) -> Said { return v == "1" ? "" : v + "x"; }},
      {.word = "temperature",
       .group = AxisGroup::task,
       .kind = AxisKind::number,
       .set = [](Spec& s, Text v, What w) { workload(s).sampling.temperature = parse_temperature(v, w); },
       .text = [](const Spec& s) { return of_workload(s, [](const Workload& w) { return w.sampling.temperature; }); },
       .type = "NUMBER",
       .help = "sampling temperature (default: 0, the most probable token)",
       .json = "/workload/temperature",
       .in_json = InJson::always,
       .name = {.place = 22},
       .label = [](const Spec&, Text v) -> Said { return "T " + v; }},
      {.word = "top-p",
       .group = AxisGroup::task,
       .kind = AxisKind::number,
       .set = [](Spec& s, Text v, What w) { workload(s).sampling.top_p = parse_top_p(v, w); },
       .text = [](const Spec& s) { return of_workload(s, [](const Workload& w) { return w.sampling.top_p; }); },
       .type = "NUMBER",
       .help = "sample from the most probable tokens that add up to this probability (default: 1)",
       .json = "/workload/top_p",
       .in_json = InJson::always,
       .name = {.place = 23}},
      {.word = "task-seed",
       .group = AxisGroup::task,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { workload(s).sampling.seed = seed(v, w); },
       .text = [](const Spec& s) { return of_workload(s, [](const Workload& w) { return w.sampling.seed; }); },
       .type = "N",
       .help = "seed of random prompts, arrivals and sampling (default: 0)",
       .json = "/workload/seed",
       .in_json = InJson::always,
       .name = {.place = 24},
       .label = [](const Spec&, Text v) -> Said { return "seed " + v; }},
      {.word = "limit",
       .group = AxisGroup::task,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { s.limit = count(v, w); },
       .text = [](const Spec& s) { return text_of(s.limit); },
       .type = "N",
       .help = "only the first N questions or requests",
       .in_json = InJson::or_null,
       .name = {.place = 25},
       .label = [](const Spec& s, Text v) -> Said {
         if (s.workload) return v.empty() ? Said() : v + " requests";
         return (v.empty() ? "all" : v) + " items";
       }},
      {.word = "sample",
       .group = AxisGroup::task,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { s.sample = count(v, w); },
       .text = [](const Spec& s) { return text_of(s.sample); },
       .type = "N",
       .help = "only N questions, spread evenly over all lengths; the result says what the whole task would take",
       .label = [](const Spec&, Text v) -> Said { return v.empty() ? v : "sample of " + v; }},
      {.word = "sample-seed",
       .group = AxisGroup::task,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { s.sample_seed = seed(v, w); },
       .text = [](const Spec& s) { return std::to_string(s.sample_seed); },
       .type = "N",
       .help = "which questions --sample takes",
       .preset = "0"},
      {.word = "max-tokens-per-sequence",
       .group = AxisGroup::task,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { s.max_tokens_per_sequence = count(v, w); },
       .text = [](const Spec& s) { return text_of(s.max_tokens_per_sequence); },
       .type = "N",
       .help = "longest model input; when generating, prompt and output together",
       .in_json = InJson::or_null,
       .name = {.word = "max-tokens", .place = 7},
       .label = nothing,  // token_limit_name() of grid.h
       .title = "token limit"},
      {.word = "when-too-long",
       .group = AxisGroup::task,
       .set = [](Spec& s, Text v, What w) { s.when_too_long = parse_when_too_long(v, w); },
       .text = [](const Spec& s) { return to_string(s.when_too_long); },
       .type = "WHAT",
       .help = choice(when_too_long_words) + " (cut on the left, and the status says so)",
       .preset = "fail",
       .values = when_too_long_words,
       .in_json = InJson::always,
       .name = {.place = 8},
       .label = nothing},
      {.word = "device",
       .group = AxisGroup::placement,
       .set = [](Spec& s, Text v,
                 What w) { s.placement.device = v == "cuda:all" ? all_gpus(w) : named(parse_device, v, w); },
       .text = [](const Spec& s) { return to_string(s.placement.device); },
       .type = "DEVICE",
       .help = "cpu:N, N virtual devices, cuda:0,1, or cuda:all (default: what --parallel needs)",
       .in_json = InJson::always,
       .name = {.place = 9},
       .label = itself,
       .title = "devices"},
      {.word = "parallel",
       .group = AxisGroup::placement,
       .set = [](Spec& s, Text v, What w) { s.placement.layout = named(Layout::parse, v, w); },
       .text = [](const Spec& s) { return s.placement.layout.to_string(); },
       .type = "LAYOUT",
       .help = "mp4 | pp4 | tp4 | dp4 | dp2.tp2 …, or mp, pp, tp, dp over all devices (default: tp)",
       .in_json = InJson::always,
       .name = {.naming = Naming::bare, .place = 0},
       .label = nothing,  // a short name begins with it
       .title = "layout",
       .hint = "how the model is split: mp, pp, tp, dp"},
      {.word = "dtype",
       .group = AxisGroup::placement,
       .set = [](Spec& s, Text v, What w) { s.placement.dtype = parse_dtype(v, w); },
       .text = [](const Spec& s) { return std::string(name_of(s.placement.dtype)); },
       .type = "DTYPE",
       .help = "number format to compute in: f32 | bf16, and on GPUs f16",
       .preset = "f32",
       .values = dtype_words,
       .in_json = InJson::always,
       .name = {.naming = Naming::bare, .place = 3},
       .label = itself,
       .compared = {"Dtype: time", {"f32"}}},
      {.word = "weights-dtype",
       .group = AxisGroup::placement,
       .set = [](Spec& s, Text v, What w) { s.placement.weights_dtype = kept_dtype(v, w, parse_weights_dtype); },
       .text = [](const Spec& s) { return kept_dtype_text(s.placement.weights_dtype); },
       .type = "DTYPE",
       .help = "of weight matrices: bf16, or fp8 for those of layers; auto: as --dtype",
       .preset = "auto",
       .values = weights_dtype_words,
       .label = [](const Spec&, Text v) -> Said { return v == "auto" ? "" : v + " weights"; },
       .compared = {"Dtype of the weights: time", {"auto"}}},
      {.word = "kv-dtype",
       .group = AxisGroup::placement,
       .set = [](Spec& s, Text v, What w) { s.placement.kv_dtype = kept_dtype(v, w, parse_dtype); },
       .text = [](const Spec& s) { return kept_dtype_text(s.placement.kv_dtype); },
       .type = "DTYPE",
       .help = "of the KV cache: bf16 halves that of f32; auto: as --dtype",
       .preset = "auto",
       .values = kept_dtype_words,
       .label = [](const Spec&, Text v) -> Said { return v == "auto" ? "" : v + " KV"; },
       .compared = {"Dtype of the KV cache: time", {"auto"}}},
      {.word = "threads",
       .group = AxisGroup::placement,
       .kind = AxisKind::count_or_word,
       .set =
           [](Spec& s, Text v, What w) {
             s.placement.threads.reset();
             if (v != "auto") s.placement.threads = static_cast<int>(parse_integer(v, 1, 4096, w));
           },
       .text = [](const Spec& s) { return text_of(s.placement.threads, "auto"); },
       .type = "N",
       .help = "CPU threads per virtual device; auto: an equal share of the available CPUs",
       .preset = "auto",
       .in_json = InJson::or_null,
       .name = {.place = 10},
       .label = [](const Spec&, Text v) -> Said { return v + " threads"; },
       .compared = {"Threads of each device: time", {"1"}}},
      {.word = "fusion",
       .group = AxisGroup::run,
       .set = [](Spec& s, Text v, What w) { s.run.fusion = named(parse_fusion, v, w); },
       .text = [](const Spec& s) { return to_string(s.run.fusion); },
       .type = "FUSION",
       .help = fmt::format("off | on | a list of {}", fmt::join(fusion_words.begin() + 2, fusion_words.end(), ",")),
       .preset = "off",
       .values = fusion_words,
       .takes_list = true,
       .in_json = InJson::always,
       .name = {.naming = Naming::always, .place = 1},
       .label = nothing,  // it stands beside the layout
       .compared = {"Fusion: what each saves alone, and what is lost without it", {"off", "on"}}},
      {.word = "batch",
       .group = AxisGroup::run,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { s.run.batch = count(v, w); },
       .text = [](const Spec& s) { return std::to_string(s.run.batch); },
       .type = "N",
       .help =
           "sequences at a time: of a batch, or of a server as requests in flight; a question has one for each choice",
       .preset = "1",
       .in_json = InJson::always,
       .name = {.naming = Naming::never},
       .label = nothing,
       .hint = "sequences at a time: per batch and replica, or of a server requests in flight"},
      {.word = "batch-tokens",
       .group = AxisGroup::run,
       .kind = AxisKind::whole_number,
       .set = [](Spec& s, Text v, What w) { s.run.batch_tokens = count(v, w); },
       .text = [](const Spec& s) { return text_of(s.run.batch_tokens); },
       .type = "N",
       .help = "maximum tokens per batch when scoring (default: no limit)",
       .name = {.place = 6},
       .label = [](const Spec&, Text v) -> Said {
         return v.empty() ? "any tok/batch" : fmt::format("≤{} tok/batch", v);
       }},
      {.word = "packing",
       .group = AxisGroup::setting,
       .set = [](Spec& s, Text v, What w) { s.run.packing = named(parse_packing, v, w); },
       .text = [](const Spec& s) { return to_string(s.run.packing); },
       .type = "PACKING",
       .help = choice(packing_words),
       .preset = "padded",
       .values = packing_words,
       .in_json = InJson::always,
       .name = {.naming = Naming::bare, .place = 2},
       .label = itself,
       .compared = {"Packing: time, and the tokens that explain it", {"padded"}}},
      {.word = "device-memory",
       .group = AxisGroup::setting,
       .kind = AxisKind::size,
       .set =
           [](Spec& s, Text v, What w) {
             const bool is_shared = v.ends_with(shared_by_devices);
             s.run.device_memory_bytes =
                 parse_bytes(is_shared ? v.substr(0, v.size() - shared_by_devices.size()) : v, w);
             if (is_shared) *s.run.device_memory_bytes /= s.placement.device.count();
           },
       .text = [](const Spec& s) { return text_of(s.run.device_memory_bytes); },
       .type = "SIZE",
       .help = "memory limit per device: 64MiB, 1.5GB; 128GB/devices: of all together (default: all there is)",
       .json = "/device_memory_bytes",
       .in_json = InJson::or_null,
       .name = {.word = "memory", .place = 4},
       .label = [](const Spec& s, Text v) -> Said {
         return v.empty() ? "no limit" : format_bytes(static_cast<double>(*s.run.device_memory_bytes));
       },
       .column = "device_memory_bytes",
       .title = "memory limit",
       .hint = "of each device"},
      {.word = "link",
       .group = AxisGroup::setting,
       .set = [](Spec& s, Text v, What w) { s.run.link = v == "unpaced" ? LinkSpec() : named(parse_link, v, w); },
       .text = [](const Spec& s) { return to_string(s.run.link); },
       .type = "LINK",
       .help = "link between devices: 12GB/s,5us paces virtual ones; nvlink | pcie, between GPUs (default: as fast as "
               "it goes)",
       .in_json = InJson::always,
       .to_json = [](const Spec& s) { return link_json(s.run.link); },
       .from_json = [](const JsonObject& object, Spec& s) { s.run.link = link_from_json(object); },
       .parts = link_parts,
       .name = {.place = 5},
       .label = itself,
       .compared = {"Link: time", {"unpaced", "nvlink"}}},
  };
}

std::string with(std::string_view word, char dash) {
  std::string text(word);
  std::replace(text.begin(), text.end(), '-', dash);
  return text;
}

std::vector<Axis> completed() {
  std::vector<Axis> all = rows();
  for (Axis& axis : all) {
    if (axis.json.empty()) axis.json = "/" + with(axis.word, '_');
    if (axis.column.empty()) axis.column = with(axis.word, '_');
    if (axis.title.empty()) axis.title = with(axis.word, ' ');
    if (axis.name.word.empty()) axis.name.word = axis.word;
  }
  return all;
}

}  // namespace

std::string Axis::flag_name() const { return fmt::format("--{}", flag.empty() ? word : flag); }

std::span<const Axis> axes() {
  static const std::vector<Axis> all = completed();
  return all;
}

std::span<const Axis* const> axes_by_name() {
  static const std::vector<const Axis*> sorted = [] {
    std::vector<const Axis*> all;
    for (const Axis& axis : axes()) all.push_back(&axis);
    std::stable_sort(all.begin(), all.end(),
                     [](const Axis* a, const Axis* b) { return a->name.place < b->name.place; });
    return all;
  }();
  return sorted;
}

const Axis* find_axis(std::string_view word) {
  const auto all = axes();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Axis& axis) { return axis.word == word; });
  return found == all.end() ? nullptr : &*found;
}

CellSpec with_nothing_set(const CellSpec& spec) {
  CellSpec plain;
  if (spec.workload) plain.workload.emplace();
  plain.placement.device = parse_device(fmt::format("cpu:{}", spec.placement.layout.ranks()));
  return plain;
}

namespace {

// Without a number: over all devices.
bool is_bare(std::string_view layout) { return layout == "mp" || layout == "pp" || layout == "tp" || layout == "dp"; }

}  // namespace

void set_axis(CellSpec& spec, std::string_view word, const std::string& value) {
  const Axis* axis = find_axis(word);
  if (axis == nullptr) throw InputError("'{}' is not a setting of a cell", word);
  const bool is_relative = word == "parallel" && is_bare(value);
  axis->set(spec, is_relative ? fmt::format("{}{}", value, spec.placement.device.count()) : value, axis->flag_name());
}

bool has_values(const CellSpec& spec, const AxisValues& wanted) {
  CellSpec same = spec;  // setting what it already has changes nothing
  for (const auto& [word, value] : wanted) set_axis(same, word, value);
  return to_json(same) == to_json(spec);
}

CellSpec cell_of(const AxisValues& given) {
  CellSpec spec;
  // First what others are relative to.
  const auto device = given.find("device"), parallel = given.find("parallel");
  if (device != given.end())
    set_axis(spec, "device", device->second);
  else if (parallel != given.end() && is_bare(parallel->second))
    throw InputError("--parallel {}: over which devices? name them with --device, or write {}4", parallel->second,
                     parallel->second);
  set_axis(spec, "parallel", parallel != given.end() ? parallel->second : "tp");
  if (device == given.end()) set_axis(spec, "device", fmt::format("cpu:{}", spec.placement.layout.ranks()));
  for (const auto& [word, value] : given)
    if (word != "device" && word != "parallel") set_axis(spec, word, value);
  if (spec.workload && spec.workload->trace.empty() && spec.workload->requests == 0)
    spec.workload->requests = default_requests;
  return spec;
}

}  // namespace batchscope
