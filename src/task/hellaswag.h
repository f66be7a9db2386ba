// HellaSwag's raw fields made into questions, text for text as lm-evaluation-harness does (docs/formats.md).
#pragma once

#include <string>
#include <string_view>

namespace batchscope {

// Python's str.capitalize(): the first code point in title case, all others in lower case, in UTF-8.
std::string capitalize(std::string_view text);
// Without white space (as Python's str.isspace() sees it) at both ends.
std::string_view strip(std::string_view text);
// Bytes of white space at the end of a text, as Python's str.rstrip() would remove them.
std::size_t trailing_space(std::string_view text);
// HellaSwag's clean-up of WikiHow artefacts: "[title]", "[step]" and the like, and double spaces.
std::string preprocess(std::string_view text);

}  // namespace batchscope
