// Fuzzes tokenizer.json and the text itself: the file comes first, a text behind the first zero byte.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find('\0'), size);
  try {
    const auto tokenizer =
        batchscope::make_pipeline_tokenizer(batchscope::parse_tokenizer_json(input.substr(0, end), "fuzz"), "fuzz");
    for (const std::string_view text :
         {input.substr(std::min(end + 1, size)), std::string_view("a  b\n12<s>\xff\u65e5")}) {
      const auto ids = tokenizer->encode(text);
      for (const std::int32_t id : ids)
        if (id < 0 || id >= tokenizer->vocabulary()) std::abort();
      tokenizer->decode(ids);
    }
  } catch (const batchscope::InputError&) {
  }
  return 0;
}
