// What the mock sends, and when (load/mock_server.h).
#include "load/mock_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/thread_signals.h"
#include "base/units.h"

namespace batchscope::load {
namespace {

using http::Script;
using http::ScriptStep;
using nlohmann::json;

constexpr std::array<std::string_view, 14> fault_words{
    "stall",       "reset",     "cut",          "malformed_event", "malformed_chunk", "error_event", "unfinished",
    "wrong_usage", "no_tokens", "single_bytes", "status",          "silent",          "no_answer",   "slow_headers"};
constexpr std::int64_t most_output_tokens = 1 << 20;
constexpr std::int64_t first_output_token = 1000;  // ids of an answer go up from here
constexpr std::size_t lateness_classes = 256;

std::string_view word_of(MockFault fault) { return fault_words.at(static_cast<std::size_t>(fault)); }

Nanoseconds duration(const JsonObject& object, std::string_view key, Nanoseconds fallback) {
  return object.has(key) ? parse_duration(object.text(key), object.name(key)) : fallback;
}

MockFault parse_fault(const JsonObject& rule) {
  const std::string word = rule.text("fault");
  const auto found = std::find(fault_words.begin(), fault_words.end(), word);
  if (found != fault_words.end()) return static_cast<MockFault>(found - fault_words.begin());
  const std::string near = nearest(word, fault_words);
  throw InputError("{}: {} is no fault{}; see batchscope mock-server --help", rule.name("fault"), quote(word),
                   near.empty() ? "" : fmt::format("; did you mean {}?", near));
}

void refuse_unknown_keys(const JsonObject& object, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.value().items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string near = nearest(key, known);
    throw InputError("{} is not known here{}", object.name(key),
                     near.empty() ? "" : fmt::format("; did you mean {}?", near));
  }
}

MockFaultRule parse_rule(const json& value, const std::string& origin, std::size_t place) {
  const JsonObject rule(value, origin, fmt::format("faults[{}].", place));
  refuse_unknown_keys(rule, {"fault", "every", "first", "after_tokens", "time", "status"});
  MockFaultRule parsed{.fault = parse_fault(rule),
                       .every = rule.integer("every", 1, INT64_MAX, 1),
                       .first = rule.integer("first", 0, INT64_MAX, 0),
                       .after_tokens = rule.integer("after_tokens", 0, most_output_tokens, 1),
                       .status = static_cast<int>(rule.integer("status", 400, 599, 429))};
  if (rule.has("time")) parsed.time = duration(rule, "time", Nanoseconds(0));
  if (parsed.fault == MockFault::slow_headers && !parsed.time)
    throw InputError("{}: slow_headers needs the time that they take, for example \"2s\"", rule.name("time"));
  return parsed;
}

std::string error_json(std::string_view message, int code) {
  return json{{"error", {{"message", message}, {"type", "mock"}, {"code", code}}}}.dump();
}

// One step, then nothing.
Script once(ScriptStep step) {
  return [left = std::optional(std::move(step))]() mutable { return std::exchange(left, std::nullopt); };
}

Script page(int status, const std::string& body, const http::Headers& headers = {}) {
  return once(
      {.bytes = http::whole_answer(status, "application/json", body, headers), .after = ScriptStep::After::keep});
}

// Cuts the bytes of the steps up to and including the headers (or of all of them) into single ones, `time` apart in
// all.
Script slowed(Script script, Nanoseconds time, bool only_headers) {
  struct State {
    ScriptStep step{};
    std::size_t at = 0, pieces = 0;
    Nanoseconds from{0};
    bool is_over = false, is_past_headers = false;
  };
  return [script = std::move(script), time, only_headers, state = State{}]() mutable -> std::optional<ScriptStep> {
    if (state.at == state.pieces) {
      if (state.is_over) return std::nullopt;
      auto next = script();
      if (!next) {
        state.is_over = true;
        return std::nullopt;
      }
      if (only_headers && state.is_past_headers) return next;
      state.is_past_headers = true;
      state.step = std::move(*next);
      state.from = std::max(state.step.at, monotonic_clock().now());
      const std::size_t end = only_headers ? state.step.bytes.find("\r\n\r\n") : state.step.bytes.size();
      state.pieces = std::min(end, state.step.bytes.size());
      state.at = 0;
      if (state.pieces == 0) return state.step;
    }
    const std::size_t i = state.at++;
    const Nanoseconds at = state.from + time * static_cast<std::int64_t>(i) / static_cast<std::int64_t>(state.pieces);
    if (state.at < state.pieces) return ScriptStep{.at = at, .bytes = state.step.bytes.substr(i, 1)};
    return ScriptStep{.at = at, .bytes = state.step.bytes.substr(i), .after = state.step.after};
  };
}

std::vector<std::int32_t> tokens_of(const json& prompt) {
  std::vector<std::int32_t> tokens;
  if (prompt.is_string()) {
    for (const char c : prompt.get_ref<const std::string&>()) tokens.push_back(static_cast<unsigned char>(c));
  } else if (prompt.is_array()) {
    const json& first = prompt.size() == 1 && (prompt[0].is_array() || prompt[0].is_string()) ? prompt[0] : prompt;
    if (first.is_string()) return tokens_of(first);
    for (const json& id : first) {
      if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() > INT32_MAX)
        throw InputError("prompt: a text, or a list of token ids, expected");
      tokens.push_back(id.get<std::int32_t>());
    }
  } else {
    throw InputError("prompt: a text, or a list of token ids, expected");
  }
  return tokens;
}

