// Serving requests (openai/service.h).
#include "openai/service.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"

namespace batchscope::openai {
namespace {

using nlohmann::json;

constexpr std::array paths{"/v1/completions",
                           "/v1/chat/completions",
                           "/v1/models",
                           "/tokenize",
                           "/detokenize",
                           "/health",
                           "/version",
                           "/metrics",
                           "/"};
constexpr std::array first_token_bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,  0.25,
                                        0.5,   1.0,    2.5,   5.0,  10.0,  25.0, 50.0, 100.0};  // seconds

http::Page json_page(int status, std::string text) {
  return {.status = status,
          .content_type = "application/json",
          .body = std::make_shared<const std::string>(std::move(text))};
}
http::Page json_page(const json& value) { return json_page(200, dumped(value)); }
http::Page refusal_page(const Refusal& refusal) {
  http::Page page = json_page(refusal.status, to_json(refusal));
  if (refusal.status == 429 || refusal.status == 503) page.headers.add("Retry-After", "1");
  if (refusal.status == 405) page.headers.add("Allow", refusal.param);
  return page;
}

std::string_view without_parameters(std::string_view header) {
  header = header.substr(0, header.find(';'));
  while (header.ends_with(' ')) header.remove_suffix(1);
  return header;
}

std::int64_t unix_seconds() { return std::chrono::duration_cast<std::chrono::seconds>(unix_time()).count(); }

}  // namespace

std::vector<SequenceStep> sequence_steps(const GenerationStep& step, const StepOutput& output) {
  std::vector<SequenceStep> all(output.tokens.size());
  const auto tell = [&](LogProbability& one, std::size_t row) {
    one.own = static_cast<double>(output.log_probabilities[row]);
    one.top_token = output.top_tokens[row];
    one.top = static_cast<double>(output.top_log_probabilities[row]);
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].number = step.requests[i];
    all[i].token.token = output.tokens[i];
    all[i].is_failed = output.tokens[i] < 0;
    if (step.has_log_probabilities) tell(all[i].token, i);
  }
  for (const Batch::Scored& scored : step.batch.scored) {
    auto& prompt = all[scored.request].prompt;
    const std::int64_t first = step.batch.segments[scored.request].query_begin;
    prompt.push_back({.token = step.batch.tokens[static_cast<std::size_t>(first)]});
    for (std::int64_t i = 0; i < scored.count; ++i) {
      const auto row = static_cast<std::size_t>(scored.begin + i);
      tell(prompt.emplace_back(LogProbability{.token = step.batch.targets[row]}), row);
    }
  }
  return all;
}

struct Service::Job {
  Question question;
  std::shared_ptr<http::Reply> reply;
  std::string id;
  std::int64_t created = 0;
  Nanoseconds arrived{0};
  std::vector<std::unique_ptr<Choice>> choices{};  // to each prompt its n ones
  std::vector<std::size_t> numbers{};              // of each choice, in the engine
  std::vector<bool> has_begun{};                   // of each choice: something of it has been sent
  std::size_t finished = 0;

  std::int64_t prompt_tokens() const {
    std::int64_t count = 0;
    for (std::size_t i = 0; i < choices.size(); i += static_cast<std::size_t>(question.n))
      count += choices[i]->prompt_tokens();
    return count;
  }
  std::int64_t completion_tokens() const {
    std::int64_t count = 0;
    for (const auto& choice : choices) count += choice->completion_tokens();
    return count;
  }
  json usage() const { return usage_json(prompt_tokens(), completion_tokens()); }
  json envelope(const std::string& model) const {
    const char* const object = !question.is_chat ? "text_completion"
                               : question.stream ? "chat.completion.chunk"
                                                 : "chat.completion";
    json made{{"id", id}, {"object", object}, {"created", created}, {"model", model}};
    return made;
  }
};

Service::Service(const ServedModel& model, LiveRequests& requests, Clock& clock)
    : model_(model), requests_(requests), clock_(clock), first_token_counts_(first_token_bounds.size() + 1) {}
Service::~Service() = default;

