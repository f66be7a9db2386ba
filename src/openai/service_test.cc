// The service without an engine: what clients are told as steps come, and what becomes of those who go.
#include "openai/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/model.h"

namespace batchscope::openai {
namespace {

using nlohmann::json;
using testing::HasSubstr;

struct Client : http::Reply {
  std::optional<http::Page> page{};
  std::string stream{};
  bool has_begun = false, has_ended = false;
  std::function<void()> gone{};

  void send(http::Page answer) override { page = std::move(answer); }
  void begin(std::string_view) override { has_begun = true; }
  void write(std::string_view piece) override { stream += piece; }
  void end() override { has_ended = true; }
  void when_gone(std::function<void()> told) override { gone = std::move(told); }

  json answer() const { return json::parse(*page->body); }
  // The events of the stream, without the last.
  std::vector<json> events() const {
    std::vector<json> all;
    std::string_view rest = stream;
    while (rest.starts_with("data: {")) {
      const auto end = rest.find("\n\n");
      all.push_back(json::parse(rest.substr(6, end - 6)));
      rest.remove_prefix(end + 2);
    }
    EXPECT_EQ(rest, has_ended ? last_event : "");
    return all;
  }
};

class ServiceTest : public testing::Test {
 protected:
  ServiceTest() { service_.set_ready(); }

  http::Request request(const std::string& path, const std::string& body) {
    return {.method = body.empty() ? "GET" : "POST",
            .target = path,
            .headers = {{"Content-Type", "application/json"}},
            .body = body};
  }
  std::shared_ptr<Client> ask(const std::string& body, const std::string& path = "/v1/completions") {
    auto client = std::make_shared<Client>();
    if (auto page = service_.answer(request(path, body), client)) client->page = std::move(page);
    return client;
  }
  RequestSource::Taken taken() { return requests_.take(0, 4, true); }
  void tell(std::size_t number, std::int32_t token) { service_.take({{.number = number, .token = {.token = token}}}); }
  std::string metrics() { return *service_.answer(request("/metrics", ""), nullptr)->body; }

  const ModelConfig config_ = read_config({});
  const std::unique_ptr<Tokenizer> tokenizer_ = open_tokenizer({}, config_);
  const ChatFormat chat_{{.source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}bot:"}};
  LiveRequests requests_{{.queue = 3, .prompt_tokens = 100}};
  ManualClock clock_;
  Service service_{{.name = "tiny",
                    .config = config_,
                    .tokenizer = *tokenizer_,
                    .chat = &chat_,
                    .sequence_tokens = 64,
                    .slots = 4,
                    .version = "1"},
                   requests_,
                   clock_};
};

TEST_F(ServiceTest, AnAnswerGrowsByTokensAndEndsByItsLength) {
  const auto client = ask(R"({"model": "tiny", "prompt": "Ana has", "max_tokens": 3, "seed": 5, "temperature": 0.5})");
  ASSERT_FALSE(client->page);
  const auto asked = taken().admitted;
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].request.prompt, tokenizer_->encode("Ana has"));
  EXPECT_EQ(asked[0].request.sampling, (Sampling{.temperature = 0.5, .seed = 5}));
  const auto tokens = tokenizer_->encode("Ana has a red kite");
  for (std::size_t i = 0; i < 3; ++i) tell(asked[0].number, tokens[asked[0].request.prompt.size() + i]);
  ASSERT_TRUE(client->page);
  const json answer = client->answer();
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_THAT("Ana has a red kite", HasSubstr(answer["choices"][0]["text"].get<std::string>()));
  EXPECT_EQ(answer["usage"]["completion_tokens"], 3);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], asked[0].request.prompt.size());
  EXPECT_TRUE(service_.is_idle());
}

