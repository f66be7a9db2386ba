// What the value of a flag may be, said where the flag is made; completion has it from there. Files need no more than
// their type name: FILE, FILE.bscope, FOLDER, PATH.
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope::cli {

struct Values {
  std::vector<std::string> words{};  // empty: anything
  bool is_list = false;              // several of them, with commas between
};

void set_values(CLI::Option& option, std::span<const std::string_view> words, bool is_list = false);
Values values_of(CLI::Option& option);

}  // namespace batchscope::cli
