// The real program with engines that are programs: eval, study, report and compare, the sentinel, and counters of GPUs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/test_program.h"
#include "engine/http/test_server.h"
#include "load/mock_server.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string engine(const std::string& more = "") {
  return "command:python3 '" BATCHSCOPE_SOURCE_DIR "/tools/engines/letters_engine.py' " + more;
}

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("python3 -c 'import json' 2>/dev/null") != 0) GTEST_SKIP() << "no python3 to run engines with";
  }
  std::string in_folder(const std::string& name) const { return (folder_ / name).string(); }
  Ended run(const std::vector<std::string>& arguments) const { return run_program(arguments, folder_.path()); }
  nlohmann::json result(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "eval");
    arguments.insert(arguments.end(), {"--json", "-"});
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 0) << ended.errors;
    return nlohmann::json::parse(ended.output);
  }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }
  // Two engines of which one is wrong beyond a batch of 4.
  void write_study() const {
    write("s.toml", "name = 's'\nlimit = 40\n[[grid]]\nengine = [\"" + engine() + "\", \"" +
                        engine("--wrong-beyond 4") + "\"]\nbatch = [1, 8]\n[reference]\nbatch = 1\n");
  }

  TestFolder folder_;
};

TEST_F(EngineTest, EvalKnowsWhatTheEngineTells) {
  // Its answers are not the embedded model's, which the sentinel sees at once.
  const nlohmann::json json =
      result({"--engine", engine(), "--batch", "8", "--limit", "40", "--items", in_folder("i")});
  EXPECT_EQ(json.at("status"), "degraded");
  EXPECT_EQ(json.at("engine"), "letters 1");
  EXPECT_EQ(json.at("items"), 40);
  EXPECT_EQ(json.at("batches"), 20);
  EXPECT_GT(json.at("tokens").at("requested"), 0);
  EXPECT_TRUE(json.at("acc_tokens").is_null());
  EXPECT_TRUE(json.at("devices").empty());
  EXPECT_EQ(json.at("sentinel").at("departs"), true);
  EXPECT_LE(json.at("sentinel").at("alarm_at"), 32);

  // Against itself there is nothing to see, in another batch neither.
  const nlohmann::json same =
      result({"--engine", engine(), "--batch", "4", "--limit", "40", "--reference", in_folder("i")});
  EXPECT_EQ(same.at("status"), "ok");
  EXPECT_EQ(same.at("sentinel").at("changed"), 0);
  EXPECT_EQ(same.at("acc_norm"), json.at("acc_norm"));
  const Ended wrong = run(
      {"eval", "--engine", engine("--wrong-beyond 4"), "--batch", "8", "--limit", "40", "--reference", in_folder("i")});
  EXPECT_EQ(wrong.code, 0);
  EXPECT_THAT(wrong.output, AllOf(HasSubstr("DEGRADED"), HasSubstr("more than")));
  EXPECT_THAT(wrong.errors, HasSubstr("DEGRADED: "));
}

TEST_F(EngineTest, OurOwnIsComparedToo) {
  const nlohmann::json json = result({"--batch", "16", "--limit", "40", "--device", "cpu:1"});
  EXPECT_EQ(json.at("status"), "ok");
  EXPECT_EQ(json.at("engine"), "batchscope");
  EXPECT_EQ(json.at("sentinel").at("items"), 32);
  EXPECT_LT(json.at("sentinel").at("largest_difference"), 1e-3);
  EXPECT_THAT(result({"--limit", "2", "--device", "cpu:1"}).at("sentinel").at("why_not").get<std::string>(),
              HasSubstr("compared with"));
}

TEST_F(EngineTest, BadEnginesAreBadInput) {
  const auto error = [&](std::vector<std::string> arguments, int code) {
    arguments.insert(arguments.begin(), "eval");
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, code) << ended.errors;
    return ended.errors;
  };
  EXPECT_THAT(error({"--engine", "vllm"}, 2), HasSubstr("docs/engines.md"));
  EXPECT_THAT(error({"--engine", "command:/no/such/engine"}, 2), HasSubstr("cannot start \"/no/such/engine\""));
  EXPECT_THAT(error({"--engine", engine(), "--dtype", "bf16"}, 2), HasSubstr("does not know it"));
  EXPECT_THAT(error({"--engine", engine(), "--device-memory", "1GB"}, 2), HasSubstr("--device-memory"));
  EXPECT_THAT(error({"--engine", engine(), "--prompt-tokens", "3", "--output-tokens", "3"}, 2), HasSubstr("--engine"));
  EXPECT_THAT(error({"--engine", "command:sh -c 'echo no model >&2; exit 7'"}, 4),
              AllOf(HasSubstr("code 7"), HasSubstr("no model")));
  EXPECT_THAT(error({"--engine", engine(), "--reference", "/no/such/file"}, 2), HasSubstr("/no/such/file"));
}

