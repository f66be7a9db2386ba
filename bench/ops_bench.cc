// Every op of the CPU engine at a model's sizes: GFLOP/s and GB/s, and what share that is of the time which the machine's
// GEMM rate and read bandwidth, measured in the same run, would take.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/cpus.h"
#include "bench/machine_limits.h"
#include "device/cpu/cpu_device.h"
#include "device/plan/plan_device.h"
#include "model/config.h"
#include "ops/attention.h"
#include "ops/cpu_kernels.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/log_softmax.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "ops/rows.h"

using namespace batchscope;

namespace {

// SmolLM2-135M's.
constexpr const char* default_shape =
    "layers=30,hidden=576,heads=9,kv_heads=3,head_dim=64,intermediate=1536,vocabulary=49152,tied=true";

struct Limits {
  std::map<DType, double> flop_per_s;
  double bytes_per_s = 0;
};

// A CPU device with tensors of random numbers.
class Bench {
 public:
  Bench(DType dtype, int threads) : dtype_(dtype), device_("cpu:0", pages_, cpu_kernels(), threads) {}
  Device& device() { return device_; }

  Tensor floats(std::int64_t rows, std::int64_t columns) { return random(dtype_, rows, columns); }
  Tensor random(DType dtype, std::int64_t rows, std::int64_t columns) {
    const Tensor tensor = device_.arena().allocate("bench", MemoryUse::activations, dtype, rows, columns);
    fill(tensor);
    return tensor;
  }
  Tensor weight(std::int64_t rows, std::int64_t columns) {
    Tensor tensor = device_.arena().allocate("bench", MemoryUse::weights, dtype_, rows, columns);
    tensor.panel = device_.weight_panel(dtype_, rows, columns);
    fill(tensor);
    return tensor;
  }
  Tensor integers(const std::vector<std::int32_t>& values) {
    const Tensor tensor = device_.arena().allocate("bench", MemoryUse::activations, DType::i32, 1, std::ssize(values));
    device_.upload(one_row(values), tensor);
    return tensor;
  }

 private:
  void fill(const Tensor& tensor) {
    std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& value : values) value = uniform(random_);
    device_.upload({reinterpret_cast<const std::byte*>(values.data()), DType::f32, tensor.rows, tensor.columns,
                    tensor.columns},
                   tensor);
  }
  DType dtype_;
  HostPages pages_;
  CpuDevice device_;
  std::mt19937 random_{1};
};

using Op = std::function<void(Device&)>;
using MakeOp = std::function<Op(Bench&)>;

class Registry {
 public:
  Registry(const ModelConfig& config, const Limits& limits, int threads)
      : config_(config), limits_(limits), threads_(threads) {}

  void add(const std::string& name, DType dtype, const MakeOp& make) {
    benchmark::RegisterBenchmark(fmt::format("{}/{}", name, name_of(dtype)).c_str(),
                                 [this, dtype, make](benchmark::State& state) { run(state, dtype, make); })
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  }
  void add_all(DType dtype, std::int64_t tokens);
  void add_attention(DType dtype);
  void add_decode(DType dtype, std::int64_t sequences, std::int64_t keys);

 private:
  void run(benchmark::State& state, DType dtype, const MakeOp& make) {
    Bench bench(dtype, threads_);
    const Op op = make(bench);
    PlanDevice plan("plan");
    Trace trace;
    plan.observe(&trace);
    op(plan);
    op(bench.device());
    for (auto _ : state) op(bench.device());
    double flop = 0, bytes = 0;
    for (const TraceEntry& entry : trace.entries()) {
      const auto& work = std::get<Work>(entry);
      flop += work.flop;
      bytes += static_cast<double>(work.bytes);
    }
    const double least = std::max(flop / limits_.flop_per_s.at(dtype), bytes / limits_.bytes_per_s);
    using benchmark::Counter;
    state.counters["GFLOP/s"] = Counter(flop / 1e9, Counter::kIsIterationInvariantRate);
    state.counters["GB/s"] = Counter(bytes / 1e9, Counter::kIsIterationInvariantRate);
    state.counters["share"] = Counter(least, Counter::kIsIterationInvariantRate);  // above 1: from a cache
  }

  const ModelConfig& config_;
  const Limits& limits_;
  int threads_;
};

// A pass's weights; the vocabulary's apart, since only some rows need it.
std::vector<std::pair<std::string, WeightSize>> layer_weights(const ModelConfig& config) {
  const std::int64_t q = config.heads * config.head_dim, kv = config.kv_heads * config.head_dim;
  return {{"qkv", {q + 2 * kv, config.hidden, config.layers}},
          {"attention_out", {config.hidden, q, config.layers}},
          {"gate_up", {2 * config.intermediate, config.hidden, config.layers}},
          {"down", {config.hidden, config.intermediate, config.layers}}};
}

