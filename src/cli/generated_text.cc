// Printing generated tokens (cli/generated_text.h).
#include "cli/generated_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/generation.h"

namespace batchscope::cli {

std::vector<std::int32_t> whole_sequence(const std::vector<std::int32_t>& prompt,
                                         const std::vector<std::int32_t>& generated) {
  std::vector<std::int32_t> tokens = prompt;
  tokens.insert(tokens.end(), generated.begin(), generated.end());
  return tokens;
}

GeneratedText::GeneratedText(std::span<const GenerateRequest> requests, std::span<const std::int32_t> eos,
                             const Tokenizer& tokenizer, TextForm form)
    : requests_(requests),
      eos_(eos),
      tokenizer_(tokenizer),
      form_(form),
      stream_(tokenizer),
      generated_(requests.size()),
      finished_(requests.size()) {}

std::string GeneratedText::add(std::size_t request, std::int32_t token) {
  auto& generated = generated_[request];
  generated.push_back(token);
  finished_[request] = is_last_token(requests_[request], std::ssize(generated), token, eos_);
  if (streams()) {
    std::string text = generated.size() == 1 ? stream_.add(requests_.front().prompt) : "";
    text += stream_.add({&token, 1});
    return finished_[request] ? text + stream_.finish() + "\n" : text;
  }
  std::string text;
  for (; printed_ < requests_.size() && finished_[printed_]; ++printed_) text += whole(printed_);
  return text;
}

std::string GeneratedText::whole(std::size_t request) const {
  const auto tokens = whole_sequence(requests_[request].prompt, generated_[request]);
  if (form_ == TextForm::ids) return nlohmann::json(tokens).dump() + "\n";
  // As head and tail name the files that they show.
  return fmt::format("{}==> prompt {} of {} <==\n{}\n", request == 0 ? "" : "\n", request + 1, requests_.size(),
                     tokenizer_.decode(tokens));
}

}  // namespace batchscope::cli
