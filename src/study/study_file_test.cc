// Study files: what they mean, and how their mistakes are named.
#include "study/study_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/file.h"
#include "study/ablation.h"
#include "study/grid.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string complaint(const std::string& text) {
  try {
    parse_study(text, "s.toml");
  } catch (const InputError& error) {
    return error.what();
  }
  return "no complaint";
}

TEST(StudyFile, GridsAndSingleCells) {
  const StudySpec study = parse_study(R"(
name = "small"
seed = 5
repeats = 2
time-out = "3s"
device_memory = "1MiB"
[[grid]]
parallel = ["mp2", "tp2"]
batch = [1, 2, 4]
[[grid]]
parallel = "tp2"
fusion = ["on"]
batch = 8
[[cell]]
parallel = "tp2"
batch = 4
max-tokens-per-sequence = 5
when-too-long = "truncate"
[reference]
parallel = "tp2"
batch = 2
[frontier]
search = false
)",
                                      "s.toml");
  ASSERT_EQ(study.cells.size(), 8u);
  EXPECT_EQ(study.name, "small");
  EXPECT_EQ(study.repeats, 2);
  EXPECT_EQ(study.time_out, std::chrono::seconds(3));
  EXPECT_EQ(study.reference, 4u);
  EXPECT_FALSE(study.frontier);
  EXPECT_EQ(study.cells[0].run.device_memory_bytes, 1 << 20);
  EXPECT_EQ(study.cells[5].run.batch, 4);  // batch turns fastest
  EXPECT_EQ(study.cells[7].max_tokens_per_sequence, 5);
  EXPECT_EQ(to_string(study.cells[7].placement.device), "cpu:2");
}

TEST(StudyFile, LayoutsAndMemoryFollowTheDevices) {
  const std::string text = R"(
device = "cpu:4"
device-memory = "64MB/devices"
[[grid]]
parallel = ["mp", "tp"]
batch = [1, 2]
[reference]
parallel = "tp"
)";
  const StudySpec study = parse_study(text, "s.toml");
  ASSERT_EQ(study.cells.size(), 4u);
  EXPECT_EQ(study.cells[0].placement.layout.to_string(), "mp4");
  EXPECT_EQ(study.cells[3].placement.layout.to_string(), "tp4");
  EXPECT_EQ(study.cells[3].run.device_memory_bytes, 16'000'000);
  EXPECT_EQ(study.reference, 2u);
  // Over one device both are the same.
  const std::vector<std::string> one{"device=cpu:1"};
  EXPECT_EQ(parse_study(text, "s.toml", one).cells.size(), 2u);
  EXPECT_THAT(complaint("[grid]\nparallel = 'tp'\n"), HasSubstr("over which devices"));
}

