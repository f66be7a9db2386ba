// Cells: their JSON both ways, and what running one gives in good and in bad times.
#include "study/cell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "study/axes.h"
#include "study/fake_engine.h"
#include "study/records.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

CellSpec small_cell(std::int64_t batch) {
  CellSpec spec = cell_of({{"parallel", "tp2"}, {"limit", "3"}});
  spec.run.batch = batch;
  return spec;
}

CellResult run(const CellSpec& spec, FakeTroubles troubles = {}) {
  FakeEngine engine(troubles);
  engine.load(spec.model, spec.placement);
  return run_cell(engine, spec, prepare_task(spec), nullptr);
}

TEST(Cell, SpecSurvivesJson) {
  CellSpec spec = cell_of({{"parallel", "dp2.tp2"},
                                   {"fusion", "qkv,norm"},
                                   {"batch", "8"},
                                   {"packing", "prefix"},
                                   {"dtype", "bf16"},
                                   {"device-memory", "64MiB"},
                                   {"link", "12GB/s,5us"},
                                   {"max-tokens-per-sequence", "9"},
                                   {"when-too-long", "truncate"},
                                   {"limit", "5"},
                                   {"model", "a b"},
                                   {"weights-seed", "7"},
                                   {"threads", "2"},
                                   {"batch-tokens", "2048"},
                                   {"task", "t.jsonl"}});
  const nlohmann::json json = to_json(spec);
  EXPECT_EQ(to_json(cell_spec_from_json(json)), json);
  EXPECT_EQ(json.at("device"), "cpu:4");
  EXPECT_EQ(cell_spec_from_json(json).run.link, spec.run.link);
}

TEST(Cell, EnginesAndSentinelsArePartOfTheSpec) {
  const CellSpec spec = cell_of({{"engine", "command:python3 'my engine.py' -x"}, {"sentinel-items", "8"}});
  const CellSpec back = cell_spec_from_json(to_json(spec));
  EXPECT_EQ(back.engine, spec.engine);
  EXPECT_EQ(back.sentinel_items, 8);
  EXPECT_EQ(cell_spec_from_json(to_json(CellSpec())).sentinel_items, default_sentinel_items);
  EXPECT_NE(back.worker_key(), CellSpec().worker_key());
  EXPECT_THROW(cell_of({{"engine", "vllm"}}), InputError);
  // What a foreign engine cannot be held to.
  for (const auto& [word, value] : {std::pair("device-memory", "1GB"), {"link", "1GB/s,1us"}, {"batch-tokens", "64"},
                                    {"random-weights", "llama-7b"}, {"max-tokens-per-sequence", "9"}})
    EXPECT_THROW(check(cell_of({{"engine", "command:x"}, {word, value}})), InputError) << word;
}

TEST(Cell, StatusesAreLoudWhereTheyLookLikeResults) {
  EXPECT_EQ(parse_cell_status("degraded"), CellStatus::degraded);
  EXPECT_EQ(exit_code(CellStatus::degraded), ExitCode::ok);
  EXPECT_EQ(status_words("degraded"), "DEGRADED");
  EXPECT_EQ(status_words("out_of_memory"), "out of memory");
  EXPECT_TRUE(has_scores("degraded") && has_scores("ok") && !has_scores("failed"));
}

