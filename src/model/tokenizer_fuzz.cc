// Fuzzes tokenizer.model and tokenizer_config.json: one of them comes from the fuzzer, behind a byte that says which.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "model/sentencepiece_model.h"
#include "model/sentencepiece_tokenizer.h"
#include "model/tokenizer_config.h"
#include "model/tokenizer_families.h"

namespace {

using namespace batchscope;

void use(const Tokenizer& tokenizer) {
  for (const std::string_view sample : {"", "a b", "ab\xff\xf0 </s>c", "\u65e5\u672c a"}) {
    const auto ids = tokenizer.encode(sample);
    for (const std::int32_t id : ids)
      if (id < 0 || id >= tokenizer.vocabulary()) std::abort();
    tokenizer.decode(ids);
  }
}

void use_as_bpe(std::string_view content) {
  const SentencePieceModel pieces = parse_sentencepiece_model(content, "fuzz");
  PipelineModel model;
  for (std::size_t i = 0; i < pieces.pieces.size(); ++i)
    model.bpe.vocabulary[pieces.pieces[i]] = static_cast<std::int32_t>(i);
  model.bpe.merges = merges_of_pieces(pieces.pieces, {}, "fuzz");
  make_llama(model, {});
  use(*make_pipeline_tokenizer(std::move(model), "fuzz"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    if (data[0] == 'c') {
      parse_tokenizer_config(text, "fuzz");
    } else if (data[0] == 'p') {
      use_as_bpe(text);
    } else {
      TokenizerSettings settings;
      settings.legacy = data[0] != 'n';
      settings.add_bos = data[0] == 'b';
      use(*make_sentencepiece_tokenizer(text, "fuzz", settings));
    }
  } catch (const InputError&) {
  }
  return 0;
}
