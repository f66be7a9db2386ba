// `generate` as a user meets it: text that comes by and by, several prompts, draws, JSON, bad input, Ctrl-C.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/generated_text.h"
#include "cli/test_program.h"
#include "model/model.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

class GenerateVerb : public testing::Test {
 protected:
  Ended run(std::vector<std::string> arguments, const std::function<void()>& before = {}) const {
    arguments.insert(arguments.begin(), "generate");
    return run_program(arguments, folder_.path(), before);
  }
  json run_json(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--json", "-"});
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 0) << ended.errors;
    return json::parse(ended.output);
  }

  const std::string kite_ = "Ana has a red kite.";
  TestFolder folder_;
};

TEST_F(GenerateVerb, PiecesOfOnePromptAreTheWholeText) {
  for (const char* temperature : {"0", "1.5"}) {
    const std::vector<std::string> arguments{"--prompt", kite_, "--new-tokens", "30", "--temperature", temperature};
    const json result = run_json(arguments);
    const Ended text = run(arguments);
    EXPECT_EQ(text.code, 0) << text.errors;
    EXPECT_EQ(text.output, result["sequences"][0]["text"].get<std::string>() + "\n");
    EXPECT_THAT(text.output, StartsWith(kite_));
  }
}

TEST_F(GenerateVerb, SeveralPromptsComeInTheirOrder) {
  const std::vector<std::string> arguments{"--prompt", kite_, "--prompt", "Tom", "--new-tokens", "5", "--batch", "2"};
  const json sequences = run_json(arguments)["sequences"];
  EXPECT_EQ(run(arguments).output, "==> prompt 1 of 2 <==\n" + sequences[0]["text"].get<std::string>() +
                                       "\n\n==> prompt 2 of 2 <==\n" + sequences[1]["text"].get<std::string>() + "\n");
  auto ids = arguments;
  ids.push_back("--ids");
  EXPECT_EQ(run(ids).output, sequences[0]["tokens"].dump() + "\n" + sequences[1]["tokens"].dump() + "\n");
}

TEST_F(GenerateVerb, DrawsFollowTheSeedInEveryLayout) {
  const auto tokens = [&](const std::string& seed, const std::string& layout) {
    return run_json({"--prompt", kite_, "--new-tokens", "20", "--temperature", "1.2", "--top-p", "0.95",
                     "--sampling-seed", seed, "--parallel", layout})["sequences"][0]["tokens"];
  };
  const json one = tokens("1", "tp1");
  EXPECT_EQ(tokens("1", "tp2"), one);
  EXPECT_EQ(tokens("1", "mp2"), one);
  EXPECT_NE(tokens("2", "tp1"), one);
}

TEST_F(GenerateVerb, ReadsAPromptFromStandardInput) {
  std::ofstream(folder_ / "prompt.txt") << kite_ << "\n";
  const auto from_file = [&] { dup2(open((folder_ / "prompt.txt").c_str(), O_RDONLY), STDIN_FILENO); };
  const Ended read = run({"--prompt", "-", "--new-tokens", "8"}, from_file);
  EXPECT_EQ(read.output, run({"--prompt", kite_, "--new-tokens", "8"}).output);
  EXPECT_THAT(run({"--prompt", "-", "--prompt", "-"}, from_file).errors, HasSubstr("read only once"));
}

TEST_F(GenerateVerb, TellsTimesOfEachSequence) {
  const json result = run_json({"--prompt", kite_, "--new-tokens", "1"});
  const json& sequence = result["sequences"][0];
  EXPECT_GT(sequence["time_to_first_token_ms"].get<double>(), 0);
  EXPECT_EQ(sequence["time_per_output_token_ms"], json());
  EXPECT_EQ(result["time_per_output_token_ms"], json());
  const json longer = run_json({"--prompt", kite_, "--prompt", kite_, "--new-tokens", "4"});
  EXPECT_GT(longer["sequences"][1]["time_per_output_token_ms"].get<double>(), 0);
  EXPECT_EQ(longer["steps"], 8);
  const json& memory = longer["devices"][0]["memory"];
  EXPECT_EQ(memory["planned_bytes"], memory["peak_bytes"]);
}