// An engine that tells nothing but answers: all else is absent, and nothing of ours is opened for it.
TEST(Cell, AnEngineMayTellLittle) {
  class Quiet : public FakeEngine {
   public:
    Quiet() : FakeEngine(FakeTroubles()) {}
    ScoreReport score(std::span<const ScoreRequest> requests, const RunSettings&, PhaseSink*) override {
      ScoreReport report;
      for (const ScoreRequest& request : requests) {
        EXPECT_TRUE(request.tokens.empty());
        EXPECT_FALSE(request.continuation.empty());
        report.log_likelihoods.push_back(-static_cast<double>(request.continuation.size()));
      }
      report.time = std::chrono::milliseconds(5);
      return report;
    }
  } engine;
  const CellSpec spec = cell_of({{"engine", "command:x"}, {"model", "/no/such/model"}, {"limit", "3"}});
  const PreparedTask task = prepare_task(spec);
  EXPECT_FALSE(task.config);
  EXPECT_THROW(plan_cell(spec, task), InputError);
  const CellResult result = run_cell(engine, spec, task, nullptr);
  EXPECT_EQ(result.status, CellStatus::ok) << result.reason;
  const nlohmann::json json = to_json(result);
  EXPECT_EQ(json.at("items"), 3);
  for (const char* key : {"requested", "truncated", "computed", "padding"})
    EXPECT_TRUE(json.at("tokens").at(key).is_null()) << key;
  for (const char* key : {"tokens_per_s", "batches", "acc_tokens", "sentinel"}) EXPECT_TRUE(json.at(key).is_null()) << key;
  EXPECT_TRUE(json.at("devices").empty());
  EXPECT_GT(json.at("seconds"), 0);
  EXPECT_EQ(cell_records_from_json(to_json(to_records(result))).items.at(0).prediction_tokens, std::nullopt);
}

TEST(Cell, WordsTakeTheValuesTheyListAndNoOthers) {
  std::size_t listed = 0;
  for (const Axis& axis : axes()) {
    CellSpec spec;
    for (const std::string_view value : axis.values) EXPECT_NO_THROW(axis.set(spec, std::string(value), axis.word));
    if (axis.values.empty()) continue;
    EXPECT_THROW(axis.set(spec, "none of them", axis.word), InputError) << axis.word;
    ++listed;
  }
  EXPECT_EQ(listed, 7U);  // three of dtypes, fusion, packing, trace-format, when-too-long
  EXPECT_EQ(to_string(parse_fusion("graph,qkv")), "qkv,graph");
}

TEST(Cell, SpecRefusesWhatItCouldNotHaveWritten) {
  const nlohmann::json good = to_json(small_cell(4));
  for (const char* patch :
       {R"({"batch": 0})", R"({"batch": "4"})", R"({"batch": 1e30})", R"({"device": "cpu:1"})", R"({"fusion": "all"})",
        R"({"model": 3})", R"({"link": {"kind": "rope"}})", R"({"threads": -1})", R"({"when_too_long": ""})"}) {
    nlohmann::json bad = good;
    bad.merge_patch(nlohmann::json::parse(patch));
    EXPECT_THROW(cell_spec_from_json(bad), InputError) << patch;
  }
  EXPECT_THROW(cell_spec_from_json(nlohmann::json::array()), InputError);
}

TEST(Cell, OnlyWhatDiffersInPlacementNeedsAnotherWorker) {
  CellSpec other = small_cell(4);
  other.run.fusion = parse_fusion("on");
  EXPECT_EQ(other.worker_key(), small_cell(8).worker_key());
  other.placement.dtype = DType::bf16;
  EXPECT_NE(other.worker_key(), small_cell(8).worker_key());
}

TEST(Cell, RunGivesScoresPlanAndCounts) {
  const CellResult result = run(small_cell(4));
  EXPECT_EQ(result.status, CellStatus::ok) << result.reason;
  EXPECT_EQ(result.items.size(), 3u);
  const nlohmann::json json = to_json(result);
  EXPECT_EQ(json.at("items"), 3);
  EXPECT_EQ(json.at("batches"), 3);
  EXPECT_DOUBLE_EQ(json.at("batch_ms").at("p99"), 2);
  EXPECT_EQ(json.at("tokens").at("truncated"), 0);
  EXPECT_GT(json.at("tokens").at("requested"), 0);
  EXPECT_GT(json.at("devices").at(1).at("memory").at("planned_bytes"), 0);
  EXPECT_TRUE(json.at("devices").at(0).at("busy").at("idle").is_null());
  EXPECT_TRUE(json.at("time_to_first_token_ms").is_null());
  EXPECT_TRUE(json.at("requests").is_null());
  EXPECT_TRUE(json.at("latency_ms").at("p50").is_null());
}

CellSpec generating_cell(std::int64_t batch, const std::string& rate = "") {
  AxisValues words{
      {"parallel", "tp2"}, {"prompt-tokens", "8"}, {"output-tokens", "5"}, {"requests", "4"}};
  if (!rate.empty()) words.emplace("arrival-rate", rate);
  CellSpec spec = cell_of(words);
  spec.run.batch = batch;
  return spec;
}

