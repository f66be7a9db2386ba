// Reading protocol buffers field by field, as far as SentencePiece's models need it.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace batchscope {

// A field of a message: a number, or bytes.
struct MessageField {
  std::uint64_t id = 0;
  std::uint64_t number = 0;
  std::string_view bytes;
};

// Calls `visit` for each field; false when the bytes are no message or `visit` says so. Groups, long out of use, are
// refused: nothing may hide in them.
bool each_field(std::string_view message, const std::function<bool(const MessageField&)>& visit);

}  // namespace batchscope
