// Flags as vLLM, lm-evaluation-harness and llama.cpp spell them: taken where they mean the same here, else put right.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope::cli {

// The words of a command line, the verb first, with flags of others in our spelling where the verb has no flag of that
// name and one that means the same. Words behind -- stay.
std::vector<std::string> in_our_spelling(const CLI::App& app, const std::vector<std::string>& words);

// What the flag is called here; "" where nothing like it is known.
std::string our_name_of(std::string_view flag);

}  // namespace batchscope::cli