// A chat's prompt: role and content of each message as text.
std::vector<std::int32_t> tokens_of_messages(const json& messages) {
  if (!messages.is_array() || messages.empty()) throw InputError("messages: a list with one message at least expected");
  std::string text;
  for (const json& message : messages) {
    const JsonObject object(message, "messages");
    text += object.text("role") + "\n";
    const json* content = object.find("content");
    if (content != nullptr && content->is_string()) text += content->get<std::string>();
    if (content != nullptr && content->is_array())
      for (const json& part : *content) text += JsonObject(part, "messages").text("text", std::string());
  }
  return tokens_of(json(text));
}

// Words that a text is made of again, one a token.
std::string text_of_output(std::int64_t token) { return fmt::format(" w{}", token); }

// What one completion is asked for.
struct CompletionAsked {
  bool is_chat = false, streams = false, echoes = false, wants_usage = false, wants_running_usage = false,
       wants_ids = false;
  std::optional<std::int64_t> logprobs{};
  std::int64_t output_tokens = 0;
  std::vector<std::int32_t> prompt{};
};

bool flag(const json& body, const char* key) {
  const auto found = body.find(key);
  return found != body.end() && found->is_boolean() && found->get<bool>();
}

CompletionAsked parse_completion(const std::string& text, bool is_chat, const MockSettings& settings) {
  const json body = parse_json(text, "the request");
  const JsonObject object(body, "the request");
  CompletionAsked asked{.is_chat = is_chat, .streams = flag(body, "stream"), .echoes = !is_chat && flag(body, "echo")};
  const std::int64_t longest = object.integer("max_tokens", 0, most_output_tokens, settings.output_tokens);
  asked.output_tokens = object.integer("max_completion_tokens", 0, most_output_tokens, longest);
  if (object.integer("n", 1, 1, 1) != 1) object.refuse("n", "1");
  if (!is_chat && object.has("logprobs") && !body["logprobs"].is_boolean())
    asked.logprobs = object.integer("logprobs", 0, 20);
  asked.wants_usage = !asked.streams;
  if (const json* options = object.find("stream_options"); options != nullptr && options->is_object()) {
    asked.wants_usage = flag(*options, "include_usage");
    asked.wants_running_usage = flag(*options, "continuous_usage_stats");
  }
  asked.wants_ids = settings.sends_token_ids && flag(body, "return_token_ids");
  const json* prompt = object.find(is_chat ? "messages" : "prompt");
  if (prompt == nullptr) object.refuse(is_chat ? "messages" : "prompt", is_chat ? "a list" : "a text or token ids");
  if (!settings.takes_token_ids && !is_chat && !prompt->is_string()) object.refuse("prompt", "a text");
  asked.prompt = is_chat ? tokens_of_messages(*prompt) : tokens_of(*prompt);
  return asked;
}

// One completion from its first byte to its last. What does not change is formatted once.
class CompletionScript {
 public:
  CompletionScript(CompletionAsked asked, const MockSettings& settings, Nanoseconds begin, std::int64_t number,
                   std::optional<MockFaultRule> fault)
      : asked_(std::move(asked)), settings_(settings), begin_(begin), fault_(fault) {
    const std::string_view kind = asked_.is_chat ? "chat.completion" : "text_completion";
    head_ = fmt::format(R"("id":"mock-{}","object":"{}{}","created":0,"model":{})", number, kind,
                        asked_.is_chat && asked_.streams ? ".chunk" : "", json(settings.model).dump());
    if (has(MockFault::no_tokens)) asked_.output_tokens = 0;
  }

