// Rendering chats (openai/chat.h).
#include "openai/chat.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "base/error.h"

namespace batchscope::openai {
namespace {

using nlohmann::json;

jinja::Value value_of(const json& value) {
  switch (value.type()) {
    case json::value_t::boolean:
      return value.get<bool>();
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
      return value.get<std::int64_t>();
    case json::value_t::number_float:
      return value.get<double>();
    case json::value_t::string:
      return value.get<std::string>();
    case json::value_t::array: {
      jinja::List all;
      for (const json& each : value) all.push_back(value_of(each));
      return all;
    }
    case json::value_t::object: {
      jinja::Dict all;
      for (const auto& [key, each] : value.items()) all.set(key, value_of(each));
      return all;
    }
    default:
      return jinja::None{};
  }
}

// Python's datetime.now().strftime(form)
jinja::Function date_of(Nanoseconds now) {
  return [now](jinja::Budget& budget, const jinja::Arguments& given) -> jinja::Value {
    const auto* form = given.positional.empty() ? nullptr : given.positional.front().as<std::string>();
    if (form == nullptr) throw InputError("chat template: strftime_now expects a text");
    const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
    std::tm local{};
    localtime_r(&seconds, &local);
    std::array<char, 1024> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), form->c_str(), &local);
    budget.make(size);
    return std::string(text.data(), size);
  };
}

}  // namespace

ChatFormat::ChatFormat(const ChatTemplate& found) : template_(found.source) {
  for (const auto& [name, token] : found.special_tokens) special_tokens_.set(name, token);
}

std::string ChatFormat::text(const json& messages, bool add_generation_prompt, const json& values,
                             Nanoseconds now) const {
  jinja::Dict variables = special_tokens_;
  variables.set("strftime_now", date_of(now));
  if (values.is_object())
    for (const auto& [key, each] : values.items()) variables.set(key, value_of(each));
  variables.set("messages", value_of(messages));
  variables.set("add_generation_prompt", add_generation_prompt);
  for (const char* const absent : {"tools", "documents"})
    if (variables.find(absent) == nullptr) variables.set(absent, jinja::None{});
  return template_.render(variables);
}

std::vector<std::int32_t> encode_without_added(const Tokenizer& tokenizer, std::string_view text) {
  // Those of every text are those of none; how many of them stand before it shows beside one that has some.
  const auto added = tokenizer.encode(""), some = tokenizer.encode("a");
  const auto before = std::mismatch(added.begin(), added.end(), some.begin(), some.end()).first - added.begin();
  const auto behind = std::ssize(added) - before;
  auto tokens = tokenizer.encode(text);
  if (std::ssize(tokens) < before + behind) return tokens;
  return {tokens.begin() + before, tokens.end() - behind};
}

}  // namespace batchscope::openai
