// Fuzzes task files: every accepted question has a right choice.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "task/question.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    for (const batchscope::Question& question :
         batchscope::parse_questions({reinterpret_cast<const char*>(data), size}, "fuzz"))
      if (question.gold < 0 || question.gold >= static_cast<std::int64_t>(question.choices.size())) std::abort();
  } catch (const batchscope::InputError&) {
  }
  return 0;
}
