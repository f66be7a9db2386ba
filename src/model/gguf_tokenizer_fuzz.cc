// Fuzzes the tokenizer inside GGUF files.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "model/gguf_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto tokenizer =
        batchscope::make_gguf_tokenizer(batchscope::Gguf(std::as_bytes(std::span(data, size)), "fuzz"));
    for (const std::string_view text : {"", "a  b\n12<s>\xff\u65e5", "the end</s>"}) {
      const auto ids = tokenizer->encode(text);
      for (const std::int32_t id : ids)
        if (id < 0 || id >= tokenizer->vocabulary()) std::abort();
      tokenizer->decode(ids);
    }
  } catch (const batchscope::InputError&) {
  }
  return 0;
}
