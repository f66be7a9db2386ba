// Other load generators' figures out of our records: each with its own start, its own chunks and its own quantiles.
#include "report/export/peer_formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace batchscope {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

// Started at `start`, sent 2 ms later; a chunk with its role, chunks of one token, one that ends it.
LoadRequestRecord request(int position, int start, std::vector<int> tokens, int end) {
  LoadRequestRecord made{.position = position,
                         .id_json = "0",
                         .outcome = "ok",
                         .status = 200,
                         .intended = milliseconds(start - 1),
                         .due = milliseconds(start),
                         .started = milliseconds(start),
                         .sent = milliseconds(start + 2),
                         .first_byte = milliseconds(start + 5),
                         .end = milliseconds(end + 3),
                         .asked_output_tokens = std::ssize(tokens),
                         .prompt_tokens = 7,
                         .output_tokens = std::ssize(tokens),
                         .finish_reason = "length"};
  made.chunks.push_back({.at = milliseconds(start + 5), .tokens = 0});
  for (const int at : tokens) made.chunks.push_back({.at = milliseconds(at), .tokens = 1});
  made.chunks.push_back({.at = milliseconds(end), .tokens = 0});
  return made;
}

LoadReport report_of(json spec, std::vector<LoadRequestRecord> requests) {
  spec["warm_up"] = 1U;
  spec["url"] = "http://127.0.0.1:8000";
  spec["model"] = "mock";
  LoadRunRecord run{.id = 1, .spec_json = spec.dump(), .begin = seconds(5), .begin_unix = seconds(1'700'000'000)};
  return make_load_report(run, std::move(requests));
}

LoadReport three_requests() {
  auto failed = request(3, 400, {}, 0);
  failed.outcome = "http_503";
  failed.detail = "too many";
  failed.status = 503;
  failed.chunks.clear();
  failed.output_tokens.reset();
  failed.end = milliseconds(450);
  return report_of({{"api", "completions"},
                    {"rate", "10"},
                    {"burstiness", "1"},
                    {"prompt_tokens", "7"},
                    {"output_tokens", "3"},
                    {"concurrency", 4}},
                   {request(0, 0, {900, 950, 990}, 990), request(1, 100, {152, 172, 202}, 203),
                    request(2, 300, {372, 392}, 392), failed});
}

TEST(PeerFormats, VllmCountsChunksWithoutTokensAndStartsBeforeTheConnection) {
  const json out = to_vllm_json(three_requests());
  EXPECT_EQ(out["num_prompts"], 3);
  EXPECT_EQ(out["completed"], 2);
  EXPECT_EQ(out["failed"], 1);
  EXPECT_EQ(out["request_rate"], 10.0);
  EXPECT_EQ(out["date"], "20231114-221320");
  EXPECT_EQ(out["total_input_tokens"], 14);
  EXPECT_EQ(out["output_lens"], json({3, 2, 0}));
  EXPECT_NEAR(out["ttfts"][0].get<double>(), 0.005, 1e-9);
  EXPECT_EQ(out["itls"][0].size(), 4U);
  EXPECT_NEAR(out["itls"][0][0].get<double>(), 0.047, 1e-9);
  EXPECT_NEAR(out["latencies"][0].get<double>(), 0.103, 1e-9);
  EXPECT_NEAR(out["start_times"][0].get<double>(), 5.1, 1e-9);
  EXPECT_NEAR(out["queue_times"][0].get<double>(), 0.001, 1e-9);
  EXPECT_EQ(out["errors"], json({"", "", "http_503: too many"}));
  EXPECT_NEAR(out["mean_tpot_ms"].get<double>(), (98.0 / 2 + 87.0) / 2, 1e-6);
  EXPECT_NEAR(out["std_e2el_ms"].get<double>(), 5.5, 1e-6);
  EXPECT_NEAR(out["p99_e2el_ms"].get<double>(), 92 + 0.99 * 11, 1e-6);
  EXPECT_EQ(out["max_output_tokens_per_s"], 9);
  EXPECT_EQ(out["max_concurrent_requests"], 1);
  EXPECT_NEAR(out["mean_e2el_including_client_queue_ms"].get<double>(), 98.5, 1e-6);
}

TEST(PeerFormats, GuidellmStartsWithTheFirstByteAndCountsTheFirstToken) {
  const LoadReport report = three_requests();
  const json out = to_guidellm_json(std::span(&report, 1));
  const json& benchmark = out["benchmarks"][0];
  EXPECT_EQ(out["metadata"]["version"], 2);
  EXPECT_EQ(out["config"]["spec"]["profile"], json({{"kind", "poisson"}, {"rate", {10.0}}, {"max_concurrency", 4}}));
  EXPECT_EQ(benchmark["requests"]["successful"].size(), 2U);
  EXPECT_THAT(benchmark["requests"]["errored"][0]["info"]["error"].get<std::string>(), HasSubstr("too many"));
  const json& timings = benchmark["requests"]["successful"][0]["info"]["timings"];
  EXPECT_NEAR(timings["request_start"].get<double>(), 1'700'000'000.102, 1e-6);
  EXPECT_NEAR(timings["first_token_iteration"].get<double>(), 1'700'000'000.152, 1e-6);
  EXPECT_EQ(timings["token_iterations"], 3);
  EXPECT_EQ(timings["request_iterations"], 5);
  const auto of = [&](const char* metric, const char* figure) {
    return benchmark["metrics"][metric]["successful"][figure].get<double>();
  };
  EXPECT_NEAR(of("time_to_first_token_ms", "mean"), 60, 1e-6);
  EXPECT_NEAR(of("time_to_first_token_ms", "median"), 50, 1e-6);  // a value that occurs, not one between two
  // 100 ms of three tokens, 90 ms of two, weighted by tokens.
  EXPECT_NEAR(of("time_per_output_token_ms", "mean"), (100 + 90) / 5.0, 1e-4);
  EXPECT_EQ(of("time_per_output_token_ms", "count"), 5);
  EXPECT_NEAR(of("inter_token_latency_ms", "mean"), (50 + 20) / 3.0, 1e-4);
  EXPECT_EQ(benchmark["metrics"]["request_totals"]["errored"], 1);
  EXPECT_EQ(of("requests_per_second", "count"), 2);
  // 104 and 93 ms of the 348 between the first byte sent and the last answer.
  EXPECT_NEAR(of("request_concurrency", "mean"), 197 / 348.0, 1e-6);
  EXPECT_NEAR(of("request_dispatch_delay", "mean"), 0.003, 1e-9);
}

TEST(PeerFormats, GuidellmLeavesUnknownTokensOut) {
  auto unknown = request(1, 100, {152, 172}, 172);
  unknown.output_tokens.reset();
  const LoadReport report = report_of({{"concurrency", 2}}, {request(0, 0, {9}, 9), unknown});
  const json out = to_guidellm_json(std::span(&report, 1));
  const json& metrics = out["benchmarks"][0]["metrics"];
  EXPECT_EQ(metrics["output_token_count"]["total"]["count"], 0);
  EXPECT_EQ(metrics["time_per_output_token_ms"]["total"]["count"], 0);
  EXPECT_EQ(metrics["time_to_first_token_ms"]["total"]["count"], 1);
  EXPECT_FALSE(metrics.contains("request_dispatch_delay"));  // of a schedule only
  EXPECT_EQ(out["benchmarks"][0]["config"]["strategy"], json({{"type_", "concurrent"}, {"streams", 2}}));
}

TEST(PeerFormats, AiperfRecordsHaveWallClockTimesAndWarmUpApart) {
  const AiperfFiles files = to_aiperf_files(three_requests());
  std::istringstream lines(files.records);
  std::vector<json> records;
  for (std::string line; std::getline(lines, line);) records.push_back(json::parse(line));
  ASSERT_EQ(records.size(), 4U);
  EXPECT_EQ(records[0]["metadata"]["benchmark_phase"], "warmup");
  EXPECT_EQ(records[1]["metadata"]["benchmark_phase"], "profiling");
  EXPECT_EQ(records[1]["metadata"]["request_start_ns"], 1'700'000'000'100'000'000);
  const json& metrics = records[1]["metrics"];
  EXPECT_NEAR(metrics["time_to_first_token"]["value"].get<double>(), 52, 1e-6);
  EXPECT_NEAR(metrics["request_latency"]["value"].get<double>(), 102, 1e-6);
  EXPECT_NEAR(metrics["inter_token_latency"]["value"].get<double>(), 25, 1e-6);
  EXPECT_EQ(metrics["inter_chunk_latency"]["value"].size(), 2U);
  EXPECT_EQ(records[3]["error"]["code"], 503);
  const json summary = json::parse(files.summary_json);
  EXPECT_EQ(summary["request_count"]["avg"], 2.0);
  EXPECT_EQ(summary["time_to_first_token"]["count"], 2);
  EXPECT_NEAR(summary["benchmark_duration"]["avg"].get<double>(), 0.292, 1e-9);  // to the last token
  EXPECT_EQ(summary["error_summary"][0]["count"], 1);
  EXPECT_THAT(files.summary_csv, StartsWith("Metric,avg,min,max,sum,p1,"));
  EXPECT_THAT(files.summary_csv, HasSubstr("\r\nTime to First Token (ms),62.00,52.00,72.00,124.00,"));
  EXPECT_THAT(files.summary_csv, HasSubstr("\r\n\r\nMetric,Value\r\n"));
}

TEST(PeerFormats, AiperfDividesByTokensAfterTheFirstChunk) {
  auto bundled = request(1, 0, {100, 130}, 130);
  bundled.chunks[1].tokens = 4;
  bundled.output_tokens = 5;
  const AiperfFiles files = to_aiperf_files(report_of({}, {request(0, 0, {9}, 9), bundled}));
  EXPECT_NEAR(json::parse(files.summary_json)["inter_token_latency"]["avg"].get<double>(), 30, 1e-6);
}

TEST(PeerFormats, NothingAnsweredIsStillAReport) {
  auto failed = request(0, 0, {}, 10);
  failed.outcome = "reset";
  failed.chunks.clear();
  LoadReport report = report_of({}, {failed, failed});
  EXPECT_EQ(to_vllm_json(report)["completed"], 0);
  EXPECT_FALSE(to_vllm_json(report).contains("mean_ttft_ms"));
  EXPECT_EQ(to_guidellm_json(std::span(&report, 1))["benchmarks"][0]["requests"]["errored"].size(), 1U);
  EXPECT_EQ(json::parse(to_aiperf_files(report).summary_json)["error_request_count"]["avg"], 1.0);
}

}  // namespace
}  // namespace batchscope
