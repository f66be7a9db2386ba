// Small pieces of HTML. Every string of a file is foreign: it passes html_text() or script_json() before it is written.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "report/text.h"

namespace batchscope {

// As text, or as an attribute's value in double quotes; control characters become U+FFFD.
std::string html_text(std::string_view text);

// The same for running text: a number and its % stay on one line.
std::string html_prose(std::string_view text);

// `<td …>` of a table, in one line. `th` of a row when `is_header`.
std::string html_field(const TextTable::Field& field, bool is_text, bool is_header = false);

// A whole table in a box that scrolls by itself; `label` names the box to those who do not see it. Without values it
// cannot be sorted by them, and is smaller.
std::string html_table(const TextTable& table, std::string_view label, bool with_values = true);

// Data for the page's script: JSON in which nothing can end the element.
std::string script_json(std::string_view id, const nlohmann::json& data);

// A number for a script or a style sheet's eyes: shortest text that reads back the same; "" when it is not finite.
std::string exact_number(const std::optional<double>& value);

}  // namespace batchscope
