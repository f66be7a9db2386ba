// A checkpoint's chat template: how messages become one text. Its language is Jinja's (jinja/template.h).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "model/model.h"

namespace batchscope {

struct ChatTemplate {
  std::string source;
  std::map<std::string, std::string> special_tokens{};  // that it may name: "bos_token", "eos_token", …
};

// Hugging Face: chat_template.jinja, else the chat_template of tokenizer_config.json (of several the one called
// "default"); GGUF: tokenizer.chat_template. Absent: the checkpoint has none, as base models do.
std::optional<ChatTemplate> read_chat_template(const ModelSource& source);

// The same from the text of a tokenizer_config.json, named by `origin` in errors.
std::optional<ChatTemplate> parse_chat_template(std::string_view tokenizer_config, std::string_view origin);

}  // namespace batchscope