  std::optional<ScriptStep> next() {
    if (is_over_) return std::nullopt;
    return asked_.streams ? next_chunk() : whole();
  }

 private:
  bool has(MockFault fault) const { return fault_ && fault_->fault == fault; }
  Nanoseconds time_of(std::int64_t token) const { return begin_ + settings_.itl * token + stalled_; }
  std::int64_t count_told(std::int64_t tokens) const { return has(MockFault::wrong_usage) ? 2 * tokens + 1 : tokens; }

  std::string usage(std::int64_t tokens) const {
    const std::int64_t told = count_told(tokens), prompt = std::ssize(asked_.prompt);
    return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}})", prompt, told,
                       prompt + told);
  }

  static std::string framed(std::string_view bytes) { return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes); }
  static std::string event(std::string_view data) { return framed(fmt::format("data: {}\n\n", data)); }

  // One choice of a stream, after which there have been so many tokens.
  std::string chunk(std::string_view text, std::string_view finish, const std::string& ids, std::int64_t tokens,
                    bool is_role = false) const {
    const std::string content =
        !asked_.is_chat ? fmt::format(R"("text":"{}")", text)
        : is_role       ? std::string(R"("delta":{"role":"assistant","content":""})")
                        : fmt::format(R"("delta":{{{}}})", text.empty() ? "" : fmt::format(R"("content":"{}")", text));
    return event(fmt::format(R"({{{},"choices":[{{"index":0,{}{},"finish_reason":{}}}]{}}})", head_, content, ids,
                             finish.empty() ? "null" : fmt::format("\"{}\"", finish),
                             asked_.wants_running_usage ? fmt::format(",\"usage\":{}", usage(tokens)) : ""));
  }

  std::optional<ScriptStep> next_chunk() {
    if (!is_begun_) {
      is_begun_ = true;
      // Headers, and a chat's role, are there at once, long before the first token.
      ScriptStep step{.bytes =
                          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n"};
      if (asked_.is_chat) step.bytes += chunk("", "", "", 0, true);
      return step;
    }
    if (fault_ && next_token_ >= std::min(fault_->after_tokens, asked_.output_tokens) && !is_fault_over_) {
      is_fault_over_ = true;
      if (auto step = fault_step()) return step;
      if (is_over_) return std::nullopt;
    }
    if (next_token_ >= asked_.output_tokens) return last_chunk();
    // The first token goes alone, as servers send it; a fault comes between chunks.
    std::int64_t end = next_token_ == 0 ? 1 : std::min(next_token_ + settings_.tokens_per_chunk, asked_.output_tokens);
    if (fault_ && !is_fault_over_) end = std::min(end, std::max(fault_->after_tokens, next_token_ + 1));
    std::string text, ids;
    for (std::int64_t token = next_token_; token < end; ++token) {
      text += text_of_output(token);
      if (asked_.wants_ids) ids += fmt::format("{}{}", ids.empty() ? "" : ",", first_output_token + token);
    }
    if (asked_.wants_ids) ids = fmt::format(R"(,"token_ids":[{}])", ids);
    next_token_ = end;
    return ScriptStep{.at = time_of(end - 1), .bytes = chunk(text, "", ids, end)};
  }

  std::optional<ScriptStep> last_chunk() {
    is_over_ = true;
    std::string bytes = chunk("", has(MockFault::no_tokens) ? "stop" : "length", "", asked_.output_tokens);
    if (asked_.wants_usage)
      bytes += event(fmt::format(R"({{{},"choices":[],"usage":{}}})", head_, usage(asked_.output_tokens)));
    bytes += event("[DONE]") + "0\r\n\r\n";
    return ScriptStep{.at = time_of(std::max<std::int64_t>(asked_.output_tokens - 1, 0)),
                      .bytes = bytes,
                      .after = ScriptStep::After::keep};
  }

  // What the fault sends; nothing where it only delays, or where all is silent from now on.
  std::optional<ScriptStep> fault_step() {
    const Nanoseconds at = time_of(std::max<std::int64_t>(next_token_ - 1, 0));
    const auto end = [&](std::string bytes, ScriptStep::After after) {
      is_over_ = true;
      return ScriptStep{.at = at, .bytes = std::move(bytes), .after = after};
    };
    switch (fault_->fault) {
      case MockFault::stall:
        fault_->time ? static_cast<void>(stalled_ += *fault_->time) : static_cast<void>(is_over_ = true);
        return std::nullopt;
      case MockFault::reset:
        return end("", ScriptStep::After::reset);
      case MockFault::cut:
        return end("", ScriptStep::After::close);
      case MockFault::malformed_event:
        return ScriptStep{.at = at, .bytes = event(R"({"choices":[{"index":0,"te)")};
      case MockFault::malformed_chunk:
        return end("no size\r\n", ScriptStep::After::close);
      case MockFault::error_event:
        return end(event(error_json("the mock fails here", 500)) + "0\r\n\r\n", ScriptStep::After::keep);
      case MockFault::unfinished:
        return end("0\r\n\r\n", ScriptStep::After::keep);
      default:
        return std::nullopt;
    }
  }

  // A body that is not streamed goes out with its last token. What breaks a stream off breaks it off.
  std::optional<ScriptStep> whole() {
    is_over_ = true;
    const std::int64_t tokens = asked_.output_tokens;
    const Nanoseconds at = time_of(std::max<std::int64_t>(tokens - 1, 0));
    if (has(MockFault::stall) && !fault_->time) return std::nullopt;
    std::string text, ids;
    for (std::int64_t token = 0; token < tokens; ++token) {
      text += text_of_output(token);
      ids += fmt::format("{}{}", ids.empty() ? "" : ",", first_output_token + token);
    }
    json choice{{"index", 0}, {"finish_reason", has(MockFault::no_tokens) ? "stop" : "length"}};
    if (asked_.is_chat) choice["message"] = {{"role", "assistant"}, {"content", text}};
    if (!asked_.is_chat) choice["text"] = (asked_.echoes ? prompt_text() : "") + text;
    if (asked_.logprobs) choice["logprobs"] = logprobs();
    if (asked_.wants_ids) choice["token_ids"] = json::parse("[" + ids + "]");
    if (asked_.wants_ids) choice["prompt_token_ids"] = asked_.prompt;
    std::string body = fmt::format(R"({{{},"choices":[{}],"usage":{}}})", head_,
                                   choice.dump(-1, ' ', false, json::error_handler_t::replace), usage(tokens));
    if (has(MockFault::malformed_event)) body.resize(body.size() / 2);
    if (has(MockFault::error_event)) body = error_json("the mock fails here", 500);
    std::string bytes = http::whole_answer(200, "application/json", body);
    ScriptStep::After after = ScriptStep::After::keep;
    if (has(MockFault::reset) || has(MockFault::cut)) {
      bytes.resize(bytes.size() - body.size() / 2);
      after = has(MockFault::reset) ? ScriptStep::After::reset : ScriptStep::After::close;
    }
    if (has(MockFault::malformed_chunk)) bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n";
    return ScriptStep{
        .at = at + (has(MockFault::stall) ? *fault_->time : Nanoseconds(0)), .bytes = bytes, .after = after};
  }

  std::string piece_of(std::int32_t token) const {
    return token < 128 ? std::string(1, static_cast<char>(token)) : fmt::format("<{}>", token);
  }
  std::string prompt_text() const {
    std::string text;
    for (const std::int32_t token : asked_.prompt) text += piece_of(token);
    return text;
  }

  // OpenAI's form: of the prompt where it is echoed, and of what was generated.
  json logprobs() const {
    json pieces = json::array(), values = json::array(), offsets = json::array(), tops = json::array();
    std::size_t offset = 0;
    std::optional<std::int32_t> before;
    const auto add = [&](std::int32_t token, const std::string& piece, bool is_shown) {
      if (is_shown) {
        const json value = before ? json(mock_log_probability(*before, token)) : json();
        pieces.push_back(piece);
        values.push_back(value);
        offsets.push_back(offset);
        tops.push_back(before ? json{{piece, value}} : json());
        offset += piece.size();
      }
      before = token;
    };
    for (const std::int32_t token : asked_.prompt) add(token, piece_of(token), asked_.echoes);
    for (std::int64_t token = 0; token < asked_.output_tokens; ++token)
      add(static_cast<std::int32_t>(first_output_token + token), text_of_output(token), true);
    return {{"tokens", pieces}, {"token_logprobs", values}, {"text_offset", offsets}, {"top_logprobs", tops}};
  }

  CompletionAsked asked_;
  const MockSettings& settings_;
  const Nanoseconds begin_;  // of the first token
  std::optional<MockFaultRule> fault_;
  std::string head_;
  Nanoseconds stalled_{0};
  std::int64_t next_token_ = 0;
  bool is_begun_ = false, is_over_ = false, is_fault_over_ = false;
};

}  // namespace

