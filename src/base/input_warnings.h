// What is doubtful about the files that a run was given, and does not stop it. It must not be overlooked later either:
// it stands in every result of this process.
#pragma once

#include <string>
#include <vector>

namespace batchscope {

// Says it on standard error and keeps it; the same text again does nothing. Any thread.
void warn_of_input(const std::string& text);
std::vector<std::string> input_warnings();  // in their order

}  // namespace batchscope