std::optional<http::Page> Service::answer(const http::Request& request, const std::shared_ptr<http::Reply>& later) {
  try {
    const std::string_view path = request.path();
    const bool is_completion = path == "/v1/completions", is_chat = path == "/v1/chat/completions";
    const bool takes_post = is_completion || is_chat || path == "/tokenize" || path == "/detokenize";
    if (takes_post != (request.method == "POST")) {
      const char* const allowed = takes_post ? "POST" : "GET, HEAD";
      throw Refusal(405, fmt::format("only {} here", allowed), "", allowed);
    }
    if (!is_ready_ && path != "/version" && path != "/metrics")
      throw Refusal(503, "the model is being loaded; try again");
    if (is_ending_) throw Refusal(503, "the server is ending");
    if (takes_post) {
      // A page in a browser cannot send this type to another server without asking that first, which is refused.
      const auto type = request.headers.find("Content-Type");
      if (!type || !http::equal_but_for_case(without_parameters(*type), "application/json"))
        throw Refusal(415, "the body's Content-Type must be application/json");
    }
    if (is_completion) return start(parse_completion(request.body), later);
    if (is_chat) return start(parse_chat(request.body), later);
    return page(request);
  } catch (const Refusal& refusal) {
    return refusal_page(refusal);
  } catch (const InputError& error) {  // of the tokenizer, or of the chat template
    return refusal_page(Refusal(400, error.what()));
  } catch (const std::exception& error) {  // of one request; the others go on
    return refusal_page(Refusal(500, fmt::format("unexpected: {}", error.what())));
  }
}

http::Page Service::page(const http::Request& request) {
  const std::string_view path = request.path();
  if (path == "/health") return http::text_page(200, "");
  if (path == "/version") return json_page({{"version", model_.version}});
  const json model{{"id", model_.name},
                   {"object", "model"},
                   {"created", unix_seconds()},
                   {"owned_by", "batchscope"},
                   {"max_model_len", model_.sequence_tokens}};
  if (path == "/v1/models") return json_page({{"object", "list"}, {"data", json::array({model})}});
  if (path == "/v1/models/" + model_.name) return json_page(model);
  if (path == "/metrics")
    return {.content_type = serve::content_type(serve::TextFormat::prometheus),
            .body = std::make_shared<const std::string>(metrics())};
  if (path == "/tokenize") {
    const Question question = parse_tokenize(request.body);
    check_model(question.model);
    const auto tokens = tokens_of(question, question.prompts.front());
    return json_page({{"count", tokens.size()}, {"max_model_len", model_.sequence_tokens}, {"tokens", tokens}});
  }
  if (path == "/detokenize") {
    const auto tokens = parse_detokenize(request.body);
    return json_page({{"prompt", model_.tokenizer.decode(tokens)}});
  }
  if (path == "/") return http::text_page(200, fmt::format("{}\n", fmt::join(paths, "\n")));
  throw Refusal(404, "there is no such page", "not_found");
}

void Service::check_model(const std::string& name) const {
  if (!name.empty() && name != model_.name)
    throw Refusal(404, fmt::format("the model '{}' is not served here; this one is: {}", name, model_.name),
                  "model_not_found", "model");
}

std::vector<std::int32_t> Service::tokens_of(const Question& question, const Prompt& prompt) const {
  if (prompt.ids.empty())
    return question.adds_special_tokens ? model_.tokenizer.encode(prompt.text)
                                        : encode_without_added(model_.tokenizer, prompt.text);
  for (const std::int32_t id : prompt.ids)
    if (id >= model_.config.vocabulary)
      throw Refusal(400, fmt::format("prompt: there is no token {}; the model has {}", id, model_.config.vocabulary),
                    "", "prompt");
  return prompt.ids;
}

GenerateRequest Service::request_of(const Question& question, std::vector<std::int32_t> prompt,
                                    std::int64_t answer) const {
  const auto length = std::ssize(prompt);
  if (length == 0) throw Refusal(400, "the prompt has no tokens; give some text", "", "prompt");
  const std::int64_t room = model_.sequence_tokens - length;
  const std::int64_t wanted = question.max_tokens.value_or(std::max<std::int64_t>(room, 1));
  const std::int64_t new_tokens = std::max<std::int64_t>(wanted, 1);  // a step gives a token, wanted or not
  if (new_tokens > room)
    throw Refusal(400,
                  fmt::format("the maximum context length is {} tokens; the prompt has {}, and {} are asked for",
                              model_.sequence_tokens, length, new_tokens),
                  "context_length_exceeded", question.is_chat ? "messages" : "prompt");
  GenerateRequest request{.prompt = std::move(prompt),
                          .new_tokens = new_tokens,
                          .min_new_tokens = question.min_tokens,
                          .stop_at_eos = !question.ignores_eos,
                          .log_probabilities = question.log_probabilities.has_value(),
                          .prompt_log_probabilities = question.log_probabilities.has_value() && question.echo,
                          .sampling = question.sampling};
  request.sampling.sequence = static_cast<std::uint64_t>(answer);
  return request;
}