TEST(StudyFile, SettingsReplaceWhatTheFileSays) {
  const std::string text = R"(
seed = 1
limit = 9
[task]
kind = "generate"
seed = 2
prompt-tokens = 3
output-tokens = 4
requests = "batch"
[[grid]]
parallel = ["mp2", "tp2"]
batch = [1, 2, 4]
[reference]
batch = 4
[frontier]
search = true
)";
  const auto with = [&](const std::vector<std::string>& settings) { return parse_study(text, "s.toml", settings); };
  const StudySpec study =
      with({"batch=[4, 8]", "device=cpu:2", "seed=5", "task-seed=6", "limit=3", "search=false", "repeats=2"});
  ASSERT_EQ(study.cells.size(), 4u);
  EXPECT_EQ(study.cells[1].run.batch, 8);
  EXPECT_EQ(study.cells[1].limit, 3);
  EXPECT_EQ(study.seed, 5u);
  EXPECT_EQ(study.cells[0].workload->sampling.seed, 6u);
  EXPECT_EQ(study.repeats, 2);
  EXPECT_FALSE(study.frontier);
  EXPECT_EQ(to_json(with({})), to_json(parse_study(text, "s.toml")));
  const auto refusal = [&](const std::string& setting) {
    try {
      with({setting});
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_THAT(refusal("bacth=2"), AllOf(HasSubstr("--set"), HasSubstr("did you mean 'batch'")));
  EXPECT_THAT(refusal("batch"), HasSubstr("KEY=VALUE"));
  EXPECT_THAT(refusal("batch=many"), HasSubstr("whole number"));
}

TEST(StudyFile, ABatchOfRequests) {
  const StudySpec study = parse_study(
      "prompt-tokens = 3\noutput-tokens = 4\nrequests = 'batch'\n[grid]\nparallel = 'dp2'\nbatch = [1, 8]\n", "s.toml");
  ASSERT_EQ(study.cells.size(), 2u);
  EXPECT_EQ(strategy_name(study.cells[0]), strategy_name(study.cells[1]));
  for (const CellSpec& cell : study.cells) {
    EXPECT_EQ(to_json(cell_spec_from_json(to_json(cell))), to_json(cell));
    EXPECT_EQ(std::ssize(prepare_task(cell).workload->requests), 2 * cell.run.batch);
  }
  EXPECT_NE(task_key(study.cells[0]), task_key(study.cells[1]));
}

TEST(StudyFile, MistakesAreNamedWithTheirLine) {
  EXPECT_THAT(complaint("\n[grid]\nbacth = [1]\n"), AllOf(HasSubstr("s.toml:3:"), HasSubstr("did you mean 'batch'")));
  EXPECT_THAT(complaint("tiem-out = '3s'\n"), AllOf(HasSubstr("s.toml:1:"), HasSubstr("did you mean 'time-out'")));
  EXPECT_THAT(complaint("[grid]\nbatch = ['1']\n"), AllOf(HasSubstr("s.toml:2:"), HasSubstr("whole number")));
  EXPECT_THAT(complaint("[grid]\nbatch = [1]\nfusion = true\n"), AllOf(HasSubstr("s.toml:3:"), HasSubstr("text")));
  EXPECT_THAT(complaint("[grid]\nbatch = [0]\n"), AllOf(HasSubstr("s.toml:1:"), HasSubstr("--batch")));
  EXPECT_THAT(complaint("[grid]\nbatch = []\n"), HasSubstr("s.toml:2:"));
  // toml++ would recurse over each part.
  std::string dotted = "a";
  for (int i = 0; i < 50'000; ++i) dotted += ".a";
  EXPECT_THAT(complaint("\n[" + dotted + "]\n"), AllOf(HasSubstr("s.toml:2:"), HasSubstr("64 parts")));
  EXPECT_THAT(complaint(dotted + " = 1\n"), HasSubstr("s.toml:1:"));
  EXPECT_THAT(complaint("[grid]\nbatch = [4]\nmodel = ['" + dotted + "']\n"), Not(HasSubstr("64 parts")));
  // Each run is a row of the file before the first one begins.
  std::string batches;
  for (int i = 1; i <= 1001; ++i) batches += std::to_string(i) + ", ";
  EXPECT_THAT(complaint("repeats = 1000\n[grid]\nbatch = [" + batches + "]\n"), HasSubstr("more than 1000000 runs"));
  EXPECT_THAT(complaint("[grid]\ndevice = 'cpu:4'\nparallel = 'tp8'\n"),
              HasSubstr("8 ranks, but --device cpu:4 names 4"));
  EXPECT_THAT(complaint("[grid]\nbatch = [1, 1]\n"), HasSubstr("twice"));
  EXPECT_THAT(complaint("[grid]\nbatch = 1\n[reference]\nbatch = 2\n"), HasSubstr("s.toml:3:"));
  EXPECT_THAT(complaint("repeats = 1.5\n[grid]\nbatch = 1\n"), HasSubstr("with a fraction"));
  EXPECT_THAT(complaint("device-memory = '1MiB'\ndevice_memory = '1MiB'\n"), HasSubstr("given twice"));
  EXPECT_THAT(complaint("name = 'x'\n"), HasSubstr("no cells"));
  EXPECT_THAT(complaint("grid = 3\n"), HasSubstr("s.toml:1:"));
  EXPECT_THAT(complaint("name = \n"), HasSubstr("s.toml:1:"));
  EXPECT_THAT(complaint("name = '../x'\n[grid]\nbatch = 1\n"), HasSubstr("leave it out"));
}

TEST(StudyFile, TaskMayBeRequestsToGenerate) {
  const StudySpec study = parse_study(R"(
[task]
kind = "generate"
prompt-tokens = 32
output_tokens = 16
seed = 4
[[grid]]
batch = [1, 8]
arrival-rate = [2, 2.5]
[grid.task]
kind = "generate"
output-tokens = [4, 8]
)",
                                      "s.toml");
  ASSERT_EQ(study.cells.size(), 8u);
  const Workload& workload = *study.cells.back().workload;
  EXPECT_EQ(workload.prompt_tokens, 32);
  EXPECT_EQ(workload.output_tokens, 8);
  EXPECT_EQ(workload.requests, default_requests);
  EXPECT_EQ(workload.arrival_rate, 2.5);
  EXPECT_EQ(workload.sampling.seed, 4u);
  EXPECT_THAT(strategy_name(study.cells.back()),
              HasSubstr("output-tokens=8 requests=100 arrival-rate=2.5 task-seed=4"));
  EXPECT_EQ(short_names(study.cells).back(), "TP1 32+8 tok 2.5/s");
  CellSpec traced;
  traced.workload = Workload{.trace = "t.jsonl"};
  EXPECT_EQ(resolved(traced, "/a/b").workload->trace, "/a/b/t.jsonl");
}

TEST(StudyFile, MistakesOfATaskAreNamedWithTheirLine) {
  const std::string task = "[task]\nkind = 'generate'\nprompt-tokens = 3\noutput-tokens = 3\n";
  EXPECT_THAT(complaint(task + "temprature = 1\n[[cell]]\nbatch = 1\n"),
              AllOf(HasSubstr("s.toml:5:"), HasSubstr("did you mean 'temperature'")));
  EXPECT_THAT(complaint("[task]\nprompt-tokens = 3\n"), AllOf(HasSubstr("s.toml:1:"), HasSubstr("\"generate\"")));
  EXPECT_THAT(complaint("[task]\nkind = 'choice'\n"), AllOf(HasSubstr("s.toml:2:"), HasSubstr("\"generate\"")));
  EXPECT_THAT(complaint("prompt-tokens = 3\n" + task), AllOf(HasSubstr("given twice"), HasSubstr("[task]")));
  EXPECT_THAT(complaint(task + "trace = 't.jsonl'\n[[cell]]\nbatch = 1\n"), HasSubstr("--trace"));
  EXPECT_THAT(complaint(task + "[[cell]]\ntask = 'q.jsonl'\n"), HasSubstr("leave out one or the other"));
  EXPECT_THAT(complaint(task + "arrival-rate = '2'\n[[cell]]\nbatch = 1\n"),
              AllOf(HasSubstr("s.toml:5:"), HasSubstr("a number is expected, not text")));
  EXPECT_THAT(complaint("[task]\nkind = 'generate'\nprompt-tokens = 0\noutput-tokens = 3\n[[cell]]\nbatch = 1\n"),
              AllOf(HasSubstr("s.toml:5:"), HasSubstr("--prompt-tokens")));
}

TEST(StudyFile, TooManyCellsAreRefused) {
  std::string batches = "1";
  for (int i = 2; i <= 400; ++i) batches += "," + std::to_string(i);
  EXPECT_THAT(complaint("[grid]\nbatch = [" + batches + "]\nlimit = [" + batches + "]\n"), HasSubstr("more than"));
}

TEST(StudyFile, CommentsAreNoPartOfItsMeaning) {
  const auto meaning = [](const char* text) { return to_json(parse_study(text, "s.toml")); };
  EXPECT_EQ(meaning("[grid]\nbatch = [1, 2]\n"), meaning("# a comment\n\n[grid] # here\nbatch = [ 1, 2 ]"));
  EXPECT_NE(meaning("[grid]\nbatch = [1, 2]\n"), meaning("[grid]\nbatch = [2, 1]\n"));
}

TEST(StudyFile, PathsStartAtTheFile) {
  CellSpec spec;
  spec.task = "../t.jsonl";
  EXPECT_EQ(resolved(spec, "/a/b").task, "/a/t.jsonl");
  EXPECT_EQ(resolved(spec, "/a/b").model.path, "");
}

TEST(StudyFile, TheDemoIsAStudy) {
  const StudySpec demo = read_study(BATCHSCOPE_SOURCE_DIR "/studies/demo.toml");
  EXPECT_GE(demo.cells.size(), 22u);
}

TEST(StudyFile, TheExampleOfGenerationGenerates) {
  const StudySpec study = read_study(BATCHSCOPE_SOURCE_DIR "/studies/generation.toml");
  ASSERT_EQ(study.cells.size(), 12u);
  for (const CellSpec& cell : study.cells) EXPECT_TRUE(cell.workload);
}

TEST(Grid, OrderKeepsWorkersTogetherAndFollowsItsSeed) {
  const StudySpec study = parse_study("[grid]\nparallel = ['tp1', 'tp2', 'mp2']\nbatch = [1, 2, 4, 8]\n", "s.toml");
  const auto order = run_order(study.cells, 3, 42);
  ASSERT_EQ(order.size(), 36u);
  for (std::size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(order[i].repeat, static_cast<std::int64_t>(i / 12) + 1);
    const std::size_t block = i / 4 * 4;
    EXPECT_EQ(study.cells[order[i].cell].worker_key(), study.cells[order[block].cell].worker_key());
  }
  std::vector<std::size_t> first, again, other;
  for (const PlannedRun& run : order) first.push_back(run.cell);
  for (const PlannedRun& run : run_order(study.cells, 3, 42)) again.push_back(run.cell);
  for (const PlannedRun& run : run_order(study.cells, 3, 43)) other.push_back(run.cell);
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other);
}

