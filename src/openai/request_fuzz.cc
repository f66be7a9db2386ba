// Fuzz target: bodies of requests. Whatever they are ends in a question within its limits, or in a refusal with a
// status of the client's; messages go through a chat template, too.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "openai/chat.h"
#include "openai/request.h"

using namespace batchscope;

namespace {

void check(const openai::Question& question) {
  if (question.n < 1 || question.n > openai::most_answers) std::abort();
  if (question.max_tokens && *question.max_tokens < 0) std::abort();
  if (!(question.sampling.temperature >= 0) || !(question.sampling.top_p > 0)) std::abort();
  for (const openai::Prompt& prompt : question.prompts)
    for (const std::int32_t id : prompt.ids)
      if (id < 0) std::abort();
}

template <class Parse>
void parse(std::string_view body, const Parse& use) {
  try {
    use(body);
  } catch (const openai::Refusal& refusal) {
    if (refusal.status != 400) std::abort();
    to_json(refusal);
  } catch (const InputError&) {  // of the template
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const openai::ChatFormat format(
      {.source = "{% for m in messages %}{{ m.role ~ m.content }}{{ m | tojson }}{% endfor %}"});
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  parse(body, [](std::string_view text) { check(openai::parse_completion(text)); });
  parse(body, [](std::string_view text) { openai::parse_tokenize(text); });
  parse(body, [](std::string_view text) { openai::parse_detokenize(text); });
  parse(body, [](std::string_view text) {
    const openai::Question question = openai::parse_chat(text);
    check(question);
    format.text(question.messages, question.add_generation_prompt, question.template_values, Nanoseconds(0));
  });
  return 0;
}