TEST_F(EngineTest, AStudyFindsTheEngineThatIsWrong) {
  write_study();
  const std::string file = in_folder("s.bscope"), page = in_folder("s.html");
  const Ended study = run({"study", in_folder("s.toml"), "-o", file, "--html", page});
  ASSERT_EQ(study.code, 0) << study.errors;
  EXPECT_THAT(study.output, AllOf(HasSubstr("DEGRADED"), HasSubstr("letters_engine.py --wrong-beyond 4")));
  const Ended report = run({"report", file, "--json"});
  const nlohmann::json json = nlohmann::json::parse(report.output);
  int degraded = 0;
  for (const auto& cell : json.at("cells")) {
    const bool is_wrong = cell.at("batch") == 8 && cell.at("spec").at("engine") != engine();
    EXPECT_EQ(cell.at("status"), is_wrong ? "degraded" : "ok") << cell.at("key") << cell.at("reason");
    degraded += is_wrong ? 1 : 0;
  }
  EXPECT_EQ(degraded, 1);
  EXPECT_THAT(read_file(page), HasSubstr("DEGRADED"));
  EXPECT_THAT(json.at("best").get<std::string>(), Not(HasSubstr("--wrong-beyond 4 batch=8")));

  // It is a regression beside an engine that is right.
  write("a.toml",
        "name = 's'\nlimit = 40\n[[grid]]\nengine = \"" + engine() + "\"\nbatch = [1, 8]\n[reference]\nbatch = 1\n");
  write("b.toml", "name = 's'\nlimit = 40\n[[grid]]\nengine = \"" + engine("--wrong-beyond 4") +
                      "\"\nbatch = [1, 8]\n[reference]\nbatch = 1\n");
  for (const char* name : {"a", "b"})
    ASSERT_EQ(
        run({"study", in_folder(std::string(name) + ".toml"), "-o", in_folder(std::string(name) + ".bscope")}).code, 0);
  const Ended compared = run({"compare", in_folder("a.bscope"), in_folder("b.bscope")});
  EXPECT_EQ(compared.code, 1) << compared.output << compared.errors;
  EXPECT_THAT(compared.output, HasSubstr("DEGRADED"));
  EXPECT_EQ(run({"compare", in_folder("a.bscope"), in_folder("a.bscope")}).code, 0);
}

TEST_F(EngineTest, AServerIsAnEngine) {
  PlayedModelServer server(PlayedModelServer::Kind::vllm);
  server.hits_per_request = 1;
  const nlohmann::json json =
      result({"--engine", server.url(), "--batch", "4", "--limit", "10", "-o", in_folder("e.bscope")});
  EXPECT_EQ(json.at("status"), "ok") << json.at("reason");
  EXPECT_EQ(json.at("engine"), "vLLM 0.33.0 (played)");
  EXPECT_EQ(json.at("items"), 10);
  EXPECT_EQ(json.at("served").at("requests"), 40);
  EXPECT_GT(json.at("served").at("request_ms").at("p50"), 0);
  EXPECT_TRUE(json.at("load_seconds").is_null() && json.at("batches").is_null());
  EXPECT_GT(json.at("tokens_per_s"), 0);
  EXPECT_THAT(json.at("sentinel").at("why_not").get<std::string>(), HasSubstr("--model"));
  const Ended series = run({"sql", in_folder("e.bscope"), "select distinct name from series"});
  EXPECT_THAT(series.output, HasSubstr("vllm:prefix_cache_hits_total"));
  EXPECT_THAT(run({"eval", "--engine", server.url(), "--limit", "2"}).output,
              AllOf(HasSubstr("request   p50"), Not(HasSubstr("loaded"))));

  // With the model's files its tokens are ours, and so is the reference, from which a made-up model departs.
  const nlohmann::json compared = result({"--engine", server.url(), "--model", played_model().path, "--limit", "40"});
  EXPECT_EQ(compared.at("status"), "degraded");
  EXPECT_EQ(compared.at("engine"), "vLLM 0.33.0");
  EXPECT_FALSE(compared.at("acc_tokens").is_null());

  const PlayedModelServer cannot(PlayedModelServer::Kind::llama_server);
  const Ended refused = run({"eval", "--engine", cannot.url()});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.errors, AllOf(HasSubstr("llama.cpp server b7000-abc cannot score"), HasSubstr("is ignored")));
  EXPECT_EQ(run({"eval", "--engine", "http://127.0.0.1:1/v1"}).code, 4);
  EXPECT_THAT(run({"eval", "--retries", "3"}).errors, HasSubstr("--retries"));
}