TEST(Grid, ShortNamesSayWhatDiffers) {
  const StudySpec study =
      parse_study("[grid]\nparallel = ['tp2']\nfusion = ['off', 'on']\ndevice-memory = ['1MiB', '2MiB']\n", "s.toml");
  const auto names = short_names(study.cells);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()),
            (std::set<std::string>{"TP2 1.0 MiB", "TP2 2.0 MiB", "TP2 fused 1.0 MiB", "TP2 fused 2.0 MiB"}));
}

TEST(Grid, ShortNamesTellRequestsFromQuestions) {
  const auto names = [](const std::string& grids) {
    return short_names(parse_study("parallel = 'tp2'\n[[grid]]\nbatch = 1\n" + grids, "s.toml").cells);
  };
  const std::string lengths = "[[grid]]\nprompt-tokens = 3\noutput-tokens = 4\n";
  EXPECT_EQ(names(lengths), (std::vector<std::string>{"TP2 questions", "TP2 generate"}));
  EXPECT_EQ(names(lengths + "arrival-rate = [0.5, 8]\n"),
            (std::vector<std::string>{"TP2 questions", "TP2 generate 0.5/s", "TP2 generate 8/s"}));
  EXPECT_EQ(names(lengths + "[[grid]]\ntrace = 'a/t.jsonl'\n"),
            (std::vector<std::string>{"TP2 questions", "TP2 generate 3+4 tok", "TP2 generate t.jsonl"}));
}

