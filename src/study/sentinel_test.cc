// The sentinel on a real model: our own engine with keys that overwrite each other, and with all that rounding does.
#include "study/sentinel.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>

#include "base/file.h"
#include "base/shared_data.h"
#include "device/cpu/bf16.h"
#include "engine/local_engine.h"
#include "engine/test_faults.h"
#include "model/test_gguf.h"
#include "study/axes.h"
#include "study/records.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

constexpr std::size_t first_items_count = static_cast<std::size_t>(default_sentinel_items);
using Answers = std::vector<std::vector<double>>;  // of each question

// A model and its questions, answered under any settings.
class Subject {
 public:
  Subject(const ModelSource& model, const std::filesystem::path& task, std::optional<std::int64_t> limit)
      : model_(model), config_(read_config(model)), questions_(read_questions(task, limit)) {
    tokenizer_ = open_tokenizer(model, config_);
  }
  std::size_t size() const { return questions_.size(); }
  const ModelConfig& config() const { return config_; }

  // Of all questions. `tokens_over`: by so many a batch's rows are longer than there is room for among the keys; those
  // beyond are written over the next head's first ones.
  Answers answers(DType dtype, const RunSettings& settings, std::int64_t tokens_over = 0) {
    const TaskRequests task = make_requests(questions_, *tokenizer_, config_.max_positions);
    if (tokens_over > 0) overwrite_keys(tokens_over);
    const ScoreReport run = engine(dtype).score(task.requests, settings, nullptr);
    test_faults = {};
    Answers all;
    std::size_t next = 0;
    for (const Question& question : questions_) {
      all.emplace_back(run.log_likelihoods.begin() + static_cast<std::ptrdiff_t>(next),
                       run.log_likelihoods.begin() + static_cast<std::ptrdiff_t>(next + question.choices.size()));
      next += question.choices.size();
    }
    return all;
  }
  std::vector<std::size_t> all() const {
    std::vector<std::size_t> which(size());
    for (std::size_t i = 0; i < which.size(); ++i) which[i] = i;
    return which;
  }

 private:
  LocalEngine& engine(DType dtype) {
    auto& made = engines_[dtype == DType::bf16 ? 1 : 0];
    if (!made) {
      made = std::make_unique<LocalEngine>();
      Placement placement;
      placement.dtype = dtype;
      placement.threads = 1;
      made->load(model_, placement);
    }
    return *made;
  }
  // As where keys lie at [heads, limit, head_dim] and nobody looks whether a token is within the limit.
  void overwrite_keys(std::int64_t tokens_over) const {
    const std::int64_t heads = config_.kv_heads, width = config_.head_dim;
    test_faults.keys_and_values = [=](const Batch& batch, const Tensor& keys, const Tensor& values) {
      for (const AttentionSegment& segment : batch.segments) {
        const std::int64_t limit = segment.own.count - tokens_over;
        for (std::int64_t token = limit; token < segment.own.count; ++token)
          for (std::int64_t head = 0; head + 1 < heads; ++head)
            for (const Tensor& x : {keys, values}) {
              const auto at = [&](std::int64_t t, std::int64_t h) {
                return x.data + ((segment.own.begin + t) * x.stride + h * width) * size_of(x.dtype);
              };
              std::memcpy(at(token - limit, head + 1), at(token, head),
                          static_cast<std::size_t>(width * size_of(x.dtype)));
            }
      }
    };
  }

  ModelSource model_;
  ModelConfig config_;
  std::vector<Question> questions_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<LocalEngine> engines_[2];
};

bool alarm(const Answers& reference, const Answers& here, DType dtype) {
  std::vector<SentinelItem> items;
  for (std::size_t i = 0; i < reference.size(); ++i) items.push_back({reference[i], here[i]});
  CellSpec spec;
  spec.placement.dtype = dtype;
  return watch(items, std::max(sentinel_tolerance({}), sentinel_tolerance(spec))).departs();
}

// The first items of a task that somebody shuffled.
std::vector<std::size_t> drawn(const Subject& subject, std::mt19937_64& random) {
  std::vector<std::size_t> which = subject.all();
  for (std::size_t i = which.size(); i > 1; --i) std::swap(which[i - 1], which[random() % i]);
  which.resize(std::min(which.size(), first_items_count));
  return which;
}

Answers at(const Answers& all, const std::vector<std::size_t>& which) {
  Answers some;
  for (const std::size_t i : which) some.push_back(all[i]);
  return some;
}

