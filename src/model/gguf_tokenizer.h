// The tokenizer inside a GGUF file, from its metadata.
#pragma once

#include <memory>

#include "model/gguf.h"
#include "model/tokenizer.h"

namespace batchscope {

// Kinds "llama" (SentencePiece's BPE, merges by score) and "gpt2" (byte-level BPE) with the ways of cutting words that
// transformers knows; everything else is refused by its name.
std::unique_ptr<Tokenizer> make_gguf_tokenizer(const Gguf& file);

}  // namespace batchscope