TEST(StudyFile, EachFusionIsAnAblation) {
  const StudySpec study = parse_study("[grid]\nfusion = 'each'\nbatch = [1, 8]\n", "s.toml");
  ASSERT_EQ(study.cells.size(), 24u);  // off, 5 alone, 5 left out, on; two batches of each
  std::set<std::string> labels;
  for (const CellSpec& cell : study.cells) labels.insert(fusion_label(cell.run.fusion));
  EXPECT_THAT(labels, testing::IsSupersetOf({"off", "on", "norm", "comm", "on without norm", "on without comm"}));
  EXPECT_FALSE(labels.contains("graph"));
  EXPECT_EQ(parse_study("fusion = 'each'\n[grid]\nbatch = [1, 8]\n", "s.toml").cells.size(), 24u);
  EXPECT_EQ(parse_study("fusion = 'each'\n[grid]\nfusion = 'on'\n", "s.toml").cells.size(), 1u);
  EXPECT_THAT(complaint("[grid]\nfusion = ['each', 'on']\n"), AllOf(HasSubstr("s.toml:1"), HasSubstr("alone")));
  EXPECT_THAT(complaint("[[cell]]\nfusion = 'each'\n"), AllOf(HasSubstr("s.toml:1"), HasSubstr("[grid]")));
}

TEST(Ablation, OfWhatAnEngineHas) {
  const auto labels = [](std::vector<std::string> available) {
    std::vector<std::string> names;
    for (const Fusion& fusion : ablation(available)) names.push_back(to_string(fusion));
    return names;
  };
  EXPECT_EQ(labels({}), (std::vector<std::string>{"off"}));
  EXPECT_EQ(labels({"norm", "graph"}), (std::vector<std::string>{"off", "norm"}));
  EXPECT_EQ(labels({"qkv", "norm"}), (std::vector<std::string>{"off", "qkv", "norm", "qkv,norm"}));
  EXPECT_EQ(labels({"qkv", "swiglu", "norm"}), (std::vector<std::string>{"off", "qkv", "swiglu", "norm", "swiglu,norm",
                                                                         "qkv,norm", "qkv,swiglu", "qkv,swiglu,norm"}));
}

TEST(Ablation, LabelsSayWhatIsMissing) {
  EXPECT_EQ(fusion_label(parse_fusion("qkv,swiglu,attention,comm")), "on without norm");
  EXPECT_EQ(fusion_label(parse_fusion("qkv,swiglu,attention,comm,graph,overlap")), "on without norm");
  EXPECT_EQ(fusion_label(parse_fusion("qkv,swiglu,norm,attention,comm,graph")), "on without overlap");
  EXPECT_EQ(fusion_label(parse_fusion("qkv,swiglu,norm,attention,comm,overlap")), "on without graph");
  for (const char* name : {"off", "on", "norm", "qkv,norm"}) EXPECT_EQ(fusion_label(parse_fusion(name)), name);
}

}  // namespace
}  // namespace batchscope
