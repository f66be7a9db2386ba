// `--html FILE` of the verbs that report: the page, beside what they print.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/units.h"
#include "cli/json_option.h"
#include "cli/output.h"
#include "report/page/page.h"

namespace batchscope::cli {

class HtmlOption {
 public:
  CLI::Option* add(CLI::App& command) {
    return command.add_option("--html", destination_, "the report as one self-contained HTML file")->type_name("FILE");
  }
  // After parsing; the page must not take the place of the results.
  void settle(const JsonOption& json, const std::filesystem::path& results) const {
    check_destination(destination_, "--html");
    std::error_code error;
    if (!destination_.empty() && std::filesystem::equivalent(destination_, results, error))
      throw InputError("--html {}: these are the results themselves; name another file", destination_);
    if (destination_ == "-" && json.is_on_standard_output())
      throw InputError("--html and --json cannot both go to standard output; name a file for one of them");
  }
  bool is_given() const { return !destination_.empty(); }
  // Writes the page where it is asked for, and says where it is.
  template <class MakePage>
  void put(const MakePage& page) const {
    if (destination_.empty()) return;
    const std::string html = to_html(page());
    write_output(destination_, html);
    if (destination_ != "-")
      warn(fmt::format("report written to {} ({})", destination_, format_bytes(static_cast<double>(html.size()))));
  }
  // What the terminal shows beside: nothing where the page is there.
  std::string text_or_nothing(std::string text) const { return destination_ == "-" ? "" : std::move(text); }

 private:
  std::string destination_;  // "": none
};

}  // namespace batchscope::cli