TEST_F(EngineTest, AStudyOutlivesAServer) {
  PlayedModelServer server(PlayedModelServer::Kind::nameless);
  EXPECT_EQ(run({"eval", "--engine", server.url(), "--limit", "10"}).code, 0);
  server.fail_from = 2 * server.scored;  // the first cell's and its probe's are answered
  server.fail_count = 1'000'000;
  write("s.toml", "name = 's'\nlimit = 10\n[[grid]]\nengine = \"" + server.url() + "\"\nbatch = [1, 4, 8]\n" +
                      "[[grid]]\nengine = \"batchscope\"\nbatch = 8\n");
  const std::string file = in_folder("s.bscope");
  EXPECT_EQ(run({"study", in_folder("s.toml"), "-o", file}).code, 0);
  std::map<std::string, int> statuses;
  const nlohmann::json report = nlohmann::json::parse(run({"report", file, "--json"}).output);
  for (const auto& cell : report.at("cells")) {
    ++statuses[cell.at("status").get<std::string>()];
    if (cell.at("status") == "failed") {
      EXPECT_THAT(cell.at("reason").get<std::string>(), HasSubstr("503 Service Unavailable: overloaded"));
    }
  }
  EXPECT_EQ(statuses["ok"], 1);
  EXPECT_EQ(statuses["failed"], 2);
  EXPECT_EQ(statuses["degraded"], 1);  // our engine has answers, other ones than the made-up model of the first cell
}

TEST_F(EngineTest, CountersOfGpusAreThoseOfTheTimedPart) {
  write("slow.py", R"(
import json, sys, time
for line in sys.stdin:
    ask = json.loads(line)
    answer = {"done": True}
    if ask["ask"] == "hello": answer = {"name": "slow"}
    if ask["ask"] == "prepare": count = len(ask["requests"])
    if ask["ask"] in ("load", "warm_up"): time.sleep(0.5)
    if ask["ask"] == "score":
        time.sleep(6)
        answer = {"log_likelihoods": [-1.0] * count}
    print(json.dumps(answer), flush=True)
)");
  const std::string scenario =
      R"({"gpus": [{"nvlinks": 4}, {"nvlinks": 4, "load": [{"power_w": 500, "gpu_utilization": 0.8,
    "nvlink_tx_bytes_per_s": 30e9, "nvlink_rx_bytes_per_s": 20e9, "pcie_tx_bytes_per_s": 8e9, "pcie_rx_bytes_per_s": 4e9,
    "sm_activity": 0.6}]}]})";
  const auto run_on_gpu = [&](const std::vector<std::string>& arguments) {
    return run_program(arguments, folder_.path(), [&] {
      setenv("LD_LIBRARY_PATH", std::filesystem::path(BATCHSCOPE_FAKE_NVML).parent_path().c_str(), 1);
      setenv("BATCHSCOPE_FAKE_NVML", scenario.c_str(), 1);
      unsetenv("CUDA_VISIBLE_DEVICES");
    });
  };
  const auto check = [](const nlohmann::json& device, double seconds) {
    EXPECT_EQ(device.at("name"), "cuda:1");
    EXPECT_EQ(device.at("virtual"), false);
    EXPECT_NEAR(device.at("energy_j").get<double>(), 500 * seconds, 50 * seconds);
    EXPECT_NEAR(device.at("utilisation").get<double>(), 0.8, 0.05);
    const nlohmann::json& link = device.at("links").at(0);
    EXPECT_EQ(link.at("kind"), "nvlink");
    EXPECT_NEAR(link.at("link_tx_bytes").get<double>(), 30e9 * seconds, 3e9 * seconds);
    EXPECT_NEAR(link.at("link_rx_bytes").get<double>(), 20e9 * seconds, 2e9 * seconds);
    EXPECT_NEAR(device.at("sm_active").get<double>(), 0.6, 0.05);
    EXPECT_TRUE(link.at("counted_tx_bytes").is_null());
    EXPECT_TRUE(device.at("memory").at("planned_bytes").is_null());
  };
  const std::string slow = "command:python3 " + in_folder("slow.py");
  const Ended eval = run_on_gpu({"eval", "--engine", slow, "--device", "cuda:1", "--limit", "4", "--reference", "none",
                                 "-o", in_folder("e.bscope"), "--json", "-"});
  ASSERT_EQ(eval.code, 0) << eval.errors;
  const nlohmann::json json = nlohmann::json::parse(eval.output);
  EXPECT_NEAR(json.at("seconds").get<double>(), 6, 1);
  ASSERT_EQ(json.at("devices").size(), 1u);
  check(json.at("devices").at(0), json.at("seconds"));

  write("g.toml", "name = 'g'\nlimit = 4\nsentinel-items = 0\npaper-sampler = true\n[[cell]]\nengine = \"" + slow +
                      "\"\ndevice = 'cuda:1'\n");
  const Ended study = run_on_gpu({"study", in_folder("g.toml"), "-o", in_folder("g.bscope"), "--json"});
  ASSERT_EQ(study.code, 0) << study.errors;
  const nlohmann::json cell = nlohmann::json::parse(study.output).at("cells").at(0);
  const nlohmann::json& device = cell.at("result").at("devices").at(0);
  check(device, cell.at("result").at("seconds"));

  // The paper's sampler sees two windows of 20 ms in each 1/6 s, one a direction, and scales what it saw up.
  const nlohmann::json& paper = device.at("paper");
  EXPECT_NEAR(paper.at("utilisation").get<double>(), 0.8, 0.05);
  EXPECT_NEAR(paper.at("tx_bytes_per_s").get<double>(), 8e9, 1e9);
  const double exact = paper.at("rx_exact_bytes"), seen = paper.at("rx_seen_bytes");
  EXPECT_NEAR(exact, 4e9 * cell.at("result").at("seconds").get<double>(), 4e9);
  EXPECT_NEAR(seen / exact, 0.12, 0.05);
  const Ended tables = run({"report", in_folder("g.bscope")});
  EXPECT_THAT(tables.output, AllOf(HasSubstr("The paper's method beside exact counters"), HasSubstr("Energy: joules")));
}

