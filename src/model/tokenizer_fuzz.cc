// Fuzzes tokenizer.model and tokenizer_config.json: one of them comes from the fuzzer, behind a byte that says which.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "model/sentencepiece_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    if (data[0] == 'c') {
      batchscope::parse_tokenizer_config(text, "fuzz");
      return 0;
    }
    batchscope::TokenizerSettings settings;
    settings.legacy = data[0] != 'n';
    settings.add_bos = data[0] == 'b';
    const auto tokenizer = batchscope::make_sentencepiece_tokenizer(text, "fuzz", settings);
    for (const std::string_view sample : {"", "a b", "ab\xff\xf0 </s>c", "\u65e5\u672c a"}) {
      const auto ids = tokenizer->encode(sample);
      for (const std::int32_t id : ids)
        if (id < 0 || id >= tokenizer->vocabulary()) std::abort();
      tokenizer->decode(ids);
    }
  } catch (const batchscope::InputError&) {
  }
  return 0;
}
