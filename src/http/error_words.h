// What servers with an OpenAI-like API say of an error.
#pragma once

#include <string>
#include <string_view>

namespace batchscope::http {

// What the body of an answer that is an error says, in one line; "": nothing.
std::string error_words(std::string_view body);

}  // namespace batchscope::http
