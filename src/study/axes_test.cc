// The table of axes: every row is whole, documented, and says of a cell what files have from before.
#include "study/axes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "study/grid.h"

namespace batchscope {
namespace {

using testing::ElementsAre;

// All that a cell can be set to at once; questions and a trace exclude some.
const AxisValues everything_of_questions{{"engine", "batchscope"},
                                         {"sentinel-items", "8"},
                                         {"model", "models/a b"},
                                         {"random-weights", "llama-7b"},
                                         {"weights-seed", "7"},
                                         {"task", "t.jsonl"},
                                         {"limit", "5"},
                                         {"max-tokens-per-sequence", "9"},
                                         {"when-too-long", "truncate"},
                                         {"device", "cpu:5"},
                                         {"parallel", "dp2.tp2"},
                                         {"dtype", "bf16"},
                                         {"threads", "2"},
                                         {"fusion", "qkv,norm"},
                                         {"batch", "8"},
                                         {"batch-tokens", "2048"},
                                         {"packing", "prefix"},
                                         {"device-memory", "64MiB"},
                                         {"link", "12GB/s,5us"}};
const AxisValues everything_of_a_workload{{"parallel", "tp2"}, {"prompt-tokens", "8"},  {"output-tokens", "5"},
                                          {"requests", "20"},  {"arrival-rate", "2.5"}, {"temperature", "0.7"},
                                          {"top-p", "0.9"},    {"task-seed", "3"}};
const AxisValues bursts{{"prompt-tokens", "8"}, {"output-tokens", "5"}, {"arrival-rate", "2.5"}, {"burstiness", "0.5"}};
const AxisValues everything_of_a_trace{{"trace", "a/t.csv"}, {"trace-format", "azure"}, {"trace-speed", "10"}};
const AxisValues what_came_later{
    {"weights-dtype", "fp8"}, {"kv-dtype", "bf16"}, {"sample", "128"}, {"sample-seed", "3"}};
const AxisValues everything_of_a_server{
    {"engine", "http://localhost:8000/v1"}, {"retries", "3"}, {"request-timeout", "1500ms"}, {"token-file", "secret"}};
const AxisValues a_token_in_a_variable{{"engine", "https://localhost/v1"}, {"token-variable", "TOKEN"}};
const std::array samples{&everything_of_questions, &everything_of_a_workload, &everything_of_a_trace, &bursts,
                         &what_came_later,         &everything_of_a_server,   &a_token_in_a_variable};

// As files had them before there was a table: a study goes on only with the same names and the same JSON.
TEST(Axes, NamesAndJsonAreThoseOfStoredCells) {
  const CellSpec questions = cell_of(everything_of_questions);
  EXPECT_EQ(cell_key(questions, 2),
            "dp2.tp2 fusion=qkv,norm prefix bf16 memory=67108864 link=12GB/s,5us batch-tokens=2048 max-tokens=9 "
            "when-too-long=truncate device=cpu:5 threads=2 model=models/a b random-weights=llama-7b weights-seed=7 "
            "task=t.jsonl limit=5 sentinel-items=8 batch=8 #2");
  EXPECT_EQ(
      to_json(questions).dump(),
      R"({"batch":8,"batch_tokens":2048,"device":"cpu:5","device_memory_bytes":67108864,"dtype":"bf16",)"
      R"("engine":"batchscope","fusion":"qkv,norm","limit":5,"link":{"bytes_per_second":12000000000.0,"kind":null,)"
      R"("latency_ns":5000},"max_tokens_per_sequence":9,"model":{"path":"models/a b","random_shape":"llama-7b",)"
      R"("seed":7},"packing":"prefix","parallel":"dp2.tp2","sentinel_items":8,"task":"t.jsonl","threads":2,"when_too_long":"truncate"})");
  const CellSpec workload = cell_of(everything_of_a_workload);
  EXPECT_EQ(strategy_name(workload),
            "tp2 fusion=off padded f32 prompt-tokens=8 output-tokens=5 requests=20 arrival-rate=2.5 temperature=0.7 "
            "top-p=0.9 task-seed=3");
  EXPECT_EQ(to_json(workload).at("workload").dump(),
            R"({"arrival_rate":2.5,"output_tokens":5,"prompt_tokens":8,"requests":20,"seed":3,"temperature":0.7,)"
            R"("top_p":0.9,"trace":null})");
  const CellSpec trace = cell_of(everything_of_a_trace);
  EXPECT_EQ(strategy_name(trace), "tp1 fusion=off padded f32 trace=a/t.csv trace-format=azure trace-speed=10");
  EXPECT_EQ(to_json(trace).at("workload").dump(),
            R"({"arrival_rate":null,"output_tokens":null,"prompt_tokens":null,"requests":null,"seed":0,)"
            R"("temperature":0.0,"top_p":1.0,"trace":"a/t.csv","trace_format":"azure","trace_speed":10.0})");
  EXPECT_EQ(to_json(CellSpec()).dump(),
            R"({"batch":1,"device":"cpu:1","device_memory_bytes":null,"dtype":"f32","engine":"batchscope",)"
            R"("fusion":"off","limit":null,"link":{"bytes_per_second":null,"kind":null,"latency_ns":0},)"
            R"("max_tokens_per_sequence":null,"model":{"path":"","random_shape":"","seed":0},"packing":"padded",)"
            R"("parallel":"tp1","task":"","threads":null,"when_too_long":"fail"})");
}

TEST(Axes, EachIsSetByItsTextAndReadFromItsJson) {
  std::set<std::string_view> sampled;
  for (const AxisValues* values : samples) {
    const CellSpec spec = cell_of(*values);
    EXPECT_EQ(to_json(cell_spec_from_json(to_json(spec))), to_json(spec));
    CellSpec again;
    for (const Axis& axis : axes())
      if (const std::string text = axis.text(spec); !text.empty()) axis.set(again, text, axis.word);
    EXPECT_EQ(to_json(again), to_json(spec));
    for (const auto& [word, value] : *values) {
      const Axis& axis = *find_axis(word);
      sampled.insert(axis.word);
      EXPECT_TRUE(to_json(spec).contains(nlohmann::json::json_pointer(axis.json))) << word;
      CellSpec other = cell_of({});
      if (spec.workload) other.workload.emplace();
      axis.set(other, value, word);
      EXPECT_EQ(axis.text(other), axis.text(spec)) << word;
    }
  }
  for (const Axis& axis : axes()) EXPECT_TRUE(sampled.contains(axis.word)) << axis.word << ": add it to the samples";
}

TEST(Axes, OnlyWeightsAreInFp8) {
  EXPECT_EQ(cell_of({{"weights-dtype", "float8_e4m3fn"}}).placement.weights_dtype, DType::fp8);
  EXPECT_THROW(cell_of({{"kv-dtype", "fp8"}}), InputError);
  EXPECT_THROW(cell_of({{"dtype", "fp8"}}), InputError);
}

TEST(Axes, NoTwoAreCalledTheSame) {
  std::set<std::string> words, flags, columns, places, titles, names;
  for (const Axis& axis : axes()) {
    EXPECT_TRUE(words.emplace(axis.word).second) << axis.word;
    EXPECT_TRUE(flags.insert(axis.flag_name()).second) << axis.word;
    EXPECT_TRUE(columns.insert(axis.column).second) << axis.word;
    EXPECT_TRUE(places.insert(axis.json).second) << axis.word;
    EXPECT_TRUE(titles.insert(axis.title).second) << axis.word;
    EXPECT_TRUE(names.emplace(axis.name.word).second) << axis.word;
    EXPECT_FALSE(axis.help.empty()) << axis.word;
    EXPECT_FALSE(axis.type.empty()) << axis.word;
  }
}

TEST(Axes, AFlagShowsWhatACellHasWithoutIt) {
  for (const Axis& axis : axes()) {
    if (axis.preset.empty()) continue;
    EXPECT_EQ(axis.preset, axis.text(CellSpec())) << axis.word;
  }
}

TEST(Axes, EachIsInTheDocumentation) {
  const std::string text = read_file(std::filesystem::path(BATCHSCOPE_SOURCE_DIR) / "docs/study_files.md");
  const std::string keys = text.substr(text.find("## Keys of a cell"));
  for (const Axis& axis : axes())
    EXPECT_NE(keys.find(fmt::format("`{}`", axis.word)), std::string::npos) << axis.word << ": docs/study_files.md";
}

TEST(Axes, ShortNamesTellApartWhateverDiffers) {
  const auto names = [](const AxisValues& a, const AxisValues& b) {
    const std::vector<CellSpec> strategies{cell_of(a), cell_of(b)};
    return short_names(strategies);
  };
  EXPECT_THAT(names({{"random-weights", "llama-7b"}}, {{"random-weights", "llama-7b"}, {"weights-seed", "7"}}),
              ElementsAre("TP1 weights-seed 0", "TP1 weights-seed 7"));
  EXPECT_THAT(names({{"trace", "t"}}, {{"trace", "t"}, {"trace-speed", "10"}}), ElementsAre("TP1", "TP1 10x"));
  EXPECT_THAT(names({{"task", "a/q.jsonl"}}, {}), ElementsAre("TP1 q.jsonl", "TP1 questions"));
  EXPECT_THAT(names({{"engine", "http://a:1/v1"}}, {}), ElementsAre("a:1", "TP1"));
  EXPECT_THAT(names({{"engine", "http://a:1/v1"}, {"task", "q.jsonl"}}, {{"engine", "http://a:1/v1"}}),
              ElementsAre("a:1 q.jsonl", "a:1 questions"));
}

}  // namespace
}  // namespace batchscope
