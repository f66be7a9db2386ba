// A SentencePiece model's pieces, for the models whose way of encoding is BPE.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

// As in sentencepiece_model.proto.
enum class SentencePieceKind : std::uint64_t { unigram = 1, bpe = 2, word = 3, character = 4 };
enum class PieceType : std::uint64_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct SentencePieceModel {
  SentencePieceKind kind = SentencePieceKind::unigram;
  std::vector<std::string> pieces;  // by id
  std::vector<PieceType> types;
};

// `content` is that of a tokenizer.model, named by `origin` in errors.
SentencePieceModel parse_sentencepiece_model(std::string_view content, std::string_view origin);

}  // namespace batchscope