// Of 100 runs, how many are seen, each over other questions; and of 200 that are right, how many false alarms there are.
void expect_rates(Subject& subject, const char* name) {
  std::mt19937_64 random(7);
  const Answers reference = subject.answers(DType::f32, {.batch = 1});
  struct Right {
    DType dtype;
    RunSettings settings;
  };
  for (const auto& [dtype, settings] : {Right{DType::f32, {.batch = 64}}, Right{DType::bf16, {.batch = 1}},
                                        Right{DType::bf16, {.fusion = parse_fusion("on"), .batch = 16,
                                                            .packing = Packing::packed}},
                                        Right{DType::f32, {.fusion = parse_fusion("on"), .batch = 7,
                                                           .packing = Packing::prefix}}}) {
    const Answers right = subject.answers(dtype, settings);
    int alarms = 0;
    for (int run = 0; run < 200; ++run) {
      const auto which = drawn(subject, random);
      alarms += alarm(at(reference, which), at(right, which), dtype) ? 1 : 0;
    }
    EXPECT_LE(alarms, 1) << name << " " << name_of(dtype) << " batch " << settings.batch;
  }
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const std::int64_t tokens_over : {1, 4}) {
      const Answers wrong = subject.answers(dtype, {.batch = 64}, tokens_over);
      int seen = 0;
      for (int run = 0; run < 100; ++run) {
        const auto which = drawn(subject, random);
        seen += alarm(at(reference, which), at(wrong, which), dtype) ? 1 : 0;
      }
      const std::string what = fmt::format("{} in {}, {} tokens over", name, name_of(dtype), tokens_over);
      fmt::print("{}: seen in {} of 100 runs\n", what, seen);
      if (dtype == DType::f32) {
        EXPECT_GE(seen, 99) << what;
      }
    }
}

// A sanitizer makes the model many times slower; the rates are release's to show.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif

#define NEEDS_BF16 \
  if (!cpu_computes_bf16()) GTEST_SKIP() << "needs a CPU with AVX-512 for bf16"

TEST(SentinelOfCells, SeesOverwrittenKeysAndNoRounding) {
  NEEDS_BF16;
  Subject subject({}, embedded_file("models/tiny/questions.jsonl"), is_sanitized ? 40 : 160);
  ASSERT_GT(subject.config().kv_heads, 1);
  expect_rates(subject, "tiny");
}

TEST(SentinelOfCells, SeesThemInAnotherModel) {
  if (is_sanitized) GTEST_SKIP() << "takes minutes under a sanitizer; it runs in release";
  NEEDS_BF16;
  NEEDS_SHARED_DATA(model, "models/stories260K-hf");
  NEEDS_SHARED_DATA(task, "hellaswag/hellaswag_val_raw1000.jsonl");
  Subject subject({.path = model.string()}, task, 48);
  ASSERT_GT(subject.config().kv_heads, 1);
  expect_rates(subject, "stories260K");
}

// A cell of the embedded questions that was run by our own engine.
CellResult ran(const CellSpec& spec) {
  LocalEngine engine;
  engine.load(spec.model, spec.placement);
  return run_cell(engine, spec, prepare_task(spec), nullptr);
}

TEST(SentinelOfCells, OwnReferenceAgreesWithOtherCells) {
  NEEDS_BF16;
  const CellSpec spec = cell_of({{"parallel", "tp2"}, {"batch", "16"}, {"limit", "40"}, {"dtype", "bf16"}});
  CellResult result = ran(spec);
  const SentinelReference reference = own_reference(spec);
  ASSERT_EQ(reference.why_not, "");
  ASSERT_EQ(reference.items.size(), first_items_count);
  watch(reference, spec, result);
  EXPECT_EQ(result.status, CellStatus::ok);
  EXPECT_EQ(result.sentinel.value().verdict.items, 32);
  const nlohmann::json json = to_json(result).at("sentinel");
  EXPECT_EQ(json.at("departs"), false);
  EXPECT_EQ(json.at("reference"), "batchscope at batch 1 in f32");
  // The same through a study's pipe.
  const SentinelReference back = sentinel_reference_from_json(to_json(reference));
  EXPECT_EQ(to_json(back), to_json(reference));

  CellResult wrong = ran(spec);
  for (ItemScore& item : wrong.items) std::reverse(item.log_likelihoods.begin(), item.log_likelihoods.end());
  watch(reference, spec, wrong);
  EXPECT_EQ(wrong.status, CellStatus::degraded);
  EXPECT_EQ(exit_code(wrong.status), ExitCode::ok);
  EXPECT_THAT(wrong.reason, HasSubstr("more than rounding explains"));
  EXPECT_EQ(to_json(wrong).at("status"), "degraded");
}

