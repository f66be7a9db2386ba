// Fuzz target: a chat template of anybody's checkpoint. Whatever it is ends in a text or in an InputError, within the
// limits.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "jinja/template.h"

using namespace batchscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr jinja::RenderLimits limits{.steps = 20'000, .bytes = 1 << 20};
  jinja::Dict message, variables;
  message.set("role", "user");
  message.set("content", " some text ");
  variables.set("messages", jinja::List{message, message});
  variables.set("add_generation_prompt", true);
  variables.set("bos_token", "<s>");
  try {
    const jinja::Template made({reinterpret_cast<const char*>(data), size});
    if (std::ssize(made.render(variables, limits)) > limits.bytes) std::abort();
  } catch (const InputError&) {
  }
  return 0;
}
