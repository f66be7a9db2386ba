// The engine against its plan and against itself: every layout, fusion and packing gives the same log-likelihoods and
// tokens, moves the bytes that were predicted, and uses the memory that was planned. Where mpirun starts the tests
// (CMakeLists.txt), ranks are processes, in layouts of as many ranks.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "base/error.h"
#include "base/shared_data.h"
#include "comm/test_processes.h"
#include "device/cpu/bf16.h"
#include "engine/live_requests.h"
#include "engine/local_engine.h"
#include "plan/plan.h"
#include "task/score.h"

namespace batchscope {
namespace {

const char* const grouped_heads = "layers=5,hidden=64,heads=8,kv_heads=4,head_dim=8,intermediate=172,vocabulary=512";
const char* const thirteen_heads = "layers=5,hidden=104,heads=13,head_dim=8,intermediate=280,vocabulary=512";

// What members of the family add: biases and QK norm; windows shorter than the sequences, in all layers but the first.
const char* const biased =
    "layers=5,hidden=64,heads=8,kv_heads=2,head_dim=8,intermediate=172,vocabulary=512,qkv_bias=true,"
    "attention_out_bias=true,mlp_bias=true,qk_norm=true";
const char* const windowed =
    "layers=5,hidden=64,heads=8,kv_heads=1,head_dim=10,intermediate=172,vocabulary=512,tied=true,qkv_bias=true,window="
    "7,"
    "max_window_layers=1";

const char* const layouts[] = {"tp1", "mp2", "mp5",     "pp2",     "tp2",     "tp3",        "tp4",
                               "tp8", "dp2", "dp2.tp2", "mp2.tp2", "pp3.tp2", "dp2.pp2.tp2"};
const char* const fusions[] = {"off", "on", "qkv", "swiglu", "norm", "attention", "comm"};
constexpr Packing packings[] = {Packing::padded, Packing::packed, Packing::prefix};

// Without oneDNN (cmake/compiler.cmake) products are plain loops under a sanitizer: fewer questions race as well.
#ifdef BATCHSCOPE_WITHOUT_OPENMP
constexpr int few_questions = 2;
constexpr std::size_t few_prompts = 4, generating_fusions = 2;
#else
constexpr int few_questions = 5;
constexpr std::size_t few_prompts = 7, generating_fusions = std::size(fusions);
#endif

// Questions of four choices that share a context.
std::vector<ScoreRequest> some_requests(int questions, std::int64_t vocabulary) {
  std::mt19937 random(7);
  const auto token = [&] { return static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(vocabulary)); };
  std::vector<ScoreRequest> requests;
  for (int question = 0; question < questions; ++question) {
    std::vector<std::int32_t> context(3 + random() % 30);
    for (auto& t : context) t = token();
    for (int choice = 0; choice < 4; ++choice) {
      ScoreRequest request{question, context, static_cast<std::int64_t>(1 + random() % 9)};
      for (std::int64_t i = 0; i < request.scored; ++i) request.tokens.push_back(token());
      requests.push_back(std::move(request));
    }
  }
  return requests;
}

Placement placement_of(const std::string& layout, DType dtype = DType::f32) {
  Placement placement{.layout = Layout::parse(layout), .dtype = dtype, .threads = 1};  // tests share the CPUs
  placement.device = parse_device(fmt::format("cpu:{}", placement.layout.ranks()));
  return placement;
}

// Predicted, counted where copied, and counted by the link: all the same; planned memory and the arena's peak too.
template <class Report>
void expect_as_planned(const Report& run, const Plan& plan) {
  ASSERT_EQ(run.devices.size(), plan.devices.size());
  for (std::size_t i = 0; i < plan.devices.size(); ++i) {
    const DevicePlan& planned = plan.devices[i];
    EXPECT_EQ(run.devices[i].memory.peak_bytes, planned.total_bytes);
    ASSERT_EQ(run.devices[i].links.size(), 1u);
    const LinkReport& link = run.devices[i].links.front();
    for (const auto& tx : {link.predicted_tx_bytes, link.counted_tx_bytes, link.link_tx_bytes})
      EXPECT_EQ(tx, planned.tx_bytes);
    for (const auto& rx : {link.predicted_rx_bytes, link.counted_rx_bytes, link.link_rx_bytes})
      EXPECT_EQ(rx, planned.rx_bytes);
  }
  EXPECT_EQ(run.tokens.computed, plan.tokens.computed);
  EXPECT_EQ(run.tokens.padding, plan.tokens.padding);
  EXPECT_EQ(run.tokens.requested, plan.tokens.requested);
}

// Ranks are processes: results are rank 0's. In a test of another number of ranks there is nothing to do.
#define NEEDS_ITS_RANKS(layout)                                                              \
  if (TestProcesses::world() != nullptr && TestProcesses::world()->size() != Layout::parse(layout).ranks()) \
  GTEST_SKIP() << "of another number of ranks"
bool has_results() { return TestProcesses::world() == nullptr || TestProcesses::world()->first() == 0; }
LocalEngine engine_of_processes() { return LocalEngine(monotonic_clock(), TestProcesses::world()); }

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

std::vector<double> reference_scores(const ModelSource& model, std::span<const ScoreRequest> requests) {
  LocalEngine engine;
  engine.load(model, placement_of("tp1"));
  return engine.score(requests, {}, nullptr).log_likelihoods;
}

class EveryLayout : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(EveryLayout, HasTheSameScoresAndIsPlannedExactly) {
  const auto& [shape, layout] = GetParam();
  NEEDS_ITS_RANKS(layout);
  const ModelSource model{.random_shape = shape, .seed = 3};
  const ModelConfig config = read_config(model);
  const auto requests = some_requests(few_questions, config.vocabulary);
  const auto reference = reference_scores(model, requests);
  LocalEngine engine = engine_of_processes();
  engine.load(model, placement_of(layout));
  for (const char* fusion : fusions) {
    for (const Packing packing : packings) {
      SCOPED_TRACE(fmt::format("fusion {}, {}", fusion, to_string(packing)));
      const RunSettings settings{.fusion = parse_fusion(fusion), .batch = 6, .packing = packing};
      const ScoreReport run = engine.score(requests, settings, nullptr);
      if (!has_results()) continue;
      EXPECT_LT(largest_difference(run.log_likelihoods, reference), 1e-3);
      expect_as_planned(run, plan_score(config, placement_of(layout), settings, requests));
    }
  }
}

template <class Tested>
std::string name_of(const Tested& tested) {
  const char* const shape = std::get<0>(tested.param);
  std::string name = shape == grouped_heads    ? "grouped_"
                     : shape == thirteen_heads ? "thirteen_"
                     : shape == biased         ? "biased_"
                                               : "windowed_";
  for (const char c : std::string(std::get<1>(tested.param))) name += c == '.' ? '_' : c;
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, EveryLayout,
                         testing::Combine(testing::Values(grouped_heads, thirteen_heads), testing::ValuesIn(layouts)),
                         [](const auto& tested) { return name_of(tested); });
INSTANTIATE_TEST_SUITE_P(Members, EveryLayout,
                         testing::Combine(testing::Values(biased, windowed),
                                          testing::Values("tp1", "mp2", "tp2", "tp3", "pp3.tp2", "dp2.tp2")),
                         [](const auto& tested) { return name_of(tested); });

class MemoryLimit : public testing::TestWithParam<const char*> {};

// The largest batch that runs is the plan's, whatever the limit; and an engine goes on after running out.
TEST_P(MemoryLimit, IsMetWhereThePlanSays) {
  const ModelSource model{.random_shape = grouped_heads};
  const ModelConfig config = read_config(model);
  const auto requests = some_requests(few_questions + 1, config.vocabulary);
  const Placement placement = placement_of(GetParam());
  LocalEngine engine;
  engine.load(model, placement);
  for (const std::int64_t limit : {200'000, 600'000, 1'000'000, 1'400'000, 2'200'000, 4'000'000}) {
    RunSettings settings{.device_memory_bytes = limit};
    const std::int64_t planned = largest_batch(config, placement, settings, requests, limit);
    std::int64_t ran = 0;
    for (std::int64_t batch = 1; batch <= std::ssize(requests); ++batch) {
      settings.batch = batch;
      try {
        engine.score(requests, settings, nullptr);
        ran = batch;
      } catch (const OutOfMemory&) {
        break;
      }
    }
    EXPECT_EQ(ran, planned) << "limit " << limit;
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, MemoryLimit, testing::Values("tp1", "mp2", "pp2", "tp2", "tp3", "dp2.tp2"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '.');
                           return name;
                         });

TEST(Engine, ComputesInBf16) {
  if (!cpu_computes_bf16()) GTEST_SKIP() << "needs a CPU with AVX-512 for bf16";
  const ModelSource model{.random_shape = grouped_heads};
  const ModelConfig config = read_config(model);
  const auto requests = some_requests(3, config.vocabulary);
  const auto reference = reference_scores(model, requests);
  LocalEngine engine;
  const Placement placement = placement_of("tp2", DType::bf16);
  engine.load(model, placement);
  for (const char* fusion : {"off", "on"}) {
    const RunSettings settings{.fusion = parse_fusion(fusion), .batch = 4};
    const ScoreReport run = engine.score(requests, settings, nullptr);
    // Eight bits of mantissa: logits of about 6 are off by up to 0.03, and up to nine of them add up.
    EXPECT_LT(largest_difference(run.log_likelihoods, reference), 0.3);
    EXPECT_GT(largest_difference(run.log_likelihoods, reference), 0);
    expect_as_planned(run, plan_score(config, placement, settings, requests));
  }
}

constexpr std::int64_t new_tokens_of_prompts[] = {4, 1, 3, 6, 12, 9, 2};

// Prompts of different lengths, one of which goes on for a token only.
std::vector<GenerateRequest> some_prompts(const Sampling& sampling) {
  std::vector<GenerateRequest> requests;
  for (const std::int64_t new_tokens : std::span(new_tokens_of_prompts).first(few_prompts)) {
    GenerateRequest request{.new_tokens = new_tokens, .sampling = sampling};
    for (std::int64_t i = 0; i < 1 + 5 * new_tokens % 17; ++i)
      request.prompt.push_back(static_cast<std::int32_t>(1 + 7 * i * new_tokens % 500));
    requests.push_back(std::move(request));
  }
  return requests;
}

constexpr Sampling drawn{.temperature = 0.7, .top_p = 0.9, .seed = 3};

std::vector<std::vector<std::int32_t>> tokens_of(const GenerateReport& run) {
  std::vector<std::vector<std::int32_t>> tokens;
  for (const auto& sequence : run.sequences) tokens.push_back(sequence.tokens);
  return tokens;
}

class EveryLayoutGenerates : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(EveryLayoutGenerates, TheSameTokensAndIsPlannedExactly) {
  const auto& [shape, layout] = GetParam();
  NEEDS_ITS_RANKS(layout);
  const ModelSource model{.random_shape = shape, .seed = 5};
  const ModelConfig config = read_config(model);
  LocalEngine alone, engine = engine_of_processes();
  alone.load(model, placement_of("tp1"));
  engine.load(model, placement_of(layout));
  for (const Sampling& sampling : {Sampling{}, drawn}) {
    const auto requests = some_prompts(sampling);
    const auto reference = tokens_of(alone.generate(requests, {.batch = 1}, nullptr, {}));
    for (std::size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(std::ssize(reference[i]), requests[i].new_tokens);
    for (const char* fusion : std::span(fusions).first(generating_fusions)) {
      SCOPED_TRACE(fmt::format("fusion {}, temperature {}", fusion, sampling.temperature));
      const RunSettings settings{.fusion = parse_fusion(fusion), .batch = 3};
      const GenerateReport run = engine.generate(requests, settings, nullptr, {});
      if (!has_results()) continue;
      EXPECT_EQ(tokens_of(run), reference);
      const Plan plan = plan_generate(config, placement_of(layout), settings, requests);
      expect_as_planned(run, plan);
      EXPECT_EQ(run.steps, plan.batches);
      EXPECT_EQ(run.steps, std::ssize(run.step_times));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, EveryLayoutGenerates,
                         testing::Combine(testing::Values(grouped_heads), testing::ValuesIn(layouts)),
                         [](const auto& tested) { return name_of(tested); });
INSTANTIATE_TEST_SUITE_P(Members, EveryLayoutGenerates,
                         testing::Combine(testing::Values(thirteen_heads, biased, windowed),
                                          testing::Values("tp1", "mp2", "pp2", "tp3", "dp2.tp2", "mp2.tp2")),
                         [](const auto& tested) { return name_of(tested); });

// Where only one request draws, the others' tokens are the most probable ones all the same.
TEST(Generate, MixesDrawnAndMostProbableTokens) {
  const ModelSource model{.random_shape = grouped_heads, .seed = 5};
  auto requests = some_prompts({});
  LocalEngine engine;
  engine.load(model, placement_of("tp3"));
  const auto greedy = tokens_of(engine.generate(requests, {.batch = 4}, nullptr, {}));
  requests[3].sampling = drawn;
  const GenerateReport run = engine.generate(requests, {.batch = 4}, nullptr, {});
  expect_as_planned(run, plan_generate(read_config(model), placement_of("tp3"), {.batch = 4}, requests));
  const auto mixed = tokens_of(run);
  for (std::size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(mixed[i] == greedy[i], i != 3) << i;
  requests[3].sampling.seed += 1;
  EXPECT_NE(tokens_of(engine.generate(requests, {.batch = 4}, nullptr, {}))[3], mixed[3]);
}

class Arrivals : public testing::TestWithParam<const char*> {};

// The memory is that of the plan whenever requests arrive, and so are the tokens; a limit of just that much does.
TEST_P(Arrivals, TakeThePlannedMemoryWhateverComesWhen) {
  const ModelSource model{.random_shape = grouped_heads, .seed = 5};
  const ModelConfig config = read_config(model);
  const char* const layout = GetParam();
  NEEDS_ITS_RANKS(layout);
  LocalEngine engine = engine_of_processes();
  engine.load(model, placement_of(layout));
  auto requests = some_prompts(drawn);
  RunSettings settings{.batch = 3};
  const Plan plan = plan_generate(config, placement_of(layout), settings, requests);
  const auto reference = tokens_of(engine.generate(requests, settings, nullptr, {}));
  for (std::size_t i = 0; i < requests.size(); ++i)
    requests[i].arrival = std::chrono::microseconds(700) * (i * 4 % requests.size());
  std::int64_t most = 0;
  for (const auto& device : plan.devices) most = std::max(most, device.total_bytes);
  settings.device_memory_bytes = most;
  const GenerateReport run = engine.generate(requests, settings, nullptr, {});
  settings.device_memory_bytes = most - 1;
  EXPECT_THROW(engine.generate(requests, settings, nullptr, {}), OutOfMemory);
  if (!has_results()) return;
  EXPECT_EQ(tokens_of(run), reference);
  for (std::size_t i = 0; i < plan.devices.size(); ++i)
    EXPECT_EQ(run.devices[i].memory.peak_bytes, plan.devices[i].total_bytes);
  for (const auto& sequence : run.sequences) {
    EXPECT_LE(sequence.arrival, sequence.admitted);
    EXPECT_LT(sequence.admitted, sequence.first_token);
    EXPECT_LE(sequence.first_token, sequence.end);
    EXPECT_LE(sequence.end, run.time);
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, Arrivals,
                         testing::Values("tp2", "mp2", "dp2", "tp3", "dp2.tp2", "mp2.tp2", "dp2.pp2.tp2"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '.');
                           return name;
                         });

struct PhaseVector : PhaseSink {
  void record(Phase phase) override { names.push_back(phase.name); }
  std::vector<std::string> names;
};

// Two slots: the first request decodes while the others, of a token each, pass through the second slot.
TEST(Generate, FinishedSequencesMakeRoomAtOnce) {
  LocalEngine engine;
  engine.load({.random_shape = grouped_heads}, placement_of("tp1"));
  std::vector<GenerateRequest> requests(4, {.prompt = {5, 6}, .new_tokens = 1});
  requests[0].new_tokens = 5;
  PhaseVector phases;
  std::vector<std::size_t> order;
  const GenerateReport run = engine.generate(requests, {.batch = 2}, &phases,
                                             [&](std::size_t request, std::int32_t) { order.push_back(request); });
  EXPECT_EQ(run.steps, 3 + 4);
  EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3, 0, 0, 0, 0}));
  EXPECT_EQ(phases.names, (std::vector<std::string>{"warm-up", "prefill", "prefill", "prefill", "decode", "timed"}));
  EXPECT_EQ(run.tokens.computed, 4 * 2 + 4);
}

// A clock that stands still while the model computes: each request is served the moment that it arrives.
TEST(Generate, WaitsForArrivals) {
  ManualClock clock;
  clock.advance(std::chrono::seconds(9));
  LocalEngine engine(clock);
  engine.load({.random_shape = grouped_heads}, placement_of("tp1"));
  std::vector<GenerateRequest> requests(3, {.prompt = {5, 6}, .new_tokens = 3});
  requests[0].arrival = std::chrono::milliseconds(40);
  requests[2].arrival = std::chrono::milliseconds(10);
  const GenerateReport run = engine.generate(requests, {.batch = 3}, nullptr, {});
  for (const auto& sequence : run.sequences)
    for (const Nanoseconds time : {sequence.admitted, sequence.first_token, sequence.end})
      EXPECT_EQ(time, sequence.arrival);
  EXPECT_EQ(run.sequences[2].arrival, std::chrono::milliseconds(10));
  EXPECT_EQ(run.time, std::chrono::milliseconds(40));
}

TEST(Generate, EndsAtEosUnlessToldNotTo) {
  const auto folder = std::filesystem::path(testing::TempDir()) / fmt::format("eos_{}", getpid());
  std::filesystem::create_directories(folder);
  nlohmann::json config{{"architectures", {"LlamaForCausalLM"}},
                        {"hidden_size", 64},
                        {"intermediate_size", 96},
                        {"num_hidden_layers", 2},
                        {"num_attention_heads", 4},
                        {"vocab_size", 512},
                        {"max_position_embeddings", 64}};
  GenerateRequest request{.prompt = {5, 6}, .new_tokens = 12};
  const auto generate = [&] {
    std::ofstream(folder / "config.json") << config;
    LocalEngine engine;
    engine.load({.random_shape = folder.string(), .seed = 4}, placement_of("mp2"));
    return tokens_of(engine.generate({&request, 1}, {}, nullptr, {}))[0];
  };
  config["eos_token_id"] = 511;
  request.stop_at_eos = false;
  const auto all = generate();
  ASSERT_EQ(all.size(), 12u);
  config["eos_token_id"] = {all[4], all[7]};
  EXPECT_EQ(generate(), all);
  request.stop_at_eos = true;
  const auto end = std::find_if(all.begin(), all.end(), [&](auto token) { return token == all[4] || token == all[7]; });
  EXPECT_EQ(generate(), std::vector<std::int32_t>(all.begin(), end + 1));
}

// A model whose RoPE stretches with each sequence, made for `positions` tokens; the config.json alone matters.
std::filesystem::path dynamic_model(std::int64_t positions) {
  const auto path = std::filesystem::path(testing::TempDir()) / fmt::format("dynamic_{}_{}", positions, getpid());
  std::filesystem::create_directories(path);
  std::ofstream(path / "config.json") << nlohmann::json{{"architectures", {"LlamaForCausalLM"}},
                                                        {"hidden_size", 64},
                                                        {"intermediate_size", 172},
                                                        {"num_hidden_layers", 2},
                                                        {"num_attention_heads", 4},
                                                        {"vocab_size", 512},
                                                        {"max_position_embeddings", positions},
                                                        {"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}};
  return path;
}

// Beyond its positions a sequence's angles follow from its own length, whatever else is in the batch; within them there
// is no scaling.
TEST(Engine, DynamicRopeFollowsEachSequencesLength) {
  const auto requests = some_requests(few_questions, 512);
  const auto scores = [&](std::int64_t positions, std::int64_t batch, Packing packing, const char* fusion) {
    const ModelSource model{.random_shape = dynamic_model(positions).string(), .seed = 3};
    LocalEngine engine;
    engine.load(model, placement_of("tp2"));
    const RunSettings settings{.fusion = parse_fusion(fusion), .batch = batch, .packing = packing};
    const ScoreReport run = engine.score(requests, settings, nullptr);
    expect_as_planned(run, plan_score(read_config(model), placement_of("tp2"), settings, requests));
    return run.log_likelihoods;
  };
  const auto alone = scores(8, 1, Packing::padded, "off");
  EXPECT_LT(largest_difference(scores(8, 7, Packing::packed, "on"), alone), 2e-4);
  EXPECT_GT(largest_difference(scores(100, 1, Packing::padded, "off"), alone), 1e-3);
  EXPECT_LT(largest_difference(scores(100, 7, Packing::prefix, "on"), scores(100, 1, Packing::padded, "off")), 2e-4);
  EXPECT_THROW(scores(8, 7, Packing::prefix, "on"), InputError);
}

// What comes of requests that callers bring while others are being served: the second half once the first has a token.
struct Served {
  std::vector<std::vector<std::int32_t>> tokens;
  std::vector<std::vector<float>> prompts, own, top;  // log-probabilities

  Served(LocalEngine& engine, const std::vector<GenerateRequest>& requests, const RunSettings& settings,
         const std::function<void(LiveRequests&, const Served&, std::size_t number)>& on_token = {})
      : tokens(requests.size()), prompts(requests.size()), own(requests.size()), top(requests.size()) {
    std::int64_t longest = 0;
    for (const auto& request : requests) longest = std::max(longest, std::ssize(request.prompt) + request.new_tokens);
    LiveRequests live({.replicas = 8, .prompt_tokens = 20});
    const auto bring = [&](std::size_t begin, std::size_t end) {
      std::vector<NumberedRequest> some;
      for (std::size_t i = begin; i < end; ++i) some.push_back(numbered(requests, i));
      EXPECT_TRUE(live.submit(std::move(some)));
    };
    const auto is_whole = [&](std::size_t i) { return std::ssize(tokens[i]) >= requests[i].new_tokens; };
    const auto on_step = [&](const GenerationStep& step, const StepOutput& output) {
      if (std::all_of(tokens.begin(), tokens.end(), [](const auto& each) { return each.empty(); }))
        bring(requests.size() / 2, requests.size());
      for (std::size_t i = 0; i < step.requests.size(); ++i) {
        const std::size_t number = step.requests[i];
        tokens[number].push_back(output.tokens[i]);
        if (step.has_log_probabilities) {
          own[number].push_back(output.log_probabilities[i]);
          top[number].push_back(output.top_log_probabilities[i]);
        }
        if (on_token) on_token(live, *this, number);
      }
      for (const Batch::Scored& scored : step.batch.scored)
        prompts[step.requests[scored.request]] = {output.log_probabilities.begin() + scored.begin,
                                                  output.log_probabilities.begin() + scored.begin + scored.count};
      for (std::size_t i = 0; i < tokens.size(); ++i)
        if (!is_whole(i) && !cancelled.contains(i)) return;
      live.end();
    };
    bring(0, requests.size() / 2);
    engine.serve(live, longest, 20, settings, nullptr, [] {}, on_step);
  }
  mutable std::set<std::size_t> cancelled;
};

class EveryLayoutServes : public testing::TestWithParam<const char*> {};

// Whoever comes when: the tokens are those of a list, and a prompt's log-probabilities those of scoring it.
TEST_P(EveryLayoutServes, TheTokensOfAListAndTheScoresOfATask) {
  const ModelSource model{.random_shape = grouped_heads, .seed = 5};
  const char* const layout = GetParam();
  NEEDS_ITS_RANKS(layout);
  if (TestProcesses::world() != nullptr && Layout::parse(layout).replicas() > 1) GTEST_SKIP() << "of several callers' processes";
  LocalEngine alone, engine = engine_of_processes();
  alone.load(model, placement_of("tp1"));
  engine.load(model, placement_of(layout));
  for (const Sampling& sampling : {Sampling{}, drawn}) {
    auto requests = some_prompts(sampling);
    for (auto& request : requests) request.log_probabilities = request.prompt_log_probabilities = request.prompt.size() > 1;
    std::vector<ScoreRequest> scored;
    for (const auto& request : requests)
      if (request.prompt.size() > 1) scored.push_back({.tokens = request.prompt, .scored = std::ssize(request.prompt) - 1});
    const auto reference = tokens_of(alone.generate(requests, {.batch = 1}, nullptr, {}));
    const auto scores = alone.score(scored, {}, nullptr).log_likelihoods;
    for (const char* fusion : {"off", "on"}) {
      SCOPED_TRACE(fmt::format("fusion {}, temperature {}", fusion, sampling.temperature));
      const Served run(engine, requests, {.fusion = parse_fusion(fusion), .batch = 3});
      if (!has_results()) continue;
      EXPECT_EQ(run.tokens, reference);
      std::size_t index = 0;
      for (std::size_t i = 0; i < requests.size(); ++i) {
        if (requests[i].prompt.size() == 1) continue;
        double sum = 0;
        for (const float each : run.prompts[i]) sum += static_cast<double>(each);
        EXPECT_NEAR(sum, scores[index++], 1e-3);
        for (std::size_t token = 0; token < run.own[i].size(); ++token) {
          if (sampling.temperature > 0)
            EXPECT_LE(run.own[i][token], run.top[i][token]);
          else
            EXPECT_EQ(run.own[i][token], run.top[i][token]);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, EveryLayoutServes,
                         testing::Values("tp1", "mp2", "tp2", "tp3", "dp2", "dp2.tp2", "mp2.tp2", "pp3.tp2"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '.');
                           return name;
                         });

TEST(Serve, ThoseNobodyWantsAnyMoreLeaveWithinAStep) {
  LocalEngine engine;
  engine.load({.random_shape = grouped_heads, .seed = 5}, placement_of("tp2"));
  std::vector<GenerateRequest> requests(4, {.prompt = {5, 6}, .new_tokens = 30, .stop_at_eos = false});
  const auto reference = tokens_of(engine.generate(requests, {.batch = 2}, nullptr, {}));
  const Served run(engine, requests, {.batch = 2}, [](LiveRequests& live, const Served& served, std::size_t number) {
    if (number % 2 == 0 && served.tokens[number].size() == 3) {
      live.cancel(number);
      served.cancelled.insert(number);
    }
  });
  for (const std::size_t number : {0u, 2u}) EXPECT_EQ(run.tokens[number].size(), 3u);
  for (const std::size_t number : {1u, 3u}) EXPECT_EQ(run.tokens[number], reference[number]);
}

// What `op` and `n` are, or which collective.
std::vector<std::string> names_of(const std::vector<TimedEntry>& entries) {
  std::vector<std::string> names;
  for (const TimedEntry& timed : entries)
    names.push_back(std::holds_alternative<Work>(timed.entry)
                        ? fmt::format("{} {}", std::get<Work>(timed.entry).op, std::get<Work>(timed.entry).n)
                        : std::get<CollectiveWork>(timed.entry).collective);
  return names;
}

TEST(Engine, ObservesTheStepThatWasPlanned) {
  const ModelSource model{.random_shape = thirteen_heads, .seed = 3};
  const ModelConfig config = read_config(model);
  const auto requests = some_requests(few_questions, config.vocabulary);
  for (const char* layout : {"tp1", "tp2", "mp2.tp2"}) {
    const Placement placement = placement_of(layout);
    LocalEngine engine;
    engine.load(model, placement);
    const RunSettings settings{.fusion = parse_fusion("on"), .batch = 64, .observe_steps = true};
    const ScoreReport run = engine.score(requests, settings, nullptr);
    const Plan plan = plan_score(config, placement, settings, requests);
    ASSERT_EQ(run.observed.size(), plan.traces.size());
    for (std::size_t rank = 0; rank < run.observed.size(); ++rank) {
      const ObservedStep& step = run.observed[rank];
      std::vector<TimedEntry> planned;
      for (const TraceEntry& entry : plan.traces[rank].entries()) planned.push_back({entry, 0});
      EXPECT_EQ(names_of(step.entries), names_of(without_inner_kernels(planned))) << layout << ", rank " << rank;
      EXPECT_EQ(step.rank, static_cast<int>(rank));
      double sum = 0;
      for (const TimedEntry& timed : step.entries) sum += timed.seconds;
      EXPECT_GT(sum, 0);
      EXPECT_GT(step.seconds, 0);
    }
    EXPECT_EQ(engine.score(requests, {.batch = 64}, nullptr).observed.size(), 0u);
  }
}

TEST(Engine, ObservesPrefillAndDecode) {
  LocalEngine engine;
  engine.load({.random_shape = thirteen_heads, .seed = 3}, placement_of("tp2"));
  const std::vector<GenerateRequest> requests(3, {.prompt = {1, 2, 3, 4}, .new_tokens = 3});
  const GenerateReport run = engine.generate(requests, {.batch = 2, .observe_steps = true}, nullptr, {});
  std::vector<std::string> kinds;
  for (const ObservedStep& step : run.observed) kinds.push_back(step.kind);
  EXPECT_EQ(kinds, (std::vector<std::string>{"prefill", "decode", "prefill", "decode"}));
}

TEST(Engine, RefusesWhatItCannotDo) {
  const ModelSource model{.random_shape = grouped_heads};
  LocalEngine engine;
  Placement placement = placement_of("tp2");
  placement.device = parse_device("cpu:1");
  EXPECT_THROW(engine.load(model, placement), InputError);
  EXPECT_THROW(engine.load(model, placement_of("mp6")), InputError);  // five layers
  EXPECT_THROW(engine.load(model, placement_of("tp9")), InputError);  // eight heads
  EXPECT_THROW(engine.load(model, placement_of("tp1", DType::f16)), InputError);
  placement.device = parse_device("cuda:0,1");
  EXPECT_THROW(engine.load(model, placement), InputError);
  engine.load(model, placement_of("tp1"));
  for (const GenerateRequest& bad : {GenerateRequest{{}, 3}, GenerateRequest{{1}, 0}})
    EXPECT_THROW(engine.generate({&bad, 1}, {}, nullptr, {}), InputError);
  EXPECT_EQ(engine.generate({}, {}, nullptr, {}).steps, 0);
}

// lm-evaluation-harness's own scores of a model's first questions.
void expect_golden(const std::string& model_name, const std::string& golden_name, const std::string& layout,
                   std::int64_t questions_asked = 40) {
  NEEDS_SHARED_DATA(model_folder, "models/" + model_name);
  NEEDS_SHARED_DATA(golden, "golden/" + golden_name);
  NEEDS_SHARED_DATA(task, "hellaswag/hellaswag_val_raw1000.jsonl");
  const ModelSource model{.path = model_folder.string()};
  const ModelConfig config = read_config(model);
  const auto questions = read_questions(task, questions_asked);
  const auto asked = make_requests(questions, *open_tokenizer(model, config), config.max_positions);
  LocalEngine engine;
  engine.load(model, placement_of(layout));
  for (const auto& [fusion, packing] :
       {std::pair("off", Packing::padded), std::pair("on", Packing::packed), std::pair("on", Packing::prefix)}) {
    SCOPED_TRACE(fmt::format("fusion {}, {}", fusion, to_string(packing)));
    const RunSettings settings{.fusion = parse_fusion(fusion), .batch = 16, .packing = packing};
    const auto run = engine.score(asked.requests, settings, nullptr);
    std::ifstream lines(golden);
    std::string line;
    for (const ItemScore& item : score_items(questions, asked, run.log_likelihoods)) {
      ASSERT_TRUE(std::getline(lines, line));
      const auto wanted = nlohmann::json::parse(line);
      EXPECT_EQ(wanted["id"], item.id);
      EXPECT_EQ(wanted["tokens"], nlohmann::json(item.tokens));
      EXPECT_EQ(wanted["pred"], item.prediction);
      EXPECT_EQ(wanted["pred_norm"], item.prediction_norm);
      for (std::size_t i = 0; i < item.log_likelihoods.size(); ++i) {
        const double ll = wanted["ll"][i];
        EXPECT_NEAR(item.log_likelihoods[i], ll, 1e-3 + 1e-6 * std::abs(ll));
      }
    }
  }
}

TEST(Golden, Stories260K) { expect_golden("stories260K-hf", "stories260K.raw1000.jsonl", "tp3"); }
TEST(Golden, Llama3RopeInBf16) { expect_golden("variants/llama3-rope-gqa", "llama3-rope-gqa.raw60.jsonl", "tp3", 20); }
TEST(Golden, MistralsWindow) { expect_golden("variants/mistral-window", "mistral-window.raw60.jsonl", "pp2", 20); }
TEST(Golden, Qwen2sBiasAndTiedEmbeddings) {
  expect_golden("variants/qwen2-bias-tied", "qwen2-bias-tied.raw60.jsonl", "tp2", 20);
}
TEST(Golden, ThirteenHeadsInShards) {
  expect_golden("variants/llama-13heads-sharded", "llama-13heads-sharded.raw60.jsonl", "mp2.tp2");
}

// Each packing computes exactly the tokens that the reference's own counts ask for: every sequence's length less one,
// and under prefix what the choices share once a question.
TEST(Golden, TokensOfEachPacking) {
  NEEDS_SHARED_DATA(model_folder, "models/stories260K-hf");
  NEEDS_SHARED_DATA(golden, "golden/stories260K.raw1000.jsonl");
  NEEDS_SHARED_DATA(task, "hellaswag/hellaswag_val_raw1000.jsonl");
  std::int64_t separate = 0, shared_once = 0;
  std::ifstream lines(golden);
  for (std::string line; std::getline(lines, line);) {
    const auto tokens = nlohmann::json::parse(line).at("tokens").get<std::vector<std::int64_t>>();
    shared_once += tokens[0];
    for (std::size_t choice = 1; choice < tokens.size(); ++choice) {
      separate += tokens[choice] - 1;
      shared_once += tokens[choice] - 1 - tokens[0];
    }
  }
  const ModelSource model{.path = model_folder.string()};
  const ModelConfig config = read_config(model);
  const auto asked = make_requests(read_questions(task), *open_tokenizer(model, config), config.max_positions);
  const auto tokens_under = [&](Packing packing, std::int64_t batch) {
    return plan_score(config, placement_of("tp1"), {.batch = batch, .packing = packing}, asked.requests).tokens;
  };
  for (const std::int64_t batch : {1, 64}) {
    EXPECT_EQ(tokens_under(Packing::padded, batch).computed, separate);
    EXPECT_EQ(tokens_under(Packing::packed, batch).computed, separate);
    EXPECT_EQ(tokens_under(Packing::packed, batch).padding, 0);
    EXPECT_EQ(tokens_under(Packing::prefix, batch).computed, shared_once);
    EXPECT_EQ(tokens_under(Packing::prefix, batch).padding, 0);
  }
}

TEST(Golden, GreedyTokens) {
  NEEDS_SHARED_DATA(model_folder, "models/stories260K-hf");
  NEEDS_SHARED_DATA(golden, "models/stories260K-hf/greedy_ids.json");
  const auto wanted = nlohmann::json::parse(std::ifstream(golden)).get<std::vector<std::int32_t>>();
  LocalEngine engine;
  engine.load({.path = model_folder.string()}, placement_of("tp2"));
  const GenerateRequest request{{wanted.front()}, std::ssize(wanted) - 1};
  const auto run = engine.generate({&request, 1}, {.fusion = parse_fusion("on")}, nullptr, {});
  EXPECT_EQ(run.sequences.front().tokens, std::vector<std::int32_t>(wanted.begin() + 1, wanted.end()));
}

}  // namespace
}  // namespace batchscope
