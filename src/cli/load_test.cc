// The program against its own mock server, in two processes: figures, file, report, faults, interruption.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/test_program.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::HasSubstr;
using testing::Not;

class MockProcess {
 public:
  MockProcess(const TestFolder& folder, const std::vector<std::string>& flags) : errors_(folder / "mock.txt") {
    std::vector<std::string> words{"mock-server", "--listen", "127.0.0.1:0"};
    words.insert(words.end(), flags.begin(), flags.end());
    pid_ = start_program(words, folder / "mock-output.txt", errors_);
    for (int i = 0; i < 2000 && url_.empty(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      const std::string said = std::filesystem::exists(errors_) ? read_file(errors_) : "";
      if (const auto at = said.find("http://"); at != std::string::npos && said.ends_with("\n"))
        url_ = said.substr(at, said.find('\n', at) - at);
    }
  }
  ~MockProcess() {
    if (pid_ > 0) end();
  }
  int end() {
    kill(pid_, SIGINT);
    return wait_for_program(std::exchange(pid_, 0));
  }
  const std::string& url() const { return url_; }

 private:
  std::filesystem::path errors_;
  std::string url_{};
  pid_t pid_ = 0;
};

TEST(Load, ReportsTheSameFromItsFile) {
  const TestFolder folder;
  MockProcess mock(folder, {"--ttft", "20ms", "--itl", "2ms"});
  const Ended run =
      run_program({"load", mock.url(), "--rate", "100", "--requests", "30", "--output-tokens", "5", "--slo", "ttft=10s",
                   "--client-check", "100ms", "--warm-up", "0", "-o", folder / "l.bscope"},
                  folder.path());
  EXPECT_EQ(run.code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("30 sent, 30 answered"));
  EXPECT_THAT(run.output, HasSubstr("adds ≤"));
  EXPECT_EQ(run_program({"report", folder / "l.bscope"}, folder.path()).output, run.output);
  const Ended page =
      run_program({"report", folder / "l.bscope", "--html", "-", "--figures", folder / "f"}, folder.path());
  EXPECT_EQ(page.code, 0) << page.errors;
  EXPECT_THAT(page.output, HasSubstr("Distribution of TTFT"));
  EXPECT_TRUE(std::filesystem::exists(folder / "f" / "under_way.svg"));
  const auto json = nlohmann::json::parse(run_program({"report", folder / "l.bscope", "--json"}, folder.path()).output);
  EXPECT_EQ(json["outcomes"]["ok"], 30);
  EXPECT_EQ(json["output_tokens"], 150);
  EXPECT_EQ(json["prompt_tokens"], 30 * 128);
  EXPECT_GE(json["metrics"]["ttft"]["min_ms"], 20.0);
  EXPECT_EQ(json["goodput"]["met"], 30);
  const auto exported = [&](const char* format) {
    return run_program({"export", folder / "l.bscope", "--format", format}, folder.path());
  };
  EXPECT_EQ(nlohmann::json::parse(exported("vllm").output)["completed"], 30);
  EXPECT_NEAR(
      nlohmann::json::parse(
          exported("guidellm").output)["benchmarks"][0]["metrics"]["time_to_first_token_ms"]["successful"]["mean"]
          .get<double>(),
      json["metrics"]["ttft"]["mean_ms"].get<double>(), 1e-6);
  EXPECT_THAT(exported("aiperf").output, HasSubstr("\"benchmark_phase\":\"profiling\""));
  EXPECT_EQ(run_program({"export", folder / "l.bscope", "--format", "aiperf", "-o", folder / "a"}, folder.path()).code,
            0);
  EXPECT_TRUE(std::filesystem::exists(folder / "a" / "profile_export_aiperf.csv"));
  EXPECT_EQ(mock.end(), 0);
}

TEST(Load, FailuresAreCountedByName) {
  const TestFolder folder;
  std::ofstream(folder / "s.json") << R"({"ttft": "1ms", "itl": "0s", "faults": [
    {"fault": "status", "every": 5, "status": 500}, {"fault": "stall", "every": 5, "first": 1}]})";
  const MockProcess mock(folder, {"--scenario", folder / "s.json"});
  const Ended run =
      run_program({"load", mock.url(), "--api", "chat", "--concurrency", "4", "--requests", "20", "--stall-timeout",
                   "300ms", "--client-check", "0s", "--json", folder / "l.json", "--warm-up", "0"},
                  folder.path());
  EXPECT_EQ(run.code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("4 http_500"));
  EXPECT_THAT(run.output, HasSubstr("4 stalled"));
  EXPECT_EQ(nlohmann::json::parse(read_file(folder / "l.json"))["outcomes"]["ok"], 12);
}