std::optional<http::Page> Service::start(Question question, const std::shared_ptr<http::Reply>& later) {
  check_model(question.model);
  if (question.is_chat) {
    if (model_.chat == nullptr)
      throw Refusal(400,
                    "this checkpoint has no chat template (neither chat_template.jinja, nor chat_template in "
                    "tokenizer_config.json, nor tokenizer.chat_template in GGUF); use /v1/completions");
    question.prompts = {{.text = model_.chat->text(question.messages, question.add_generation_prompt,
                                                   question.template_values, unix_time())}};
    question.messages = nullptr;
  }
  if (!question.has_seed) question.sampling.seed = random_();
  const auto job = std::make_shared<Job>(
      Job{.question = std::move(question), .reply = later, .created = unix_seconds(), .arrived = clock_.now()});
  job->id = fmt::format("{}-{:016x}{:016x}", job->question.is_chat ? "chatcmpl" : "cmpl", random_(), random_());
  std::vector<NumberedRequest> all;
  for (Prompt& prompt : job->question.prompts) {
    const auto tokens = tokens_of(job->question, prompt);
    prompt = {};
    for (std::int64_t answer = 0; answer < job->question.n; ++answer) {
      all.push_back({next_number_ + all.size(), request_of(job->question, tokens, answer)});
      job->choices.push_back(std::make_unique<Choice>(job->question, all.back().request, std::ssize(all) - 1,
                                                      model_.tokenizer, model_.config.eos_tokens));
      job->numbers.push_back(all.back().number);
    }
  }
  job->has_begun.resize(all.size());
  if (!requests_.submit(std::move(all)))
    throw Refusal(429, "too many requests are waiting; try again later", "queue_full");
  next_number_ += job->numbers.size();
  for (std::size_t i = 0; i < job->numbers.size(); ++i) sequences_[job->numbers[i]] = {job, i};
  prompt_tokens_ += job->prompt_tokens();
  later->when_gone([this, gone = std::weak_ptr(job)] {
    if (const auto one = gone.lock()) {
      finished_["client_gone"] += std::ssize(one->numbers) - static_cast<std::int64_t>(one->finished);
      let_go(*one);
    }
  });
  if (job->question.stream) later->begin("text/event-stream; charset=utf-8");
  return std::nullopt;
}

void Service::take(const std::vector<SequenceStep>& steps) {
  for (const SequenceStep& step : steps) take(step);
}

void Service::take(const SequenceStep& step) {
  const auto found = sequences_.find(step.number);
  if (found == sequences_.end()) return;  // nobody wants it any more
  const auto [job, index] = found->second;
  if (step.is_failed)
    return fail(*job, Refusal(500, "the model's logits are no numbers: its weights or the arithmetic overflow"));
  Choice& choice = *job->choices[index];
  if (!step.prompt.empty()) choice.score_prompt(step.prompt);
  if (choice.completion_tokens() == 0) {
    const double seconds = to_seconds(clock_.now() - job->arrived);
    const auto bound = std::lower_bound(first_token_bounds.begin(), first_token_bounds.end(), seconds);
    ++first_token_counts_[static_cast<std::size_t>(bound - first_token_bounds.begin())];
    first_token_seconds_ += seconds;
  }
  choice.add(step.token);
  ++generated_tokens_;
  if (choice.is_finished()) {
    if (choice.has_stopped()) requests_.cancel(step.number);
    sequences_.erase(found);
    ++job->finished;
    ++finished_[choice.finish_reason()];
  }
  if (job->question.stream) {
    const bool is_first = !job->has_begun[index];
    job->has_begun[index] = true;
    if (is_first && job->question.is_chat)  // the role comes first, alone
      write(*job, json::array({{{"index", choice.index()},
                                {"delta", {{"role", "assistant"}, {"content", ""}}},
                                {"logprobs", nullptr},
                                {"finish_reason", nullptr}}}));
    write(*job, json::array({choice.piece()}));
  }
  if (job->finished == job->choices.size()) finish(*job);
}

void Service::write(Job& job, json choices, bool is_usage) {
  json chunk = job.envelope(model_.name);
  chunk["choices"] = std::move(choices);
  if (is_usage || job.question.wants_usage_always)
    chunk["usage"] = job.usage();
  else if (job.question.wants_usage)
    chunk["usage"] = nullptr;
  job.reply->write(event(chunk));
}

