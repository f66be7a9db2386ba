// Small pieces of HTML (report/page/html.h).
#include "report/page/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/utf8.h"

namespace batchscope {
namespace {

const char* class_of(Colour colour) {
  constexpr const char* names[] = {"", "strong", "dim", "good", "warn", "bad"};
  return names[static_cast<int>(colour)];
}

// A column of words stands left, one of numbers right.
bool is_text_column(const TextTable& table, std::size_t column) {
  const auto& rows = table.rows();
  return std::none_of(rows.begin(), rows.end(), [&](const auto& row) { return row[column].value.has_value(); });
}

}  // namespace

std::string html_text(std::string_view raw) {
  const std::string text = well_formed(raw);  // a page of ill-formed UTF-8 is shown as if in another encoding
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '\n':
        out += c;
        break;
      case '\t':
        out += c;
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
          out += "\ufffd";
        else
          out += c;
    }
  }
  return out;
}

std::string html_prose(std::string_view text) {
  std::string out = html_text(text);
  for (std::size_t at = out.find(" %"); at != out.npos; at = out.find(" %", at)) out.replace(at, 1, "\u00a0");
  return out;
}

std::string exact_number(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? fmt::format("{}", *value) : "";
}

std::string html_field(const TextTable::Field& field, bool is_text, bool is_header) {
  constexpr std::size_t long_width = 36;  // wider ones are broken into lines
  std::string classes = is_text ? "text" : "";
  if (field.colour != Colour::none) classes += fmt::format("{}{}", classes.empty() ? "" : " ", class_of(field.colour));
  if (text_width(field.text) > long_width) classes += classes.empty() ? "long" : " long";
  std::string attributes = is_header ? " scope=\"row\"" : "";
  if (!classes.empty()) attributes += fmt::format(" class=\"{}\"", classes);
  if (const std::string value = exact_number(field.value); !value.empty())
    attributes += fmt::format(" data-value=\"{}\"", value);
  const char* tag = is_header ? "th" : "td";
  return fmt::format("<{}{}>{}</{}>", tag, attributes, html_text(field.text), tag);
}

std::string html_table(const TextTable& table, std::string_view label, bool with_values) {
  std::vector<bool> is_text;
  std::string out = fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table class=\"data\">\n<thead><tr>",
      html_text(label));
  for (std::size_t column = 0; column < table.header().size(); ++column) {
    is_text.push_back(column == 0 || is_text_column(table, column));
    out += fmt::format("<th scope=\"col\"{}>{}</th>", is_text.back() ? " class=\"text\"" : "",
                       html_text(table.header()[column]));
  }
  out += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows()) {
    out += "<tr>";
    for (std::size_t column = 0; column < row.size(); ++column) {
      TextTable::Field field = row[column];
      if (!with_values) field.value.reset();
      out += html_field(field, is_text[column], column == 0);
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string script_json(std::string_view id, const nlohmann::json& data) {
  const std::string json = data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string out = fmt::format("<script type=\"application/json\" id=\"{}\">", html_text(id));
  for (std::size_t i = 0; i < json.size(); ++i) {
    const std::string_view rest = std::string_view(json).substr(i);
    if (json[i] == '<')
      out += "\\u003c";
    else if (rest.starts_with("\u2028") || rest.starts_with("\u2029")) {
      out += rest[2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else
      out += json[i];
  }
  return out + "</script>\n";
}

}  // namespace batchscope