TEST(Cell, WorkloadIsPartOfTheSpecWhereThereIsOne) {
  const CellSpec spec = cell_of({{"prompt-tokens", "8"},
                                         {"output-tokens", "5"},
                                         {"arrival-rate", "2.5"},
                                         {"temperature", "0.7"},
                                         {"top-p", "0.9"},
                                         {"task-seed", "3"}});
  const nlohmann::json json = to_json(spec);
  EXPECT_EQ(json.at("workload").at("requests"), default_requests);
  EXPECT_EQ(json.at("workload").at("arrival_rate"), 2.5);
  EXPECT_EQ(to_json(cell_spec_from_json(json)), json);
  EXPECT_FALSE(to_json(small_cell(1)).contains("workload"));  // files from before workloads stay the same studies
  nlohmann::json bad = json;
  bad["task"] = "questions.jsonl";
  EXPECT_THROW(cell_spec_from_json(bad), InputError);
  bad = json;
  bad["workload"]["trace"] = "t.jsonl";
  EXPECT_THROW(cell_spec_from_json(bad), InputError);
}

// Two places: requests 0 and 1 run from 0 to 6 ms, the others after them.
TEST(Cell, GenerationGivesTimesOfRequests) {
  const CellResult result = run(generating_cell(2));
  EXPECT_EQ(result.status, CellStatus::ok) << result.reason;
  EXPECT_EQ(result.requests.size(), 4U);
  const nlohmann::json json = to_json(result);
  EXPECT_EQ(json.at("requests"), 4);
  EXPECT_EQ(json.at("output_tokens"), 20);
  EXPECT_DOUBLE_EQ(json.at("output_tokens_per_s"), 20 / 0.012);
  EXPECT_EQ(json.at("tokens").at("requested"), 4 * 13);
  EXPECT_DOUBLE_EQ(json.at("tokens_per_s"), 52 / 0.012);
  EXPECT_DOUBLE_EQ(json.at("time_to_first_token_ms"), 2);
  EXPECT_DOUBLE_EQ(json.at("ttft_ms").at("p99"), 8);
  EXPECT_DOUBLE_EQ(json.at("tpot_ms").at("p50"), 1);
  EXPECT_DOUBLE_EQ(json.at("queue_ms").at("p90"), 6);
  EXPECT_DOUBLE_EQ(json.at("latency_ms").at("p99"), 12);
  EXPECT_EQ(json.at("batches"), 12);
  EXPECT_TRUE(json.at("acc").is_null());
  EXPECT_TRUE(json.at("items").is_null());
  EXPECT_GT(json.at("devices").at(1).at("memory").at("planned_bytes"), 0);
}

TEST(Cell, TrafficOfRequestsIsPlannedWhereAllWaitFromTheBegin) {
  const auto links = [](const CellResult& result) { return to_json(result).at("devices").at(0).at("links").size(); };
  EXPECT_EQ(links(run(generating_cell(2))), 1U);
  EXPECT_EQ(links(run(generating_cell(2, "100"))), 0U);  // the fake engine reports none
}

TEST(Cell, TooLongRequestsAreRefusedOrLoudlyCut) {
  CellSpec spec = generating_cell(2);
  spec.max_tokens_per_sequence = 10;
  const CellResult refused = run(spec);
  EXPECT_EQ(refused.status, CellStatus::failed);
  EXPECT_THAT(refused.reason, HasSubstr("4 of 4 sequences are longer than the 10 tokens"));
  EXPECT_TRUE(to_json(refused).at("requests").is_null());
  spec.when_too_long = WhenTooLong::truncate;
  const CellResult cut = run(spec);
  EXPECT_EQ(cut.status, CellStatus::truncated);
  EXPECT_EQ(to_json(cut).at("tokens").at("truncated"), 4 * 3);
  EXPECT_TRUE(cut.requests.front().truncated);
  spec.max_tokens_per_sequence = 5;
  EXPECT_THROW(run(spec), InputError);  // no room for any prompt
}

