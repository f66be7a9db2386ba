// Fuzzes traces: every accepted request has a prompt, an output, and its place in the order of arrival.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "task/workload.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    batchscope::Nanoseconds last{0};
    for (const batchscope::RequestOutline& request :
         batchscope::parse_trace({reinterpret_cast<const char*>(data), size}, "fuzz")) {
      if (request.prompt.has_value() == (request.prompt_tokens > 0)) std::abort();
      if (request.output_tokens < 1 || request.arrival < last) std::abort();
      last = request.arrival;
    }
  } catch (const batchscope::InputError&) {
  }
  return 0;
}