std::vector<std::string_view> mock_fault_words() { return {fault_words.begin(), fault_words.end()}; }

MockSettings parse_mock_settings(std::string_view text, const std::string& origin, const MockSettings& defaults) {
  const json value = parse_json(text, origin);
  const JsonObject object(value, origin);
  refuse_unknown_keys(object, {"model", "ttft", "itl", "per_prompt_token", "tokens_per_chunk", "output_tokens", "slots",
                               "queue", "takes_token_ids", "sends_token_ids", "faults"});
  MockSettings settings{
      .model = object.text("model", defaults.model),
      .ttft = duration(object, "ttft", defaults.ttft),
      .itl = duration(object, "itl", defaults.itl),
      .per_prompt_token = duration(object, "per_prompt_token", defaults.per_prompt_token),
      .tokens_per_chunk = object.integer("tokens_per_chunk", 1, most_output_tokens, defaults.tokens_per_chunk),
      .output_tokens = object.integer("output_tokens", 0, most_output_tokens, defaults.output_tokens),
      .slots = object.integer("slots", 0, 1 << 20, defaults.slots),
      .queue = object.integer("queue", 0, 1 << 20, defaults.queue),
      .takes_token_ids = object.boolean("takes_token_ids", defaults.takes_token_ids),
      .sends_token_ids = object.boolean("sends_token_ids", defaults.sends_token_ids),
      .faults = defaults.faults};
  if (const json* faults = object.find("faults")) {
    if (!faults->is_array()) object.refuse("faults", "a list of objects");
    settings.faults.clear();
    for (std::size_t i = 0; i < faults->size(); ++i) settings.faults.push_back(parse_rule((*faults)[i], origin, i));
  }
  return settings;
}