void Service::finish(Job& job) {
  if (job.question.stream) {
    if (job.question.wants_usage) write(job, json::array(), true);
    job.reply->write(last_event);
    job.reply->end();
    return;
  }
  json whole = job.envelope(model_.name);
  whole["choices"] = json::array();
  for (const auto& choice : job.choices) whole["choices"].push_back(choice->whole());
  whole["usage"] = job.usage();
  job.reply->send(json_page(whole));
}

void Service::fail(Job& job, const Refusal& refusal) {
  finished_["error"] += std::ssize(job.numbers) - static_cast<std::int64_t>(job.finished);
  const auto reply = job.reply;
  if (job.question.stream) {
    reply->write("data: " + to_json(refusal) + "\n\n");
    reply->end();
  } else {
    reply->send(refusal_page(refusal));
  }
  let_go(job);
}

void Service::let_go(Job& job) {
  const std::vector<std::size_t> numbers = job.numbers;  // the last of them may take the job along
  for (const std::size_t number : numbers)
    if (sequences_.erase(number) > 0) requests_.cancel(number);
}

void Service::end() {
  is_ending_ = true;
  requests_.end();
  while (!sequences_.empty()) {
    const auto job = sequences_.begin()->second.job;
    fail(*job, Refusal(503, "the server is ending"));
  }
}

void Service::count_answer(std::string_view path, int status) {
  const bool is_known = std::find(paths.begin(), paths.end(), path) != paths.end();
  ++answers_[{is_known ? std::string(path) : "other", status}];
}

std::string Service::metrics() const {
  using serve::MetricFamily;
  using serve::MetricType;
  const auto one = [](const char* name, MetricType type, const char* help, double value) {
    return MetricFamily{.name = name, .type = type, .help = help, .samples = {{.value = value}}};
  };
  const auto waiting = requests_.waiting();
  const double running = static_cast<double>(sequences_.size() - std::min(waiting, sequences_.size()));
  std::vector<MetricFamily> all{
      one("batchscope_requests_running", MetricType::gauge, "sequences that the engine works on", running),
      one("batchscope_requests_waiting", MetricType::gauge, "sequences that wait for a slot",
          static_cast<double>(waiting)),
      one("batchscope_slots", MetricType::gauge, "sequences that the engine can work on together",
          static_cast<double>(model_.slots)),
      one("batchscope_prompt_tokens", MetricType::counter, "tokens of accepted prompts",
          static_cast<double>(prompt_tokens_)),
      one("batchscope_generation_tokens", MetricType::counter, "tokens generated",
          static_cast<double>(generated_tokens_)),
      one("batchscope_http_cut", MetricType::counter,
          "clients that were cut off because they did not take their answer", static_cast<double>(cut_))};
  MetricFamily finished{
      .name = "batchscope_requests_finished", .type = MetricType::counter, .help = "sequences, by how they ended"};
  for (const auto& [reason, count] : finished_)
    finished.samples.push_back({.labels = {{"reason", reason}}, .value = static_cast<double>(count)});
  MetricFamily first{.name = "batchscope_time_to_first_token_seconds",
                     .type = MetricType::histogram,
                     .unit = "seconds",
                     .help = "from a request's arrival to its first token"};
  double below = 0;
  for (std::size_t i = 0; i < first_token_counts_.size(); ++i) {
    below += static_cast<double>(first_token_counts_[i]);
    const std::string bound = i < first_token_bounds.size() ? fmt::format("{}", first_token_bounds[i]) : "+Inf";
    first.samples.push_back({.labels = {{"le", bound}}, .value = below, .suffix = "_bucket"});
  }
  first.samples.push_back({.value = first_token_seconds_, .suffix = "_sum"});
  first.samples.push_back({.value = below, .suffix = "_count"});
  MetricFamily answered{
      .name = "batchscope_http_requests", .type = MetricType::counter, .help = "HTTP requests answered"};
  for (const auto& [key, count] : answers_)
    answered.samples.push_back(
        {.labels = {{"path", key.first}, {"code", std::to_string(key.second)}}, .value = static_cast<double>(count)});
  for (MetricFamily* family : {&finished, &first, &answered}) all.push_back(std::move(*family));
  return to_text(all, serve::TextFormat::prometheus);
}

}  // namespace batchscope::openai