TEST_F(ServiceTest, AStreamHasAChunkForEachTokenAndUsageWhereItIsWanted) {
  const auto client = ask(
      R"({"prompt": [5, 6], "max_tokens": 2, "stream": true, "stream_options": {"include_usage": true},
          "return_token_ids": true})");
  const auto asked = taken().admitted;
  EXPECT_TRUE(client->has_begun);
  tell(asked[0].number, 20);
  EXPECT_FALSE(client->has_ended);
  tell(asked[0].number, 21);
  const auto events = client->events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0]["choices"][0]["token_ids"], json({20}));
  EXPECT_EQ(events[0]["choices"][0]["prompt_token_ids"], json({5, 6}));
  EXPECT_TRUE(events[0]["usage"].is_null());
  EXPECT_EQ(events[1]["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(events[2]["choices"].empty());
  EXPECT_EQ(events[2]["usage"]["total_tokens"], 4);
}

TEST_F(ServiceTest, AChatIsMadeTextAndItsRoleComesFirst) {
  const auto client = ask(R"({"messages": [{"role": "user", "content": "hi"}], "stream": true, "max_tokens": 1})",
                          "/v1/chat/completions");
  const auto asked = taken().admitted;
  EXPECT_EQ(asked[0].request.prompt, encode_without_added(*tokenizer_, "user: hi\nbot:"));
  tell(asked[0].number, 20);
  const auto events = client->events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["choices"][0]["delta"], json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(events[0]["object"], "chat.completion.chunk");
  EXPECT_FALSE(events[1]["choices"][0]["delta"].contains("role"));
}

// As lm-evaluation-harness asks, and reads: token_logprobs[len(context):-1], and the largest of each top_logprobs.
TEST_F(ServiceTest, EchoedLogProbabilitiesBeginWithNull) {
  const auto client =
      ask(R"({"prompt": [5, 6, 7], "max_tokens": 1, "logprobs": 1, "echo": true, "temperature": 0, "seed": 1234})");
  const auto asked = taken().admitted;
  EXPECT_TRUE(asked[0].request.prompt_log_probabilities);
  service_.take({{.number = asked[0].number,
                  .token = {.token = 9, .own = -0.5, .top_token = 9, .top = -0.5},
                  .prompt = {{.token = 5},
                             {.token = 6, .own = -3.0, .top_token = 30, .top = -1.0},
                             {.token = 7, .own = -2.0, .top_token = 7, .top = -2.0}}}});
  const json found = client->answer()["choices"][0]["logprobs"];
  EXPECT_EQ(found["token_logprobs"], json({nullptr, -3.0, -2.0, -0.5}));
  EXPECT_TRUE(found["top_logprobs"][0].is_null());
  EXPECT_EQ(found["top_logprobs"][1].size(), 2u);
  EXPECT_EQ(found["top_logprobs"][2].size(), 1u);
  EXPECT_EQ(found["tokens"].size(), 4u);
  EXPECT_EQ(found["text_offset"][0], 0);
}

TEST_F(ServiceTest, ScoringAloneGeneratesNothing) {
  const auto client = ask(R"({"prompt": [5, 6], "max_tokens": 0, "logprobs": 1, "echo": true})");
  const auto asked = taken().admitted;
  EXPECT_EQ(asked[0].request.new_tokens, 1);
  service_.take({{.number = asked[0].number,
                  .token = {.token = 9, .own = -0.5},
                  .prompt = {{.token = 5}, {.token = 6, .own = -3.0}}}});
  const json answer = client->answer();
  EXPECT_EQ(answer["choices"][0]["logprobs"]["token_logprobs"].size(), 2u);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 0);
}