TEST(Cell, TooLongIsRefusedOrLoudlyCut) {
  CellSpec spec = small_cell(4);
  spec.max_tokens_per_sequence = 6;
  const CellResult refused = run(spec);
  EXPECT_EQ(refused.status, CellStatus::failed);
  EXPECT_THAT(refused.reason, HasSubstr("12 of 12 sequences are longer than the 6 tokens"));
  EXPECT_TRUE(to_json(refused).at("seconds").is_null());
  EXPECT_TRUE(to_json(refused).at("acc").is_null());

  spec.when_too_long = WhenTooLong::truncate;
  const CellResult cut = run(spec);
  EXPECT_EQ(cut.status, CellStatus::truncated);
  EXPECT_GT(to_json(cut).at("tokens").at("truncated"), 0);
  EXPECT_TRUE(cut.items.front().truncated);
  EXPECT_EQ(exit_code(cut.status), ExitCode::ok);
}

TEST(Cell, OutOfMemorySaysWhatWasPlanned) {
  CellSpec spec = small_cell(4);
  spec.run.device_memory_bytes = 4000;
  const CellResult result = run(spec, {.out_of_memory = 4});
  EXPECT_EQ(result.status, CellStatus::out_of_memory);
  EXPECT_THAT(result.reason, HasSubstr("cpu:0 is out of memory"));
  const nlohmann::json json = to_json(result);
  ASSERT_EQ(json.at("devices").size(), 2u);
  EXPECT_EQ(json.at("devices").at(0).at("memory").at("capacity_bytes"), 4000);
  EXPECT_TRUE(json.at("devices").at(0).at("memory").at("peak_bytes").is_null());
  EXPECT_TRUE(json.at("tokens").at("computed").is_null());
}

TEST(Cell, FailuresAreResults) {
  const CellResult failed = run(small_cell(2), {.fail = 2});
  EXPECT_EQ(failed.status, CellStatus::failed);
  EXPECT_THAT(failed.reason, HasSubstr("the fake fails at batch 2"));
  const CellResult not_finite = run(small_cell(2), {.not_finite = 2});
  EXPECT_EQ(not_finite.status, CellStatus::failed);
  EXPECT_THAT(not_finite.reason, HasSubstr("log-likelihood"));
  EXPECT_FALSE(not_finite.scores);
}

TEST(Cell, RequestsSurviveTheirWayFromTheWorker) {
  const CellRecords sent = to_records(run(generating_cell(2)));
  const CellRecords got = cell_records_from_json(nlohmann::json::parse(to_json(sent).dump()));
  ASSERT_EQ(got.requests.size(), 4U);
  EXPECT_EQ(got.requests[3].id_json, "3");
  EXPECT_DOUBLE_EQ(got.requests[3].admitted_s, 0.006);
  EXPECT_DOUBLE_EQ(got.requests[3].first_token_s, 0.008);
  EXPECT_DOUBLE_EQ(got.requests[3].end_s, 0.012);
  EXPECT_EQ(got.requests[3].prompt_tokens, 8);
  EXPECT_EQ(got.requests[3].output_tokens, 5);
}

TEST(Cell, RecordsSurviveTheirWayFromTheWorker) {
  CellResult result = run(small_cell(4));
  result.run->ledger.push_back(
      {.rank = 1, .collective = "all_reduce", .algorithm = "ring", .phase = "mlp", .calls = 3});
  result.items.front().log_likelihoods.front() = -std::numeric_limits<double>::infinity();
  const CellRecords sent = to_records(result, {{.name = "score", .track = "t", .begin = {}, .end = Nanoseconds(5)}});
  const CellRecords got = cell_records_from_json(nlohmann::json::parse(to_json(sent).dump()));
  EXPECT_EQ(got.result.result_json, sent.result.result_json);
  ASSERT_EQ(got.items.size(), 3u);
  EXPECT_TRUE(std::isnan(got.items.front().log_likelihoods.front()));
  EXPECT_EQ(got.items.back().log_likelihoods, sent.items.back().log_likelihoods);
  EXPECT_EQ(got.ledger.front().calls, 3);
  EXPECT_EQ(got.phases.front().end, Nanoseconds(5));
  EXPECT_EQ(got.devices.size(), 2u);
}

}  // namespace
}  // namespace batchscope
