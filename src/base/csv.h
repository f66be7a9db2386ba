// Comma-separated values as all of the program writes them (RFC 4180).
#pragma once

#include <string>
#include <string_view>

namespace batchscope {

// A field with a text: quoted where it must be, and where readers would otherwise differ: an empty text, which is not an
// unknown one, and a space at either end.
void append_csv_field(std::string& out, std::string_view text);
std::string csv_field(std::string_view text);

}  // namespace batchscope