TEST_F(ServiceTest, AStopTextEndsTheAnswerAndFreesItsSlot) {
  const auto tokens = tokenizer_->encode("Ana has a red kite. Ben has a dog.");
  const auto client = ask(R"({"prompt": "Ana", "max_tokens": 40, "stop": ["red k", "nothing"]})");
  const auto asked = taken().admitted;
  for (std::size_t i = asked[0].request.prompt.size(); i < tokens.size() && !client->page; ++i)
    tell(asked[0].number, tokens[i]);
  ASSERT_TRUE(client->page);
  const json choice = client->answer()["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_THAT(choice["text"].get<std::string>(), testing::EndsWith("has a "));
  EXPECT_EQ(taken().cancelled, std::vector<std::size_t>{asked[0].number});
}

TEST_F(ServiceTest, TheEndOfSequenceIsNoText) {
  const auto client = ask(R"({"prompt": [5], "max_tokens": 5})");
  const auto asked = taken().admitted;
  tell(asked[0].number, 20);
  tell(asked[0].number, config_.eos_tokens.front());
  const json answer = client->answer();
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 2);
}

TEST_F(ServiceTest, SeveralAnswersShareOneSeedAndDifferInTheirSequence) {
  const auto client = ask(R"({"prompt": [[5], [6, 7]], "n": 1, "max_tokens": 1, "seed": 3})");
  const auto two = ask(R"({"prompt": [5], "n": 1, "max_tokens": 1})");
  const auto asked = taken().admitted;
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_EQ(asked[0].request.sampling.sequence, asked[1].request.sampling.sequence);
  for (const auto& one : asked) tell(one.number, 20);
  EXPECT_EQ(client->answer()["choices"].size(), 2u);
  EXPECT_EQ(client->answer()["usage"]["prompt_tokens"], 3);
  ASSERT_TRUE(two->page);
}

TEST_F(ServiceTest, WhoGoesIsFreedAtOnce) {
  const auto waits = ask(R"({"prompt": [5]})"), runs = ask(R"({"prompt": [6]})");
  const auto asked = requests_.take(0, 1, true).admitted;
  runs->gone();  // it waits yet
  EXPECT_EQ(requests_.waiting(), 0u);
  waits->gone();
  EXPECT_EQ(taken().cancelled, std::vector<std::size_t>{asked[0].number});
  EXPECT_TRUE(service_.is_idle());
  tell(asked[0].number, 20);  // a step that was underway
  EXPECT_THAT(metrics(), HasSubstr("batchscope_requests_finished_total{reason=\"client_gone\"} 2"));
}

TEST_F(ServiceTest, AFullQueueRefusesWithTheTimeToTryAgain) {
  const auto first = ask(R"({"prompt": [[5], [6], [7]]})");
  const auto second = ask(R"({"prompt": [5]})");
  ASSERT_TRUE(second->page);
  EXPECT_EQ(second->page->status, 429);
  EXPECT_TRUE(second->page->headers.find("Retry-After"));
  EXPECT_EQ(second->answer()["error"]["code"], "queue_full");
  EXPECT_FALSE(first->page);
}

TEST_F(ServiceTest, WhatCannotBeServedIsSaidSo) {
  const auto status = [&](const std::string& body, const std::string& path = "/v1/completions") {
    return ask(body, path)->page->status;
  };
  EXPECT_EQ(status(R"({"model": "other", "prompt": "a"})"), 404);
  EXPECT_EQ(status(R"({"prompt": [999999]})"), 400);
  EXPECT_EQ(status(R"({"prompt": [5], "max_tokens": 64})"), 400);
  EXPECT_EQ(status("{"), 400);
  EXPECT_EQ(status("", "/nowhere"), 404);
  EXPECT_EQ(status("", "/v1/completions"), 405);
  EXPECT_EQ(status("{}", "/v1/models"), 405);
  http::Request plain = request("/v1/completions", "{}");
  plain.headers = {{"Content-Type", "text/plain"}};
  EXPECT_EQ(service_.answer(plain, nullptr)->status, 415);
  EXPECT_TRUE(service_.is_idle());
}