// Our own engine and a server in one study, with the times of their requests.
TEST(GenerationOnServers, StandsBesideOurOwnEngine) {
  const load::LoopbackMock mock({.ttft = std::chrono::milliseconds(20), .itl = std::chrono::milliseconds(2)});
  const TestFolder folder;
  std::ofstream(folder / "s.toml") << "name = 's'\n[task]\nkind = 'generate'\nprompt-tokens = 4\noutput-tokens = 3\n"
                                      "requests = 6\n[[grid]]\nengine = ['batchscope', '" +
                                          mock.url() + "']\nbatch = [1, 3]\n";
  const Ended study = run_program({"study", folder / "s.toml", "-o", folder / "s.bscope"}, folder.path());
  EXPECT_EQ(study.code, 0) << study.errors;
  const auto json = nlohmann::json::parse(run_program({"report", folder / "s.bscope", "--json"}, folder.path()).output);
  int served = 0;
  for (const nlohmann::json& cell : json.at("cells")) {
    const nlohmann::json& result = cell.at("result");
    EXPECT_EQ(result.at("status"), "ok") << result.dump();
    EXPECT_EQ(result.at("requests"), 6);
    EXPECT_EQ(result.at("output_tokens"), 18);
    if (result.at("served").is_null()) continue;
    ++served;
    EXPECT_GE(result.at("ttft_ms").at("p50"), 20.0);
    EXPECT_GE(result.at("latency_ms").at("p50"), 24.0);
    EXPECT_EQ(result.at("served").at("requests"), 6);
  }
  EXPECT_EQ(served, 2);
  EXPECT_THAT(study.output, HasSubstr("E2E p50"));
}

TEST(GenerationOnServers, TextsNeedTheModelsTokenizer) {
  const load::LoopbackMock mock({});
  const TestFolder folder;
  std::ofstream(folder / "t.jsonl") << R"({"prompt": "Ana has", "output_tokens": 3})"
                                    << "\n";
  const Ended refused = run_program({"eval", "--engine", mock.url(), "--trace", folder / "t.jsonl"}, folder.path());
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.errors, HasSubstr("--model"));
}

}  // namespace
}  // namespace batchscope
