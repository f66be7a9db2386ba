// Writes a page (report/page/page.h): HTML that stands without scripts, and the scripts that make it handy.
#include "report/page/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "embedded/page_files.h"
#include "report/page/html.h"
#include "report/svg/svg.h"

namespace batchscope {
namespace {

// From the hexadecimal digest that the build wrote to what a content security policy wants.
std::string base64_of_hex(std::string_view hex) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto nibble = [&](std::size_t i) -> std::uint32_t {
    if (i >= hex.size()) return 0;
    return static_cast<std::uint32_t>(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
  };
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 3) {  // 3 hexadecimal digits are 2 of base 64
    const std::uint32_t bits = nibble(i) << 8 | nibble(i + 1) << 4 | nibble(i + 2);
    out += digits[bits >> 6];
    if (i + 1 < hex.size()) out += digits[bits & 63];
  }
  while (out.size() % 4 != 0) out += '=';
  return out;
}

// Only our own scripts run, whatever a file's strings hold; nothing is fetched from anywhere.
std::string security_policy() {
  std::string scripts;
  for (const std::string_view hash : {embedded::dygraph_sha256, embedded::script_sha256, embedded::early_sha256})
    scripts += fmt::format(" 'sha256-{}'", base64_of_hex(hash));
  return fmt::format(
      "default-src 'none'; script-src{}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
      "form-action 'none'",
      scripts);
}

std::string head(const Page& page) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<title>{} - batchscope</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>{}{}</style>\n"
      "<script>{}</script>\n</head>\n",
      security_policy(), html_text(page.title), embedded::dygraph_style, embedded::style, embedded::early);
}

std::string paragraphs(const std::vector<std::string>& texts, const char* class_name) {
  std::string out;
  for (const std::string& text : texts) out += fmt::format("<p class=\"{}\">{}</p>\n", class_name, html_text(text));
  return out;
}

std::string banner(const Page& page) {
  std::string out = "<header class=\"banner\">\n<h1>" + html_text(page.title);
  for (const std::string& badge : page.badges) out += fmt::format(" <span class=\"badge\">{}</span>", html_text(badge));
  out += "</h1>\n";
  if (!page.subtitle.empty()) out += fmt::format("<p class=\"subtitle\">{}</p>\n", html_text(page.subtitle));
  out += "<nav aria-label=\"Contents\"><ul>\n";
  for (const PagePart& part : page.parts)
    out += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", html_text(part.id), html_text(part.title));
  return out + "</ul></nav>\n</header>\n";
}

std::string headline(const Page& page) {
  std::string out = "<section class=\"headline\" aria-label=\"Main results\">\n";
  if (!page.facts.empty()) {
    out += "<dl class=\"facts\">\n";
    for (const PageFact& fact : page.facts)
      out += fmt::format("<div{}><dt>{}</dt><dd><b>{}</b> {}</dd></div>\n", fact.is_bad ? " class=\"bad\"" : "",
                         html_text(fact.label), html_prose(fact.value), html_prose(fact.detail));
    out += "</dl>\n";
  }
  return out + paragraphs(page.warnings, "warning") + "</section>\n";
}

// The same drawing on a screen, in print and without scripts; scripts add tooltips, hide series and download it.
std::string figure_html(const Figure& figure) {
  return fmt::format(
             "<figure class=\"figure\" id=\"figure-{0}\" data-figure=\"{0}\">\n<div class=\"drawing\">{1}</div>\n",
             html_text(figure.id), to_svg(figure, screen_width)) +
         script_json("csv-" + figure.id, to_csv(figure)) + "</figure>\n";
}

std::string section_html(const Section& section) {
  std::string out = fmt::format("<section class=\"table\" id=\"table-{}\">\n", html_text(section.id));
  if (!section.title.empty()) out += fmt::format("<h3>{}</h3>\n", html_text(section.title));
  if (section.table && !section.table->empty())
    out += html_table(*section.table, section.title.empty() ? section.id : section.title);
  return out + paragraphs(section.notes, "note") + "</section>\n";
}

std::string part_html(const PagePart& part) {
  const std::string id = html_text(part.id);
  std::string out =
      fmt::format("<section class=\"part\" id=\"{}\" aria-labelledby=\"{}-title\">\n<h2 id=\"{}-title\">{}</h2>\n", id,
                  id, id, html_text(part.title));
  out += paragraphs(part.intro, "intro");
  if (!part.figures.empty()) {
    out += "<div class=\"figures\">\n";
    for (const Figure& figure : part.figures) out += figure_html(figure);
    out += "</div>\n";
  }
  if (!part.sections.empty()) {
    out += "<div class=\"tables\">\n";
    for (const Section& section : part.sections) out += section_html(section);
    out += "</div>\n";
  }
  return out + part.html + "</section>\n";
}

}  // namespace

std::string to_html(const Page& page) {
  std::string out = head(page);
  out += "<body>\n<a class=\"skip\" href=\"#main\">Skip to the results</a>\n" + banner(page);
  out += "<main id=\"main\">\n" + headline(page);
  for (const PagePart& part : page.parts) out += part_html(part);
  out += "</main>\n";
  out += fmt::format(
      "<footer><p>Written by batchscope. Everything in this page is in this file.</p>\n"
      "<details><summary>Licences of included software</summary><pre>{}</pre></details></footer>\n",
      html_text(embedded::licences));
  for (const std::string_view script : {embedded::dygraph, embedded::script})
    out += fmt::format("<script>{}</script>\n", script);
  return out + "</body>\n</html>\n";
}

}  // namespace batchscope