TEST(Load, ATooLargeVocabularyIsHintedAt) {
  const TestFolder folder;
  std::ofstream(folder / "s.json") << R"({"faults": [{"fault": "status", "every": 1, "status": 400}]})";
  const MockProcess mock(folder, {"--scenario", folder / "s.json"});
  const auto complaint = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"load", mock.url(), "--requests", "2", "--client-check", "0s"});
    const Ended run = run_program(more, folder.path());
    EXPECT_EQ(run.code, 4);
    return run.errors;
  };
  EXPECT_THAT(complaint({}), HasSubstr("--vocabulary"));
  EXPECT_THAT(complaint({"--prompts", "text"}), Not(HasSubstr("--vocabulary")));
}

TEST(Load, WithoutAServerItSaysSo) {
  const TestFolder folder;
  const auto run = [&](std::vector<std::string> words) { return run_program(words, folder.path()); };
  const Ended nobody = run({"load", "http://127.0.0.1:1/v1", "-o", folder / "l.bscope"});
  EXPECT_EQ(nobody.code, 2);
  EXPECT_THAT(nobody.errors, HasSubstr("is the server running"));
  EXPECT_FALSE(std::filesystem::exists(folder / "l.bscope"));
  EXPECT_EQ(run({"load", "http://127.0.0.1:1/v1", "--model", "m", "--requests", "2", "--client-check", "0s"}).code, 4);
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{},
                                             {"ftp://x"},
                                             {"http://x/v1", "--burstiness", "2"},
                                             {"http://x/v1", "--think", "1s"},
                                             {"http://x/v1", "--slo", "x=1s"},
                                             {"http://x/v1", "--extra", "[]"},
                                             {"http://x/v1", "--api", "chat", "--prompts", "ids"},
                                             {"http://x/v1", "--trace", "no-such-file"},
                                             {"http://x/v1", "--rate", "0"}}) {
    std::vector<std::string> words{"load"};
    words.insert(words.end(), wrong.begin(), wrong.end());
    const Ended ended = run(words);
    EXPECT_EQ(ended.code, 2) << testing::PrintToString(wrong);
    EXPECT_THAT(ended.errors, Not(HasSubstr("unexpected"))) << testing::PrintToString(wrong);
  }
}

TEST(Load, InterruptedRunsKeepWhatWasAnswered) {
  const TestFolder folder;
  const MockProcess mock(folder, {"--ttft", "1ms", "--itl", "0s"});
  const pid_t pid = start_program({"load", mock.url(), "--rate", "50", "--requests", "100000", "--output-tokens", "1",
                                   "--client-check", "0s", "-o", folder / "l.bscope"},
                                  folder / "output.txt", folder / "errors.txt");
  std::this_thread::sleep_for(std::chrono::seconds(2));
  kill(pid, SIGINT);
  EXPECT_EQ(wait_for_program(pid), 130);
  EXPECT_THAT(run_program({"report", folder / "l.bscope"}, folder.path()).output, HasSubstr("answered"));
}

TEST(Load, TracesAreReplayedFaster) {
  const TestFolder folder;
  const MockProcess mock(folder, {"--ttft", "1ms", "--itl", "0s"});
  std::ofstream trace(folder / "azure.csv");
  trace << "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  for (int i = 0; i < 20; ++i) trace << "2023-11-16 18:15:" << 10 + i << ".0000000," << 10 + i << ",3\n";
  trace.close();
  const Ended run = run_program({"load", mock.url(), "--trace", folder / "azure.csv", "--trace-speed", "20",
                                 "--client-check", "0s", "--json", "--warm-up", "0"},
                                folder.path());
  EXPECT_EQ(run.code, 0) << run.errors;
  const auto json = nlohmann::json::parse(run.output);
  EXPECT_NEAR(json["offered_per_s"].get<double>(), 20, 0.1);
  EXPECT_EQ(json["output_tokens"], 60);
}

}  // namespace
}  // namespace batchscope
