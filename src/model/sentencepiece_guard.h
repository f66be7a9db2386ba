// What SentencePiece itself does not check of a model file before it reads memory by it.
#pragma once

#include <string_view>

namespace batchscope {

// Whether a serialized model is a well-formed message whose tables lead nowhere outside of themselves. The library
// (0.1.97) follows the offsets of the normaliser's table unchecked, and keeps at most 32 of its matches and 64 of
// nested user-defined pieces, however many there are.
bool is_safe_sentencepiece_model(std::string_view model);

}  // namespace batchscope