TEST_F(ServiceTest, LogitsThatAreNoNumbersFailTheirRequestAlone) {
  const auto bad = ask(R"({"prompt": [5], "max_tokens": 2})"), good = ask(R"({"prompt": [6], "max_tokens": 1})");
  const auto asked = taken().admitted;
  service_.take({{.number = asked[0].number, .token = {.token = -1}, .is_failed = true},
                 {.number = asked[1].number, .token = {.token = 20}}});
  EXPECT_EQ(bad->page->status, 500);
  EXPECT_EQ(good->page->status, 200);
}

TEST_F(ServiceTest, TheEndIsToldToEveryone) {
  const auto whole = ask(R"({"prompt": [5]})"), stream = ask(R"({"prompt": [6], "stream": true})");
  service_.end();
  EXPECT_EQ(whole->page->status, 503);
  EXPECT_THAT(stream->stream, HasSubstr("the server is ending"));
  EXPECT_TRUE(stream->has_ended && service_.is_idle());
  EXPECT_EQ(ask(R"({"prompt": [5]})")->page->status, 503);
  EXPECT_TRUE(taken().has_ended);
}

TEST_F(ServiceTest, PagesTellOfTheModelAndItsTokens) {
  EXPECT_EQ(json::parse(*service_.answer(request("/v1/models", ""), nullptr)->body)["data"][0]["id"], "tiny");
  EXPECT_EQ(service_.answer(request("/health", ""), nullptr)->status, 200);
  const json tokens = ask(R"({"prompt": "Ana has"})", "/tokenize")->answer()["tokens"];
  EXPECT_EQ(tokens, json(tokenizer_->encode("Ana has")));
  EXPECT_EQ(ask(json{{"tokens", tokens}}.dump(), "/detokenize")->answer()["prompt"], "Ana has");
  clock_.advance(std::chrono::milliseconds(7));
  const auto client = ask(R"({"prompt": [5], "max_tokens": 1})");
  clock_.advance(std::chrono::milliseconds(40));
  tell(taken().admitted[0].number, 20);
  const std::string text = metrics();
  EXPECT_THAT(text, HasSubstr("# TYPE batchscope_time_to_first_token_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("batchscope_time_to_first_token_seconds_bucket{le=\"0.025\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("batchscope_time_to_first_token_seconds_bucket{le=\"0.05\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("batchscope_time_to_first_token_seconds_sum 0.04\n"));
  EXPECT_THAT(text, HasSubstr("batchscope_generation_tokens_total 1\n"));
}

TEST(ServiceWithoutTemplate, SaysThatThereIsNone) {
  const ModelConfig config = read_config({});
  const auto tokenizer = open_tokenizer({}, config);
  LiveRequests requests({});
  ManualClock clock;
  Service service({.name = "tiny", .config = config, .tokenizer = *tokenizer, .sequence_tokens = 64}, requests, clock);
  const http::Request chat{.method = "POST",
                           .target = "/v1/chat/completions",
                           .headers = {{"Content-Type", "application/json"}},
                           .body = R"({"messages": [{"role": "user", "content": "hi"}]})"};
  EXPECT_EQ(service.answer(chat, std::make_shared<Client>())->status, 503);  // not ready yet
  service.set_ready();
  const auto page = service.answer(chat, std::make_shared<Client>());
  EXPECT_EQ(page->status, 400);
  EXPECT_THAT(*page->body, HasSubstr("no chat template"));
}

TEST(StopScanner, HoldsBackWhatMayBecomeAStop) {
  StopScanner scanner({"END", "EN!"});
  EXPECT_EQ(scanner.add("aE"), "a");
  EXPECT_EQ(scanner.add("N"), "");
  EXPECT_EQ(scanner.add("x"), "ENx");
  EXPECT_EQ(scanner.add("bEN"), "b");
  EXPECT_EQ(scanner.add("D more"), "");
  EXPECT_TRUE(scanner.has_stopped());
  StopScanner unfinished({"END"});
  EXPECT_EQ(unfinished.add("xE"), "x");
  EXPECT_EQ(unfinished.finish(), "E");
}

}  // namespace
}  // namespace batchscope::openai
