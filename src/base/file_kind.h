// What a file is that is not what was asked for: a pointer, a web page, an archive, another encoding. By its first
// bytes.
#pragma once

#include <span>
#include <string_view>

namespace batchscope {

// InputError, beginning with `origin`, that says what the file is and what to do; returns where it is none of these.
// To be called by whatever reads foreign files, before it complains of what it finds in them.
void refuse_foreign_kind(std::string_view content, std::string_view origin);
void refuse_foreign_kind(std::span<const std::byte> content, std::string_view origin);
// The same of text, also for text in UTF-16.
void refuse_foreign_text(std::string_view content, std::string_view origin);

}  // namespace batchscope