TEST(SentinelOfCells, WithoutAReferenceItSaysSo) {
  const auto why = [](const AxisValues& words) {
    return own_reference(cell_of(words)).why_not;
  };
  EXPECT_THAT(why({{"random-weights", "layers=2,hidden=64,heads=2"}}), HasSubstr("random weights"));
  EXPECT_THAT(why({{"batch", "1"}}), HasSubstr("what others are compared with"));
  EXPECT_THAT(why({{"prompt-tokens", "4"}, {"output-tokens", "4"}}), HasSubstr("generated"));
  EXPECT_THAT(why({{"sentinel-items", "0"}, {"batch", "4"}}), HasSubstr("--sentinel-items"));
  EXPECT_THAT(why({{"engine", "command:x"}, {"model", "/no/such/model"}}), HasSubstr("cannot read the model"));

  const CellSpec spec = cell_of({{"batch", "4"}, {"limit", "6"}, {"max-tokens-per-sequence", "9"},
                                         {"when-too-long", "truncate"}});
  CellResult cut = ran(spec);
  watch(own_reference(spec), spec, cut);
  EXPECT_EQ(cut.status, CellStatus::truncated);
  EXPECT_THAT(cut.sentinel.value().why_not, HasSubstr("cut"));
  EXPECT_TRUE(to_json(cut).at("sentinel").at("departs").is_null());
  EXPECT_TRUE(to_json(CellResult()).at("sentinel").is_null());
}

TEST(SentinelOfCells, QuantisedWeightsGiveOtherEnginesRoom) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("sentinel_{}.gguf", getpid());
  const auto tolerance = [&](std::string_view type_name, const std::string& engine) {
    const GgufTensorType& type = type_named(type_name);
    const std::string block(static_cast<std::size_t>(type.block_bytes), '\0');
    GgufWriter().tensor("w", {static_cast<std::uint64_t>(type.block_elements)}, type.number, block).write(path);
    return sentinel_tolerance(cell_of({{"engine", engine}, {"model", path.string()}}));
  };
  for (const char* quantised : {"Q4_1", "Q8_0", "Q6_K"}) {
    EXPECT_EQ(tolerance(quantised, "command:x"), 0.15) << quantised;
    EXPECT_EQ(tolerance(quantised, "batchscope"), 0.002) << quantised;  // computes in f32 whatever the file has
  }
  for (const char* plain : {"F32", "F16", "BF16"}) EXPECT_EQ(tolerance(plain, "command:x"), 0.02) << plain;
  std::ofstream(path) << "GGUF";
  EXPECT_EQ(sentinel_tolerance(cell_of({{"engine", "command:x"}, {"model", path.string()}})), 0.02);
  std::filesystem::remove(path);
}

TEST(SentinelOfCells, ReadsReferencesFromFiles) {
  const CellSpec spec = cell_of({{"batch", "4"}, {"limit", "8"}});
  CellResult result = ran(spec);
  const auto path = std::filesystem::temp_directory_path() / fmt::format("reference_{}.jsonl", getpid());
  std::string text;
  for (const ItemScore& item : result.items) text += to_json(item).dump() + "\n";
  write_file_atomically(path, text);
  const SentinelReference reference = read_reference(path, spec);
  EXPECT_EQ(reference.items.size(), 8u);
  watch(reference, spec, result);
  EXPECT_EQ(result.sentinel.value().verdict.largest_difference, 0);

  write_file_atomically(path, R"({"id": 99, "ll": [-1, -2]})");
  watch(read_reference(path, spec), spec, result);
  EXPECT_THAT(result.sentinel.value().why_not, HasSubstr("other questions"));
  for (const char* bad : {"", "{}", "[1]", R"({"id": 1, "ll": ["a"]})", "{"}) {
    write_file_atomically(path, bad);
    EXPECT_THROW(read_reference(path, spec), InputError) << bad;
  }
  std::filesystem::remove(path);
  EXPECT_THROW(read_reference(path, spec), InputError);
}

}  // namespace
}  // namespace batchscope
