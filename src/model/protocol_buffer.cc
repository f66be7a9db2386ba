// The wire format of protocol buffers (model/protocol_buffer.h).
#include "model/protocol_buffer.h"

#include <optional>

namespace batchscope {
namespace {

std::optional<std::uint64_t> take_varint(std::string_view& rest) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 70 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

}  // namespace

bool each_field(std::string_view rest, const std::function<bool(const MessageField&)>& visit) {
  while (!rest.empty()) {
    const auto tag = take_varint(rest);
    if (!tag || *tag > 0xffffffffu) return false;
    MessageField field{.id = *tag >> 3, .number = 0, .bytes = {}};
    std::optional<std::uint64_t> size = 0;
    if ((*tag & 7) == 0) {
      const auto number = take_varint(rest);
      if (!number) return false;
      field.number = *number;
    } else if ((*tag & 7) == 1) {
      size = 8;
    } else if ((*tag & 7) == 5) {
      size = 4;
    } else if ((*tag & 7) == 2) {
      size = take_varint(rest);
    } else {
      return false;
    }
    if (!size || *size > rest.size()) return false;
    field.bytes = rest.substr(0, *size);
    rest.remove_prefix(*size);
    if (!visit(field)) return false;
  }
  return true;
}

}  // namespace batchscope
