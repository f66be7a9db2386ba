// Servers as engines: recognised, probed, asked, and refused where what comes back cannot be a model's.
#include "engine/http/http_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/phase_list.h"
#include "base/test_refusal.h"
#include "engine/http/test_server.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pointwise;
using Kind = PlayedModelServer::Kind;
using Wrong = PlayedModelServer::Wrong;

constexpr const char* contexts[] = {"The lamp is in the bag. The lamp is now at", "The map will be used by",
                                    "Über der Straße — the key is in"};
constexpr const char* continuations[] = {" the school", " the cellar", " a forêt", " Sam and Nell"};

// Two fields of the same texts: with tokens, and without.
std::vector<ScoreRequest> requests_of(const PlayedModel& model, bool tokenised) {
  std::vector<ScoreRequest> requests;
  for (std::size_t group = 0; group < std::size(contexts); ++group)
    for (const char* continuation : continuations) {
      ScoreRequest& request = requests.emplace_back();
      request.group = static_cast<std::int64_t>(group);
      request.context = contexts[group];
      request.continuation = continuation;
      if (!tokenised) continue;
      request.tokens = model.encode(request.context + request.continuation);
      request.scored = std::ssize(request.tokens) - std::ssize(model.encode(request.context));
    }
  return requests;
}

std::vector<double> expected(const PlayedModel& model) {
  std::vector<double> all;
  for (const ScoreRequest& request : requests_of(model, true)) all.push_back(model.log_likelihood(request));
  return all;
}

Placement one_device() {
  Placement placement;
  placement.device = parse_device("cpu:1");
  return placement;
}

HttpEngine engine_for(const PlayedModelServer& server, ServerAccess access = {}) {
  EngineSpec spec = parse_engine(server.url(), "--engine");
  spec.access = std::move(access);
  return HttpEngine(spec);
}

// Loads and scores.
ScoreReport score(const PlayedModelServer& server, bool has_model, std::int64_t batch = 3, ServerAccess access = {}) {
  HttpEngine engine = engine_for(server, std::move(access));
  engine.load(has_model ? played_model() : ModelSource(), one_device());
  return engine.score(requests_of(server.model(), has_model), {.batch = batch}, nullptr);
}

TEST(HttpEngine, ScoresAreTheModelsOnEveryServerThatCan) {
  const std::vector<std::pair<Kind, std::string>> servers{{Kind::vllm, "vLLM 0.33.0"},
                                                          {Kind::sglang, "SGLang 0.5.23"},
                                                          {Kind::llama_cpp_python, "llama-cpp-python 0.3.36"},
                                                          {Kind::batchscope, "batchscope"},
                                                          {Kind::nameless, "OpenAI-compatible server"}};
  for (const auto& [kind, name] : servers)
    for (const bool has_model : {true, false}) {
      const PlayedModelServer server(kind);
      HttpEngine engine = engine_for(server);
      engine.load(has_model ? played_model() : ModelSource(), one_device());
      EXPECT_EQ(engine.describe(), has_model ? name : name + " (played)");
      const auto requests = requests_of(server.model(), has_model);
      const ScoreReport report = engine.score(requests, {.batch = 5}, nullptr);
      EXPECT_THAT(report.log_likelihoods, Pointwise(DoubleNear(1e-6), expected(server.model()))) << name << has_model;
      EXPECT_THAT(report.doubts, ElementsAre()) << name;
      ASSERT_TRUE(report.served);
      EXPECT_EQ(report.served->times.size(), requests.size());
      EXPECT_TRUE(report.served->failures.empty());
      EXPECT_EQ(report.tokens.truncated, 0) << name;
      std::int64_t tokens = 0;
      for (const ScoreRequest& request : requests_of(server.model(), true)) tokens += std::ssize(request.tokens) - 1;
      EXPECT_EQ(report.tokens.requested, tokens) << name;
    }
}

