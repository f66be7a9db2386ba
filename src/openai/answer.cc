// Growing answers (openai/answer.h).
#include "openai/answer.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "engine/generation.h"

namespace batchscope::openai {
namespace {

using nlohmann::json;

// How many of the text's last bytes begin a stop text.
std::size_t begun(const std::string& text, const std::string& stop) {
  for (std::size_t size = std::min(text.size(), stop.size() - 1); size > 0; --size)
    if (text.ends_with(std::string_view(stop).substr(0, size))) return size;
  return 0;
}

json bytes_of(const std::string& text) {
  json bytes = json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

json finite(double value) { return value < -9999 ? json(-9999.0) : json(value); }

}  // namespace

std::string StopScanner::add(std::string_view piece) {
  if (has_stopped_) return {};
  held_ += piece;
  std::size_t at = std::string::npos, kept = 0;
  for (const std::string& stop : stops_) {
    at = std::min(at, held_.find(stop));
    kept = std::max(kept, begun(held_, stop));
  }
  has_stopped_ = at != std::string::npos;
  std::string shown = held_.substr(0, has_stopped_ ? at : held_.size() - kept);
  held_.erase(0, has_stopped_ ? held_.size() : shown.size());
  return shown;
}

std::string StopScanner::finish() { return std::exchange(held_, {}); }

Choice::Choice(const Question& question, const GenerateRequest& request, std::int64_t index, const Tokenizer& tokenizer,
               std::span<const std::int32_t> eos)
    : question_(question),
      prompt_(request.prompt),
      request_(request),
      index_(index),
      is_scored_only_(question.max_tokens == 0),
      tokenizer_(tokenizer),
      eos_(eos),
      stream_(tokenizer),
      scanner_(question.stop) {
  request_.prompt.clear();
  if (question.log_probabilities) {
    if (const std::vector<std::int32_t> letter = tokenizer.encode("a"); !letter.empty()) {
      letter_ = letter.back();
      letter_text_ = tokenizer.decode({&*letter_, 1});
    }
  }
  // What follows is decoded as what follows the prompt: a text's first token may lose a space.
  std::string prompt_text = stream_.add(prompt_);
  if (question.echo) text_ = std::move(prompt_text);
}

void Choice::score_prompt(std::vector<LogProbability> all) {
  std::size_t offset = 0;
  for (const LogProbability& one : all) {
    const std::size_t i = offsets_.size();
    if (offset == 0) begin_of_text_ = i + 1;
    offsets_.push_back(offset);
    offset += code_points(well_formed(token_text(i, one.token)));
  }
  log_probabilities_ = std::move(all);
}

// A text's first token may lose a space, which the same token has further on.
std::string Choice::token_text(std::size_t i, std::int32_t token) const {
  if (letter_ && i >= begin_of_text_) {
    const std::string text = tokenizer_.decode(std::array{*letter_, token});
    if (text.starts_with(letter_text_)) return text.substr(letter_text_.size());
  }
  return tokenizer_.decode({&token, 1});
}

bool Choice::ends_with(std::int32_t token) const {
  return request_.stop_at_eos && std::ssize(tokens_) > request_.min_new_tokens &&
         std::find(eos_.begin(), eos_.end(), token) != eos_.end();
}

void Choice::add(const LogProbability& one) {
  tokens_.push_back(one.token);
  if (is_scored_only_) {
    finish_reason_ = "length";
    if (question_.echo) text_ += stream_.finish();
    return;
  }
  if (question_.log_probabilities) {
    offsets_.push_back(code_points(well_formed(text_)));
    log_probabilities_.push_back(one);
  }
  const bool is_end = ends_with(one.token);
  if (!is_end) text_ += scanner_.add(stream_.add({&one.token, 1}));
  const bool is_last = is_end || is_last_token(request_, std::ssize(tokens_), one.token, eos_);
  if (is_last) text_ += scanner_.add(stream_.finish());
  if (scanner_.has_stopped()) {
    finish_reason_ = "stop";
  } else if (is_last) {
    text_ += scanner_.finish();
    finish_reason_ = is_end ? "stop" : "length";
  }
}

json Choice::log_probabilities(std::size_t begin) const {
  if (!question_.log_probabilities) return nullptr;
  const bool has_top = *question_.log_probabilities > 0;
  if (question_.is_chat) {
    json content = json::array();
    for (std::size_t i = begin; i < log_probabilities_.size(); ++i) {
      const LogProbability& one = log_probabilities_[i];
      const auto entry = [&](std::int32_t token, double value) {
        const std::string text = token_text(i, token);
        return json{{"token", text}, {"logprob", finite(value)}, {"bytes", bytes_of(text)}};
      };
      json made = entry(one.token, one.own.value_or(0));
      made["top_logprobs"] = has_top ? json::array({entry(one.top_token, one.top)}) : json::array();
      content.push_back(std::move(made));
    }
    return {{"content", std::move(content)}};
  }
  json tokens = json::array(), own = json::array(), top = json::array(), offsets = json::array();
  for (std::size_t i = begin; i < log_probabilities_.size(); ++i) {
    const LogProbability& one = log_probabilities_[i];
    const std::string text = token_text(i, one.token);
    tokens.push_back(text);
    own.push_back(one.own ? finite(*one.own) : json());
    offsets.push_back(offsets_[i]);
    if (!one.own) {
      top.push_back(nullptr);
      continue;
    }
    // The token itself, too, as other servers have it; of two with one text the more probable stays.
    json both = json::object({{text, finite(*one.own)}});
    if (has_top) both[token_text(i, one.top_token)] = finite(one.top);
    top.push_back(std::move(both));
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(own)},
          {"top_logprobs", std::move(top)},
          {"text_offset", std::move(offsets)}};
}

json Choice::finish() const { return is_finished() ? json(finish_reason_) : json(); }

json Choice::whole() const {
  json made{{"index", index_}, {"logprobs", log_probabilities(0)}, {"finish_reason", finish()}};
  if (question_.is_chat)
    made["message"] = {{"role", "assistant"}, {"content", text_}};
  else
    made["text"] = text_;
  if (question_.returns_token_ids) {
    made["token_ids"] = is_scored_only_ ? std::vector<std::int32_t>() : tokens_;
    if (!question_.is_chat) made["prompt_token_ids"] = prompt_;
  }
  return made;
}

json Choice::piece() {
  json made{{"index", index_}, {"logprobs", log_probabilities(shown_log_probabilities_)}, {"finish_reason", finish()}};
  if (log_probabilities_.size() == shown_log_probabilities_) made["logprobs"] = nullptr;
  std::string text = text_.substr(shown_text_);
  if (question_.is_chat) {
    made["delta"] = {{"content", std::move(text)}};
  } else {
    made["text"] = std::move(text);
  }
  if (question_.returns_token_ids) {
    const std::size_t wanted = is_scored_only_ ? 0 : tokens_.size();
    made["token_ids"] =
        std::vector<std::int32_t>(tokens_.begin() + static_cast<std::ptrdiff_t>(std::min(shown_tokens_, wanted)),
                                  tokens_.begin() + static_cast<std::ptrdiff_t>(wanted));
    if (shown_tokens_ == 0 && !question_.is_chat) made["prompt_token_ids"] = prompt_;
  }
  shown_text_ = text_.size();
  shown_tokens_ = tokens_.size();
  shown_log_probabilities_ = log_probabilities_.size();
  return made;
}

json usage_json(std::int64_t prompt_tokens, std::int64_t completion_tokens) {
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", completion_tokens},
          {"total_tokens", prompt_tokens + completion_tokens}};
}

std::string dumped(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

std::string event(const json& data) { return "data: " + dumped(data) + "\n\n"; }

}  // namespace batchscope::openai