TEST_F(GenerateVerb, StopsAtEosUnlessToldToIgnoreIt) {
  json config{{"architectures", {"LlamaForCausalLM"}},
              {"hidden_size", 64},
              {"intermediate_size", 96},
              {"num_hidden_layers", 2},
              {"num_attention_heads", 4},
              {"vocab_size", 512},
              {"max_position_embeddings", 128}};
  for (int token = 0; token < 512; ++token) config["eos_token_id"].push_back(token);
  std::ofstream(folder_ / "config.json") << config;
  const std::vector<std::string> arguments{"--random-weights", folder_ / "config.json", "--new-tokens", "6"};
  EXPECT_EQ(run_json(arguments)["generated_tokens"], 1);
  auto ignoring = arguments;
  ignoring.push_back("--ignore-eos");
  EXPECT_EQ(run_json(ignoring)["generated_tokens"], 6);
}

TEST_F(GenerateVerb, BadInputIsOneLineAndCode2) {
  const std::vector<std::vector<std::string>> bad{{"--temperature", "-0.1"}, {"--temperature", "nan"},
                                                  {"--top-p", "0"},          {"--top-p", "1.5"},
                                                  {"--sampling-seed", "x"},  {"--new-tokens", "0"}};
  for (const auto& arguments : bad) {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 2) << ended.errors;
    EXPECT_THAT(ended.errors, HasSubstr(arguments[0]));
    EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
  }
}

// Links so slow that a token takes a while: the text grows, and what was printed stays.
TEST_F(GenerateVerb, TextComesByAndByUntilCtrlC) {
  const auto output = folder_ / "output.txt";
  const pid_t running = start_program(
      {"generate", "--prompt", kite_, "--new-tokens", "200", "--ignore-eos", "--parallel", "tp2", "--link", "200KB/s"},
      output, folder_ / "errors.txt");
  std::string text;
  for (int tries = 0; tries < 3000 && text.size() < kite_.size() + 5; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (std::filesystem::exists(output)) text = read_file(output);
  }
  EXPECT_EQ(waitpid(running, nullptr, WNOHANG), 0);
  kill(running, SIGINT);
  EXPECT_EQ(wait_for_program(running), 130);
  EXPECT_THAT(text, StartsWith(kite_));
  EXPECT_THAT(read_file(output), StartsWith(text));
}

// What cannot begin prints nothing.
TEST_F(GenerateVerb, OutOfMemoryLeavesStandardOutputEmpty) {
  const Ended ended = run({"--prompt", kite_, "--device-memory", "1500KB"});
  EXPECT_EQ(ended.code, 3);
  EXPECT_EQ(ended.output, "");
}

// A reader that goes away ends it, with no complaint.
TEST_F(GenerateVerb, EndsWhenNobodyReads) {
  const Ended ended = run({"--prompt", kite_, "--new-tokens", "100"}, [] {
    int ends[2];
    if (pipe(ends) != 0) _exit(125);
    close(ends[0]);
    dup2(ends[1], STDOUT_FILENO);
  });
  EXPECT_EQ(ended.code, 0);
  EXPECT_EQ(ended.errors, "");
}

// Replicas finish in any order.
TEST(GeneratedText, WaitsForTheTextsBefore) {
  const auto tokenizer = open_tokenizer(embedded_file("models/tiny"));
  std::vector<GenerateRequest> requests(3);
  for (auto& request : requests) request = {.prompt = tokenizer->encode("Tom"), .new_tokens = 2};
  cli::GeneratedText text(requests, {}, *tokenizer, cli::TextForm::ids);
  const auto line = [&](std::vector<std::int32_t> generated) {
    return json(cli::whole_sequence(requests[0].prompt, generated)).dump() + "\n";
  };
  EXPECT_EQ(text.add(1, 300), "");
  EXPECT_EQ(text.add(1, 301), "");
  EXPECT_EQ(text.add(0, 302), "");
  EXPECT_EQ(text.add(2, 303), "");
  EXPECT_EQ(text.add(0, 304), line({302, 304}) + line({300, 301}));
  EXPECT_EQ(text.add(2, 305), line({303, 305}));
}

}  // namespace
}  // namespace batchscope