TEST(HttpEngine, PhasesShowEachRequest) {
  const PlayedModelServer server(Kind::vllm);
  HttpEngine engine = engine_for(server);
  engine.load({}, one_device());
  PhaseList phases;
  engine.score(requests_of(server.model(), false), {.batch = 2}, &phases);
  std::map<std::string, int> names;
  std::set<std::string> tracks;
  for (const Phase& phase : phases.take()) {
    ++names[phase.name];
    if (phase.name == "request") tracks.insert(phase.track);
    EXPECT_LE(phase.begin, phase.end);
  }
  EXPECT_EQ(names["request"], static_cast<int>(std::size(contexts) * std::size(continuations)));
  EXPECT_EQ(names[timed_phase], 1);
  EXPECT_LE(tracks.size(), 2u);
}

TEST(HttpEngine, ServersThatCannotScoreAreRefusedByName) {
  const auto refusal_by = [](Kind kind, Wrong wrong = Wrong::nothing, bool has_model = false) {
    const PlayedModelServer server(kind, wrong);
    return refusal([&] { score(server, has_model); });
  };
  EXPECT_THAT(refusal_by(Kind::llama_server), AllOf(HasSubstr("llama.cpp server b7000-abc cannot score"),
                                                    HasSubstr("is ignored"), HasSubstr("generated tokens only")));
  EXPECT_THAT(refusal_by(Kind::transformers),
              AllOf(HasSubstr("transformers serve"), HasSubstr("422"), HasSubstr("echo")));
  for (const Kind kind : {Kind::vllm, Kind::sglang, Kind::llama_cpp_python, Kind::nameless}) {
    EXPECT_THAT(refusal_by(kind, Wrong::chance), HasSubstr("these are no probabilities"));
    EXPECT_THAT(refusal_by(kind, Wrong::shifts), HasSubstr("belong to other tokens"));
    EXPECT_THAT(refusal_by(kind, Wrong::unsteady), HasSubstr("beside others"));
    EXPECT_THAT(refusal_by(kind, Wrong::cuts_prompts), HasSubstr("cannot score"));
    EXPECT_THAT(refusal_by(kind, Wrong::other_tokens), HasSubstr("spell"));
  }
  EXPECT_THAT(refusal_by(Kind::vllm, Wrong::ignores_echo), HasSubstr("brings no log-probabilities"));
  EXPECT_THAT(refusal_by(Kind::nameless, Wrong::ignores_echo), HasSubstr("is ignored: 1 log-probability"));
  EXPECT_THAT(refusal_by(Kind::nameless, Wrong::first_value), HasSubstr("nothing precedes it"));
}

TEST(HttpEngine, OtherTokensThanOursAreNamed) {
  const PlayedModelServer server(Kind::llama_cpp_python, Wrong::other_split);
  const ScoreReport report = score(server, true);
  EXPECT_THAT(report.doubts, ElementsAre(HasSubstr("other tokens than --model for 12 of 12")));
  EXPECT_THAT(report.log_likelihoods, Pointwise(DoubleNear(1e-6), expected(server.model())));
}

TEST(HttpEngine, FailuresAreCountedAndRetriesOnlyWhereAsked) {
  const auto failing = [](int count, std::int64_t retries, int status = 503) {
    PlayedModelServer server(Kind::nameless);
    HttpEngine engine = engine_for(server, {.retries = retries});
    engine.load({}, one_device());
    engine.score(requests_of(server.model(), false), {.batch = 2}, nullptr);  // which it is probed for first
    server.fail_from = server.scored + 4;
    server.fail_count = count;
    server.fail_status = status;
    return engine.score(requests_of(server.model(), false), {.batch = 2}, nullptr);
  };
  EXPECT_THAT(refusal<Failure>([&] { failing(100, 0); }),
              AllOf(HasSubstr("503 Service Unavailable: overloaded"), HasSubstr("of 12"), HasSubstr("were answered")));
  const ScoreReport report = failing(2, 3);
  EXPECT_EQ(report.served->retries, 2);
  EXPECT_EQ(report.served->failures.at("503 Service Unavailable"), 2);
  EXPECT_THAT(report.doubts, ElementsAre(HasSubstr("2 requests were sent again")));
  EXPECT_THAT(refusal<Failure>([&] { failing(100, 1); }), HasSubstr("503"));
  EXPECT_THAT(refusal<Failure>([&] { failing(1, 5, 400); }), HasSubstr("400 Bad Request"));  // that stays so
}

