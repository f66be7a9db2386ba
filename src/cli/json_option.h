// `--json [FILE]` of the verbs that are given a file to read: without a value the JSON goes to standard output.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "cli/output.h"

namespace batchscope::cli {

class JsonOption {
 public:
  void add(CLI::App& command, const std::string& help) {
    option_ = command.add_option("--json", destination_, help + "; without FILE, to standard output")
                  ->type_name("FILE")
                  ->expected(0, 1);
  }
  // After parsing: in `report --json X` without another argument X is what is read.
  void settle(std::string& input) {
    if (option_->count() == 0) return;
    if (input.empty() && destination_ != "-") std::swap(input, destination_);
    if (destination_.empty()) destination_ = "-";
    check_destination(destination_, "--json");
  }
  bool is_on_standard_output() const { return destination_ == "-"; }
  // Prints the text, or writes the JSON, or both, as asked.
  template <class Text, class Json>
  void put(const Text& text, const Json& json) const {
    if (!destination_.empty())
      write_output(destination_, json().dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    if (destination_ != "-") print_text(text());
  }

 private:
  std::string destination_;  // "": none
  CLI::Option* option_ = nullptr;
};

}  // namespace batchscope::cli