void Registry::add_all(DType dtype, std::int64_t tokens) {
  const auto named = [&](const std::string& op) { return fmt::format("{}/{}", op, tokens); };
  auto weights = layer_weights(config_);
  weights.emplace_back("vocabulary", WeightSize{config_.vocabulary, config_.hidden, 1});
  for (const auto& [name, size] : weights)
    add(named("linear_" + name), dtype, [size = size, tokens](Bench& bench) -> Op {
      const Tensor x = bench.floats(tokens, size.in_features), weight = bench.weight(size.out_features, size.in_features);
      const Tensor out = bench.floats(tokens, size.out_features);
      return [=](Device& device) { linear(device, x, weight, {}, out); };
    });
  const std::int64_t hidden = config_.hidden, width = config_.intermediate, vocabulary = config_.vocabulary;
  add(named("rms_norm"), dtype, [=](Bench& bench) -> Op {
    const Tensor x = bench.floats(tokens, hidden), weight = bench.floats(1, hidden), out = bench.floats(tokens, hidden);
    return [=](Device& device) { rms_norm(device, x, weight, 1e-5f, out); };
  });
  add(named("add_rms_norm"), dtype, [=](Bench& bench) -> Op {
    const Tensor x = bench.floats(tokens, hidden), y = bench.floats(tokens, hidden), weight = bench.floats(1, hidden);
    return [=](Device& device) { add_rms_norm(device, x, y, weight, 1e-5f, y); };
  });
  add(named("add"), dtype, [=](Bench& bench) -> Op {
    const Tensor x = bench.floats(tokens, hidden), y = bench.floats(tokens, hidden);
    return [=](Device& device) { batchscope::add(device, x, y); };
  });
  add(named("swiglu"), dtype, [=](Bench& bench) -> Op {
    const Tensor gate_up = bench.floats(tokens, 2 * width), out = bench.floats(tokens, width);
    return [=](Device& device) {
      swiglu(device, gate_up.column_range(0, width), gate_up.column_range(width, width), out);
    };
  });
  add(named("silu"), dtype, [=](Bench& bench) -> Op {
    const Tensor x = bench.floats(tokens, width);
    return [=](Device& device) { silu(device, x); };
  });
  add(named("multiply"), dtype, [=](Bench& bench) -> Op {
    const Tensor x = bench.floats(tokens, width), y = bench.floats(tokens, width);
    return [=](Device& device) { multiply(device, x, y); };
  });
  const std::int64_t q = config_.heads * config_.head_dim, half = config_.head_dim / 2;
  add(named("rope"), dtype, [=](Bench& bench) -> Op {
    const Tensor x = bench.floats(tokens, q), cosine = bench.random(DType::f32, tokens, half);
    const Tensor sine = bench.random(DType::f32, tokens, half);
    return [=](Device& device) { rope(device, x, cosine, sine); };
  });
  add(named("embedding"), dtype, [=](Bench& bench) -> Op {
    std::vector<std::int32_t> ids;
    for (std::int64_t i = 0; i < tokens; ++i) ids.push_back(static_cast<std::int32_t>(i * 7919 % vocabulary));
    const Tensor index = bench.integers(ids), table = bench.weight(vocabulary, hidden), out = bench.floats(tokens, hidden);
    return [=](Device& device) { embedding(device, index, table, out); };
  });
  add(named("log_softmax"), dtype, [=](Bench& bench) -> Op {
    const Tensor logits = bench.floats(tokens, vocabulary), largest = bench.random(DType::f32, 1, tokens);
    const Tensor sums = bench.random(DType::f32, 2, tokens);
    const Tensor targets = bench.integers(std::vector<std::int32_t>(static_cast<std::size_t>(tokens), 7));
    return [=](Device& device) {
      row_max(device, logits, largest);
      sum_exp_and_target(device, logits, largest, targets, 0, sums);
      target_log_probability(device, largest, sums, largest);
    };
  });
}