TEST(HttpEngine, AServerOutOfMemorySaysSo) {
  PlayedModelServer server(Kind::nameless);
  HttpEngine engine = engine_for(server);
  engine.load({}, one_device());
  engine.score(requests_of(server.model(), false), {.batch = 2}, nullptr);  // which it is probed for first
  server.fail_says = "CUDA out of memory. Tried to allocate 2 GiB";
  server.fail_status = 500;
  server.fail_count = 100;
  server.fail_from = server.scored + 2;
  EXPECT_THROW(engine.score(requests_of(server.model(), false), {.batch = 2}, nullptr), OutOfMemory);
}

TEST(HttpEngine, AServerThatDiesFailsTheCell) {
  PlayedModelServer server(Kind::nameless);
  HttpEngine engine = engine_for(server);
  engine.load({}, one_device());
  const auto requests = requests_of(server.model(), false);
  server.end();
  EXPECT_THAT(refusal<Failure>([&] { engine.score(requests, {.batch = 4}, nullptr); }),
              HasSubstr("refuses connections"));
  EXPECT_THAT(refusal<Failure>([&] { engine.load({}, one_device()); }), HasSubstr("the server refuses connections"));
}

TEST(HttpEngine, CellsDoNotShareAPrefixCache) {
  PlayedModelServer server(Kind::vllm);
  HttpEngine engine = engine_for(server);
  engine.load({}, one_device());
  const auto requests = requests_of(server.model(), false);
  server.hits_per_request = 1000;
  const ScoreReport report = engine.score(requests, {}, nullptr);
  EXPECT_THAT(report.doubts, ElementsAre());  // salted: what was taken is the cell's own
  EXPECT_EQ(report.served->cached_tokens, 12'000);
  engine.score(requests, {}, nullptr);
  std::map<std::string, int> uses;
  for (const std::string& salt : server.salts()) ++uses[salt];
  int cells = 0;
  for (const auto& [salt, count] : uses) cells += count == 12 ? 1 : 0;
  EXPECT_EQ(cells, 2);

  const PlayedModelServer sglang(Kind::sglang);
  score(sglang, false);
  EXPECT_EQ(sglang.flushes, 1);
}

TEST(HttpEngine, TheTokenIsSentAndNeverTold) {
  PlayedModelServer server(Kind::nameless);
  server.token = "s3cret";
  setenv("BATCHSCOPE_TEST_TOKEN", "s3cret", 1);
  EXPECT_EQ(score(server, false, 3, {.token_variable = "BATCHSCOPE_TEST_TOKEN"}).log_likelihoods.size(), 12u);
  EXPECT_THAT(refusal([&] { score(server, false); }), AllOf(HasSubstr("401"), HasSubstr("--token-file")));
  setenv("BATCHSCOPE_TEST_TOKEN", "other", 1);
  EXPECT_THAT(refusal([&] { score(server, false, 3, {.token_variable = "BATCHSCOPE_TEST_TOKEN"}); }),
              AllOf(HasSubstr("denies access"), Not(HasSubstr("other"))));
  unsetenv("BATCHSCOPE_TEST_TOKEN");
}

TEST(HttpEngine, OneOfSeveralModelsIsNamed) {
  PlayedModelServer server(Kind::nameless);
  server.models = {"a", "b"};
  EXPECT_THAT(refusal([&] { score(server, false); }), HasSubstr("serves 2 models; name one with --model: a, b"));
  HttpEngine engine = engine_for(server);
  engine.load({.path = "b"}, one_device());
  EXPECT_EQ(engine.describe(), "OpenAI-compatible server");
  server.models = {"a"};
  EXPECT_THAT(refusal([&] { engine.load({.path = "/no/such"}, one_device()); }),
              HasSubstr("neither here nor on the server"));
}

TEST(HttpEngine, WhatItDoesNotKnowIsRefused) {
  const PlayedModelServer server(Kind::nameless);
  HttpEngine engine = engine_for(server);
  Placement placement = one_device();
  engine.load({}, placement);
  EXPECT_THROW(engine.score(requests_of(server.model(), false), {.packing = Packing::packed}, nullptr), InputError);
  EXPECT_THROW(engine.score(std::vector<ScoreRequest>{{.tokens = {1, 2, 3}, .scored = 1}}, {}, nullptr), InputError);
}

}  // namespace
}  // namespace batchscope
