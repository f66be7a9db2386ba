// Messages to the text that a model was trained to answer, by its checkpoint's own template.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "jinja/template.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"

namespace batchscope::openai {

class ChatFormat {
 public:
  // InputError where the template is none.
  explicit ChatFormat(const ChatTemplate& found);

  // `values`: more that the template may name, an object or null. `now`: since 1970, for templates that tell the date.
  // InputError where the template refuses.
  std::string text(const nlohmann::json& messages, bool add_generation_prompt, const nlohmann::json& values,
                   Nanoseconds now) const;

 private:
  jinja::Template template_;
  jinja::Dict special_tokens_;
};

// Without the special tokens that the tokenizer adds to every text: a template has them itself.
std::vector<std::int32_t> encode_without_added(const Tokenizer& tokenizer, std::string_view text);

}  // namespace batchscope::openai
