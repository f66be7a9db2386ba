// Between HTTP and the engine: requests become work for the engine's slots, and its tokens answers. All in the thread
// of the HTTP server, but the queue itself (engine/live_requests.h), which the engine's threads read.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/generation.h"
#include "engine/live_requests.h"
#include "http/server.h"
#include "model/config.h"
#include "openai/answer.h"
#include "openai/chat.h"
#include "serve/exposition.h"

namespace batchscope::openai {

// What became of one sequence in a step.
struct SequenceStep {
  std::size_t number = 0;
  LogProbability token{};                // the token alone where no log-probabilities are wanted
  bool is_failed = false;                // its logits were no numbers
  std::vector<LogProbability> prompt{};  // once, where the prompt is scored
};
std::vector<SequenceStep> sequence_steps(const GenerationStep& step, const StepOutput& output);

struct ServedModel {
  std::string name{};  // by which clients ask for it
  const ModelConfig& config;
  const Tokenizer& tokenizer;
  const ChatFormat* chat = nullptr;  // null: the checkpoint has no template
  std::int64_t sequence_tokens = 0;  // of a request, new ones included
  std::int64_t slots = 0;
  std::string version{};  // of this program
};

class Service {
 public:
  // All of them outlive it.
  Service(const ServedModel& model, LiveRequests& requests, Clock& clock);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Requests are refused until then (503), and /health says so.
  void set_ready() { is_ready_ = true; }
  // The page, or none when the answer goes to `later`.
  std::optional<http::Page> answer(const http::Request& request, const std::shared_ptr<http::Reply>& later);
  void take(const std::vector<SequenceStep>& steps);
  // Ends every answer underway with an error, and the queue.
  void end();
  bool is_idle() const { return sequences_.empty(); }

  void count_answer(std::string_view path, int status);
  void count_cut() { ++cut_; }

 private:
  struct Job;
  struct Place {
    std::shared_ptr<Job> job;
    std::size_t choice;
  };

  http::Page page(const http::Request& request);
  std::optional<http::Page> start(Question question, const std::shared_ptr<http::Reply>& later);
  std::vector<std::int32_t> tokens_of(const Question& question, const Prompt& prompt) const;
  GenerateRequest request_of(const Question& question, std::vector<std::int32_t> prompt, std::int64_t answer) const;
  void check_model(const std::string& name) const;
  void take(const SequenceStep& step);
  void write(Job& job, nlohmann::json choices, bool is_usage = false);
  void finish(Job& job);
  void fail(Job& job, const Refusal& refusal);
  void let_go(Job& job);  // its sequences leave the engine
  std::string metrics() const;

  const ServedModel model_;
  LiveRequests& requests_;
  Clock& clock_;
  std::mt19937_64 random_{std::random_device{}()};
  bool is_ready_ = false, is_ending_ = false;
  std::size_t next_number_ = 0;
  std::map<std::size_t, Place> sequences_;  // by their numbers in the engine

  // What /metrics tells.
  std::map<std::pair<std::string, int>, std::int64_t> answers_;  // by path and status
  std::map<std::string, std::int64_t> finished_;                 // sequences, by reason
  std::int64_t cut_ = 0, prompt_tokens_ = 0, generated_tokens_ = 0;
  std::vector<std::int64_t> first_token_counts_;  // of each bucket alone
  double first_token_seconds_ = 0;
};

}  // namespace batchscope::openai
