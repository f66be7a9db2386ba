// The libraries that this program runs with, for `--version --verbose`.
#pragma once

#include <string>

namespace batchscope::cli {

// A line each: name and version, of those in files as they are loaded, of those in headers as they were compiled in.
std::string libraries_text();

}  // namespace batchscope::cli
