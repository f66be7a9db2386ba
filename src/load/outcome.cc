// Chunks to tokens, usage to counts, faults to outcomes (load/outcome.h).
#include "load/outcome.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "http/error_words.h"

namespace batchscope::load {
namespace {

using nlohmann::json;

constexpr std::array outcomes{
    OutcomeWord{"ok", "a whole answer with its tokens"},
    OutcomeWord{"no_such_host", "the host's name is not known"},
    OutcomeWord{"no_connection", "the server did not accept the connection"},
    OutcomeWord{"connect_timeout", "no connection in time"},
    OutcomeWord{"no_trust", "TLS could not be agreed on, or the certificate is not trusted"},
    OutcomeWord{"no_token", "the file of the bearer token cannot be read"},
    OutcomeWord{"reset", "the server reset the connection"},
    OutcomeWord{"no_answer", "the server closed the connection before the first byte of an answer"},
    OutcomeWord{"cut", "the server closed the connection within the answer"},
    OutcomeWord{"silent", "no byte of an answer came in time"},
    OutcomeWord{"stalled", "the answer stopped for too long"},
    OutcomeWord{"timed_out", "the whole took too long"},
    OutcomeWord{"not_http", "the answer is not HTTP"},
    OutcomeWord{"too_long", "the answer is longer than the limit"},
    OutcomeWord{"cancelled", "the run was interrupted"},
    OutcomeWord{"http_…", "the server answered with that status"},
    OutcomeWord{"malformed_answer", "an event or a body is not the JSON of a completion"},
    OutcomeWord{"error_in_answer", "an error in the place of tokens"},
    OutcomeWord{"unfinished", "the stream ended without a finish reason and without [DONE]"},
    OutcomeWord{"wrong_usage", "the counts of tokens contradict each other"},
    OutcomeWord{"no_tokens", "a whole answer without any token"},
};

constexpr std::size_t longest_detail = 200;

std::string shortened(std::string_view text) {
  std::string line = visible(text.substr(0, longest_detail));
  return text.size() > longest_detail ? line + "…" : line;
}

const json* find(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::int64_t> count(const json& object, const char* key) {
  const json* value = find(object, key);
  if (value == nullptr || !value->is_number_integer() || value->get<std::int64_t>() < 0) return std::nullopt;
  return value->get<std::int64_t>();
}

// What one event says.
struct Said {
  std::string text{};
  bool has_content = false;  // text, reasoning or a call of a tool
  std::optional<std::vector<std::int32_t>> ids{};
  std::string finish_reason{};
  std::optional<std::int64_t> prompt_tokens{}, output_tokens{};  // of the usage
};

bool add_text(const json& object, const char* key, std::string& text) {
  const json* value = find(object, key);
  if (value == nullptr || !value->is_string()) return false;
  text += value->get_ref<const std::string&>();
  return !value->get_ref<const std::string&>().empty();
}

void take_choice(const json& choice, Said& said) {
  said.has_content |= add_text(choice, "text", said.text);
  for (const char* message : {"delta", "message"}) {
    const json* part = find(choice, message);
    if (part == nullptr) continue;
    for (const char* key : {"reasoning_content", "reasoning", "content"})
      said.has_content |= add_text(*part, key, said.text);
    if (const json* calls = find(*part, "tool_calls")) said.has_content |= calls->is_array() && !calls->empty();
  }
  if (const json* ids = find(choice, "token_ids"); ids != nullptr && ids->is_array()) {
    if (!said.ids) said.ids.emplace();
    for (const json& id : *ids)
      if (id.is_number_integer()) said.ids->push_back(id.get<std::int32_t>());
  }
  add_text(choice, "finish_reason", said.finish_reason);
}

class AnswerReader {
 public:
  AnswerReader(const WireAnswer& wire, LoadRequestRecord asked, Nanoseconds begin) : wire_(wire), begin_(begin) {
    answer_.record = std::move(asked);
  }

  Answer read() {
    set_instants();
    const http::Exchange& exchange = wire_.exchange;
    const bool is_answer = exchange.response.status / 100 == 2;
    if (exchange.response.status != 0) answer_.record.status = exchange.response.status;
    if (is_answer) take_events();
    // What failed first hides what follows from it.
    if (exchange.ending != http::Ending::complete)
      fail(std::string(http::word_of(exchange.ending)), "");
    else if (!is_answer)
      fail(fmt::format("http_{}", exchange.response.status),
           wire_.events.empty() ? "" : error_text(wire_.events[0].data));
    if (is_answer) count_tokens();
    if (!wire_.is_event_stream) answer_.record.chunks.clear();  // which says nothing of when tokens were made
    if (answer_.record.outcome.empty()) judge();
    return std::move(answer_);
  }

 private:
  void set_instants() {
    const auto since = [&](std::optional<Nanoseconds> instant) -> std::optional<Nanoseconds> {
      return instant ? std::optional(*instant - begin_) : std::nullopt;
    };
    LoadRequestRecord& record = answer_.record;
    record.started = since(wire_.exchange.started);
    record.sent = since(wire_.exchange.sent);
    record.first_byte = since(wire_.exchange.first_byte);
    record.end = wire_.exchange.end - begin_;
  }

  void fail(std::string outcome, std::string_view detail) {
    if (!answer_.record.outcome.empty()) return;
    answer_.record.outcome = std::move(outcome);
    answer_.record.detail = shortened(detail);
  }

  // What the server says of its error; else all that it sent.
  static std::string error_text(const std::string& data) {
    const std::string words = http::error_words(data);
    return words.empty() ? data : words;
  }

  void take_events() {
    if (!wire_.is_event_stream && wire_.exchange.ending != http::Ending::complete) return;  // part of a body
    for (const WireEvent& event : wire_.events) {
      if (wire_.is_event_stream && event.data == "[DONE]") {
        is_done_ = true;
        continue;
      }
      json body;
      try {
        body = parse_json(event.data, wire_.is_event_stream ? "an event" : "the answer");
      } catch (const InputError& error) {
        fail("malformed_answer", error.what());
        continue;
      }
      if (find(body, "error") != nullptr) {
        fail("error_in_answer", error_text(event.data));
        continue;
      }
      const json* choices = find(body, "choices");
      if (!body.is_object() || (choices != nullptr && !choices->is_array())) {
        fail("malformed_answer", "not a completion: " + event.data);
        continue;
      }
      Said said;
      if (choices != nullptr)
        for (const json& choice : *choices) take_choice(choice, said);
      if (const json* usage = find(body, "usage")) {
        said.prompt_tokens = count(*usage, "prompt_tokens");
        said.output_tokens = count(*usage, "completion_tokens");
      }
      add(event.at, std::move(said), choices != nullptr && !choices->empty());
    }
    if (wire_.has_unknown_lines) fail("malformed_answer", "lines that are no server-sent event");
  }

  void add(Nanoseconds at, Said said, bool is_chunk) {
    LoadRequestRecord& record = answer_.record;
    if (said.prompt_tokens) record.prompt_tokens = said.prompt_tokens;
    if (said.output_tokens) {
      if (record.output_tokens && *said.output_tokens < *record.output_tokens)
        contradiction_ =
            fmt::format("the usage went back from {} to {} tokens", *record.output_tokens, *said.output_tokens);
      ++usages_;
      record.output_tokens = said.output_tokens;
    }
    if (!said.finish_reason.empty()) record.finish_reason = shortened(said.finish_reason);
    answer_.text += said.text;
    if (said.ids) answer_.tokens.insert(answer_.tokens.end(), said.ids->begin(), said.ids->end());
    if (!is_chunk) {  // usage alone: of the chunk before, unless that had one
      if (said.output_tokens && !usage_of_chunk_.empty() && !usage_of_chunk_.back())
        usage_of_chunk_.back() = said.output_tokens;
      return;
    }
    record.chunks.push_back({.at = at - begin_});
    usage_of_chunk_.push_back(said.output_tokens);
    has_content_.push_back(said.has_content);
    ids_of_chunk_.push_back(said.ids ? std::optional<std::int64_t>(std::ssize(*said.ids)) : std::nullopt);
  }

  void count_tokens() {
    LoadRequestRecord& record = answer_.record;
    const std::int64_t contents = std::count(has_content_.begin(), has_content_.end(), true);
    const bool has_ids = !ids_of_chunk_.empty() && std::all_of(ids_of_chunk_.begin(), ids_of_chunk_.end(),
                                                               [](const auto& ids) { return ids.has_value(); });
    // Ids may be missing where a chunk has none to show: its role, its end.
    const bool ids_cover_text = !answer_.tokens.empty() && [&] {
      for (std::size_t i = 0; i < has_content_.size(); ++i)
        if (has_content_[i] && !ids_of_chunk_[i]) return false;
      return true;
    }();
    if (!record.output_tokens && (has_ids || ids_cover_text)) record.output_tokens = std::ssize(answer_.tokens);
    // It ended where it was to end at the latest, with a token in each chunk.
    if (!record.output_tokens && record.finish_reason == "length" && contents == record.asked_output_tokens)
      record.output_tokens = contents;
    bool has_running_usage = usages_ > 1;
    for (std::size_t i = 0; i < has_content_.size(); ++i)
      if (has_content_[i] && !usage_of_chunk_[i]) has_running_usage = false;
    std::int64_t before = 0;
    for (std::size_t i = 0; i < record.chunks.size(); ++i) {
      std::optional<std::int64_t>& tokens = record.chunks[i].tokens;
      if (ids_cover_text) {
        tokens = ids_of_chunk_[i].value_or(0);
      } else if (has_running_usage && usage_of_chunk_[i]) {
        tokens = std::max<std::int64_t>(*usage_of_chunk_[i] - before, 0);
        before = *usage_of_chunk_[i];
      } else if (!has_content_[i]) {
        tokens = 0;
      } else if (record.output_tokens && (*record.output_tokens == contents || contents == 1)) {
        tokens = contents == 1 ? *record.output_tokens : 1;
      }
    }
    if (contradiction_.empty()) contradiction_ = contradiction(contents, ids_cover_text);
    if (contradiction_.empty()) return;
    fail("wrong_usage", contradiction_);
    record.prompt_tokens = record.output_tokens = std::nullopt;
    if (ids_cover_text) return;
    for (std::size_t i = 0; i < record.chunks.size(); ++i)
      record.chunks[i].tokens = has_content_[i] ? std::nullopt : std::optional<std::int64_t>(0);
  }

  std::string contradiction(std::int64_t contents, bool ids_cover_text) const {
    const LoadRequestRecord& record = answer_.record;
    if (wire_.exchange.ending != http::Ending::complete || !record.output_tokens) return "";
    const std::int64_t tokens = *record.output_tokens;
    if (ids_cover_text && std::ssize(answer_.tokens) != tokens)
      return fmt::format("the usage says {} output tokens, {} ids came", tokens, answer_.tokens.size());
    if (tokens > record.asked_output_tokens)
      return fmt::format("the usage says {} output tokens, {} were asked for at most", tokens,
                         record.asked_output_tokens);
    if (tokens < contents) return fmt::format("the usage says {} output tokens, {} chunks had text", tokens, contents);
    if (record.asked_prompt_tokens && record.prompt_tokens && *record.prompt_tokens < *record.asked_prompt_tokens)
      return fmt::format("the usage says {} prompt tokens, {} ids were sent", *record.prompt_tokens,
                         *record.asked_prompt_tokens);
    return "";
  }

  void judge() {
    const LoadRequestRecord& record = answer_.record;
    const bool has_text = std::find(has_content_.begin(), has_content_.end(), true) != has_content_.end();
    if (wire_.is_event_stream && !is_done_ && record.finish_reason.empty())
      return fail("unfinished", "the stream ended without a finish reason and without [DONE]");
    if (!has_text && record.output_tokens.value_or(0) == 0) return fail("no_tokens", "");
    fail("ok", "");
  }

  const WireAnswer& wire_;
  const Nanoseconds begin_;
  Answer answer_{};
  std::string contradiction_{};
  bool is_done_ = false;
  int usages_ = 0;
  // Of each chunk.
  std::vector<std::optional<std::int64_t>> usage_of_chunk_{}, ids_of_chunk_{};
  std::vector<bool> has_content_{};
};

}  // namespace

std::span<const OutcomeWord> outcome_words() { return outcomes; }

std::string_view meaning_of(http::Ending ending) {
  for (const auto& [word, meaning] : outcomes)
    if (word == http::word_of(ending)) return meaning;
  return outcomes[0].meaning;
}

Answer read_answer(const WireAnswer& wire, LoadRequestRecord asked, Nanoseconds begin) {
  return AnswerReader(wire, std::move(asked), begin).read();
}

}  // namespace batchscope::load
