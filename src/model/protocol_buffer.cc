// Walks over the fields of a protocol buffer with protozero.
#include "model/protocol_buffer.h"

#include <protozero/exception.hpp>
#include <protozero/pbf_reader.hpp>

namespace batchscope {

bool each_field(std::string_view message, const std::function<bool(const MessageField&)>& visit) {
  using protozero::pbf_wire_type;
  try {
    protozero::pbf_reader reader(message.data(), message.size());
    while (reader.next()) {
      MessageField field{.id = reader.tag(), .number = 0, .bytes = {}};
      if (reader.wire_type() == pbf_wire_type::varint) {
        field.number = reader.get_uint64();
      } else if (reader.wire_type() == pbf_wire_type::length_delimited) {
        const auto bytes = reader.get_view();
        field.bytes = {bytes.data(), bytes.size()};
      } else {
        reader.skip();
      }
      if (!visit(field)) return false;
    }
  } catch (const protozero::exception&) {
    return false;
  }
  return true;
}

}  // namespace batchscope