// Sixteen questions of four endings, as HellaSwag has them with a byte-level tokenizer: 60 tokens they share, 25 each.
void Registry::add_attention(DType dtype) {
  const HeadMap map{.heads = config_.heads, .head_dim = config_.head_dim, .group = config_.heads / config_.kv_heads};
  auto segments = std::make_shared<std::vector<AttentionSegment>>();
  std::int64_t tokens = 0;
  for (int question = 0; question < 16; ++question) {
    const KeySpan context{tokens, 60};
    segments->push_back({tokens, 60, {}, context});
    tokens += 60;
    for (int ending = 0; ending < 4; ++ending, tokens += 25)
      segments->push_back({tokens, 25, context, {tokens, 25}});
  }
  const std::int64_t q_width = map.heads * map.head_dim, kv_width = config_.kv_heads * map.head_dim;
  add("rope_attention/scoring", dtype, [=](Bench& bench) -> Op {
    const Tensor q = bench.floats(tokens, q_width), k = bench.floats(tokens, kv_width), v = bench.floats(tokens, kv_width);
    const Tensor cosine = bench.random(DType::f32, tokens, map.head_dim / 2), out = bench.floats(tokens, q_width);
    return [=](Device& device) { rope_attention(device, {q, k, v, {}, k, v, {}, cosine, cosine, {segments.get(), map}, out}); };
  });
  add("plain_attention/scoring", dtype, [=](Bench& bench) -> Op {
    const Tensor q = bench.floats(tokens, q_width), k = bench.floats(tokens, kv_width), v = bench.floats(tokens, kv_width);
    const Tensor out = bench.floats(tokens, q_width);
    const AttentionShape shape{segments.get(), map};
    const Tensor scores = bench.floats(1, score_elements(shape));
    return [=, keep = segments](Device& device) {
      attention_scores(device, q, k, shape, scores);
      causal_mask(device, shape, scores);
      attention_softmax(device, shape, scores);
      attention_values(device, scores, v, shape, out);
    };
  });
}

// One new token each, behind so many keys in the cache.
void Registry::add_decode(DType dtype, std::int64_t sequences, std::int64_t keys) {
  const HeadMap map{.heads = config_.heads, .head_dim = config_.head_dim, .group = config_.heads / config_.kv_heads};
  auto segments = std::make_shared<std::vector<AttentionSegment>>();
  for (std::int64_t i = 0; i < sequences; ++i) segments->push_back({i, 1, {}, {i * keys, keys}});
  const std::int64_t q_width = map.heads * map.head_dim, kv_width = config_.kv_heads * map.head_dim;
  add(fmt::format("rope_attention/decode_{}x{}", sequences, keys), dtype, [=](Bench& bench) -> Op {
    const Tensor q = bench.floats(sequences, q_width), k = bench.floats(sequences * keys, kv_width);
    const Tensor v = bench.floats(sequences * keys, kv_width), out = bench.floats(sequences, q_width);
    const Tensor new_k = bench.floats(sequences, kv_width), new_v = bench.floats(sequences, kv_width);
    std::vector<std::int32_t> last;
    for (std::int64_t i = 0; i < sequences; ++i) last.push_back(static_cast<std::int32_t>((i + 1) * keys - 1));
    const Tensor rows = bench.integers(last);
    const Tensor cosine = bench.random(DType::f32, sequences, map.head_dim / 2);
    return [=](Device& device) {
      rope_attention(device, {q, new_k, new_v, rows, k, v, {}, cosine, cosine, {segments.get(), map}, out});
    };
  });
}

}  // namespace

// usage: ops_bench [--shape=SHAPE] [--threads=N] [Google Benchmark's own flags]
int main(int argc, char** argv) {
  std::string shape = default_shape;
  int threads = usable_cpus();
  const auto last = std::remove_if(argv + 1, argv + argc, [&](const char* argument) {
    const std::string text = argument;
    if (text.starts_with("--shape=")) return shape = text.substr(8), true;
    if (text.starts_with("--threads=")) return threads = std::stoi(text.substr(10)), true;
    return false;
  });
  argc = static_cast<int>(last - argv);
  const ModelConfig config = parse_model_shape(shape);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;

  std::vector<WeightSize> weights;
  for (const auto& [name, size] : layer_weights(config)) weights.push_back(size);
  Limits limits{.flop_per_s = {}, .bytes_per_s = read_bytes_per_s(threads)};
  std::vector<DType> dtypes{DType::f32};
  if (__builtin_cpu_supports("avx512bw")) dtypes.push_back(DType::bf16);
  for (const DType dtype : dtypes) {
    limits.flop_per_s[dtype] = gemm_flop_per_s(dtype, weights, 1024, threads);
    benchmark::AddCustomContext(fmt::format("gemm_{}_gflop_per_s", name_of(dtype)),
                                fmt::format("{:.1f}", limits.flop_per_s[dtype] / 1e9));
  }
  benchmark::AddCustomContext("read_gb_per_s", fmt::format("{:.1f}", limits.bytes_per_s / 1e9));
  benchmark::AddCustomContext("threads", std::to_string(threads));
  benchmark::AddCustomContext("shape", shape);

  Registry registry(config, limits, threads);
  for (const DType dtype : dtypes) {
    for (const std::int64_t tokens : {1, 32, 512}) registry.add_all(dtype, tokens);
    registry.add_attention(dtype);
    for (const std::int64_t sequences : {1, 32}) registry.add_decode(dtype, sequences, 512);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
