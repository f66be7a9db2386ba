// Reading tokenizer.model (model/sentencepiece_model.h).
#include "model/sentencepiece_model.h"

#include "base/error.h"
#include "base/file_kind.h"
#include "model/protocol_buffer.h"
#include "model/unicode_text.h"

namespace batchscope {

SentencePieceModel parse_sentencepiece_model(std::string_view content, std::string_view origin) {
  constexpr std::uint64_t piece = 1, trainer = 2, piece_text = 1, piece_type = 3, model_type = 3;
  constexpr std::size_t most_pieces = 1 << 24;
  refuse_foreign_kind(content, origin);
  SentencePieceModel model;
  const auto read_piece = [&](const MessageField& part) {
    if (part.id == piece_text) model.pieces.back() = part.bytes;
    if (part.id == piece_type) model.types.back() = static_cast<PieceType>(part.number);
    return true;
  };
  const bool sound = each_field(content, [&](const MessageField& field) {
    if (field.id == piece) {
      model.pieces.emplace_back();
      model.types.push_back(PieceType::normal);
      return model.pieces.size() <= most_pieces && each_field(field.bytes, read_piece) &&
             well_formed(model.pieces.back()) == model.pieces.back();
    }
    if (field.id != trainer) return true;
    return each_field(field.bytes, [&](const MessageField& part) {
      if (part.id == model_type) model.kind = static_cast<SentencePieceKind>(part.number);
      return true;
    });
  });
  if (!sound || model.pieces.empty())
    throw InputError("{}: not a SentencePiece model; download it again, or use a folder that has one", origin);
  return model;
}

}  // namespace batchscope