double mock_log_probability(std::int32_t before, std::int32_t token) {
  const auto is_letter = [](std::int32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto is_vowel = [](std::int32_t c) {
    return c > 0 && c < 128 && std::string_view("aeiouyAEIOUY").find(static_cast<char>(c)) != std::string_view::npos;
  };
  const auto is_capital = [](std::int32_t c) { return c >= 'A' && c <= 'Z'; };
  // A mix of both ids, the same on every machine (the finaliser of MurmurHash3).
  auto mix = static_cast<std::uint64_t>(static_cast<std::uint32_t>(before)) << 32 | static_cast<std::uint32_t>(token);
  for (const std::uint64_t factor : {0xff51afd7ed558ccdULL, 0xc4ceb9fe1a85ec53ULL}) mix = (mix ^ (mix >> 33)) * factor;
  const double spread = static_cast<double>((mix ^ (mix >> 33)) >> 11) * 0x1p-53;  // [0, 1)
  double base = -4;
  if (is_letter(before) && is_letter(token)) base = is_vowel(before) != is_vowel(token) ? -1 : -3;
  if (is_letter(before) && is_capital(token)) base -= 4;
  if (before == ' ' && is_letter(token)) base = -1.5;
  if (is_letter(before) && token == ' ') base = -2;
  return base - 2 * spread;
}

MockModel::MockModel(MockSettings settings)
    : settings_(std::move(settings)),
      slot_ends_(static_cast<std::size_t>(settings_.slots), Nanoseconds(0)),
      lateness_(lateness_classes, 0) {}

http::Script MockModel::answer(const http::Request& request, Nanoseconds now) {
  const std::string path(request.path());
  const bool is_post = request.method == "POST";
  if (path == "/v1/models" || path == "/models")
    return page(200, json{{"object", "list"},
                          {"data", {{{"id", settings_.model}, {"object", "model"}, {"owned_by", "batchscope"}}}}}
                         .dump());
  if (path == "/health") return page(200, "{}");
  if (path == "/mock") return page(200, served());
  const bool is_chat = path == "/v1/chat/completions";
  if (!is_chat && path != "/v1/completions") return page(404, error_json("no such path: " + path, 404));
  if (!is_post) return page(405, error_json("POST a completion", 405), {{"Allow", "POST"}});
  try {
    return complete(request, now, is_chat);
  } catch (const InputError& error) {
    return page(400, error_json(error.what(), 400));
  }
}

http::Script MockModel::complete(const http::Request& request, Nanoseconds now, bool is_chat) {
  CompletionAsked asked = parse_completion(request.body, is_chat, settings_);
  const std::int64_t number = asked_++;
  std::optional<MockFaultRule> fault;
  for (const MockFaultRule& rule : settings_.faults)
    if (!fault && number >= rule.first && (number - rule.first) % rule.every == 0) fault = rule;
  if (fault) ++faults_[std::string(word_of(fault->fault))];
  if (fault && fault->fault == MockFault::status)
    return page(fault->status, error_json("the mock refuses", fault->status));
  if (fault && fault->fault == MockFault::silent) return [] { return std::optional<ScriptStep>(); };
  if (fault && fault->fault == MockFault::no_answer) return once({.after = ScriptStep::After::close});
  Nanoseconds begin = now;
  const Nanoseconds prefill = settings_.ttft + settings_.per_prompt_token * std::ssize(asked.prompt);
  if (!slot_ends_.empty()) {
    waiting_.erase(waiting_.begin(), waiting_.upper_bound(now));
    const auto slot = std::min_element(slot_ends_.begin(), slot_ends_.end());
    if (*slot > now && settings_.queue > 0 && std::ssize(waiting_) >= settings_.queue)
      return page(429, error_json("the queue is full", 429), {{"Retry-After", "1"}});
    begin = std::max(now, *slot);
    if (begin > now) waiting_.emplace(begin, 0);
    *slot = begin + prefill + settings_.itl * std::max<std::int64_t>(asked.output_tokens - 1, 0);
  }
  auto script = std::make_shared<CompletionScript>(std::move(asked), settings_, begin + prefill, number, fault);
  Script steps = [script] { return script->next(); };
  if (fault && fault->fault == MockFault::single_bytes) return slowed(std::move(steps), Nanoseconds(0), false);
  if (fault && fault->fault == MockFault::slow_headers) return slowed(std::move(steps), *fault->time, true);
  return steps;
}

void MockModel::note_lateness(Nanoseconds by) {
  const double microseconds = std::max(static_cast<double>(by.count()) * 1e-3, 1.0);
  ++lateness_[std::min(static_cast<std::size_t>(8 * std::log2(microseconds)), lateness_classes - 1)];
}

std::optional<Nanoseconds> MockModel::lateness(double quantile) const {
  std::int64_t all = 0, seen = 0;
  for (const std::int64_t count : lateness_) all += count;
  if (all == 0) return std::nullopt;
  for (std::size_t i = 0; i < lateness_.size(); ++i)
    if ((seen += lateness_[i]) >= std::ceil(quantile * static_cast<double>(all)))
      return from_seconds(std::exp2(static_cast<double>(i + 1) / 8) * 1e-6);
  return std::nullopt;
}

std::string MockModel::served() const {
  json late = json::object();
  for (const auto& [name, quantile] : {std::pair{"p50", 0.5}, {"p99", 0.99}, {"p100", 1.0}})
    if (const auto by = lateness(quantile)) late[name] = to_seconds(*by) * 1e6;
  return json{{"completions", asked_}, {"faults", faults_}, {"late_us", late}}.dump();
}

struct LoopbackMock::State {
  MockModel model;
  http::ScriptServer server;
  std::atomic<bool> stop{false};
  std::thread thread{};

  explicit State(MockSettings settings)
      : model(std::move(settings)),
        server({}, "the mock server",
               [this](const http::Request& request, Nanoseconds now) { return model.answer(request, now); }) {
    thread = std::thread([this] {
      leave_signals_to_others();
      server.run(stop);
    });
  }
  ~State() {
    stop = true;
    thread.join();
  }
};

LoopbackMock::LoopbackMock(MockSettings settings) : state_(std::make_unique<State>(std::move(settings))) {}
LoopbackMock::~LoopbackMock() = default;
std::string LoopbackMock::url() const { return fmt::format("http://127.0.0.1:{}/v1", state_->server.port()); }

}  // namespace batchscope::load
