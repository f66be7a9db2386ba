// The page: well-formed HTML whatever stands in a file's strings, and the same tables as the terminal's.
#include "report/page/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "embedded/page_files.h"
#include "report/page/html.h"
#include "report/svg/svg.h"

namespace batchscope {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* hostile_html = "</script></title><img src=x onerror=\"alert(1)\">'&\x01\u2028]]>";

// What is wrong with the nesting of tags; "" when nothing is. Scripts and styles are skipped as a browser does.
std::string complaint(std::string_view html) {
  const std::set<std::string_view> empty{"meta", "link", "br", "input"};
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != html.npos; at = html.find('<', at)) {
    const std::size_t end = html.find('>', at);
    if (end == html.npos) return "a tag that never ends";
    const std::string_view tag = html.substr(at + 1, end - at - 1);
    at = end;
    if (tag.starts_with("!")) continue;
    const bool closes = tag.starts_with("/");
    const std::string name(tag.substr(closes, tag.find_first_of(" />\n", closes) - closes));
    if (closes) {
      if (open.empty() || open.back() != name)
        return "</" + name + "> closes " + (open.empty() ? "nothing" : open.back());
      open.pop_back();
    } else if (!tag.ends_with("/") && !empty.contains(name)) {
      open.push_back(name);
    }
    if (!closes && (name == "script" || name == "style")) at = html.find("</" + name + ">", at);
  }
  return open.empty() ? "" : "<" + open.back() + "> is never closed";
}

Page page_with(const std::string& text) {
  TextTable table({text, "b"});
  table.add({{text}, {"1.5", Colour::none, 1.5}});
  Figure figure{.id = "f", .title = text, .caption = text, .x = {.label = text}, .y = {.label = text}};
  figure.series.push_back({.name = text, .points = {{.x = 1, .y = 2, .note = text}, {.x = 2, .y = 3, .note = {}}}});
  figure.limits.push_back({.y = 2, .label = text});
  return {.title = text,
          .subtitle = text,
          .badges = {text},
          .facts = {{.label = text, .value = text, .detail = text}},
          .warnings = {text},
          .parts = {{.id = "part",
                     .title = text,
                     .intro = {text},
                     .figures = {figure},
                     .sections = {{"table", text, table, {text}}}}}};
}

TEST(Page, ForeignTextStaysText) {
  const std::string html = to_html(page_with(hostile_html));
  EXPECT_EQ(complaint(html), "");
  EXPECT_THAT(html, Not(HasSubstr("<img")));
  EXPECT_THAT(html, HasSubstr("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;"));
  EXPECT_THAT(html, Not(HasSubstr("\x01")));
  EXPECT_THAT(html, HasSubstr("\\u003c/script"));  // in the figure's data
}

TEST(Page, BrokenUtf8IsReplaced) {
  const std::string html = to_html(page_with("a\xff\xc3z"));
  EXPECT_EQ(html.find('\xff'), std::string::npos);
  EXPECT_EQ(html.find("\xc3z"), std::string::npos);
}

RC_GTEST_PROP(Page, IsWellFormedForAnyText, ()) {
  const auto text = *rc::gen::container<std::string>(
      rc::gen::oneOf(rc::gen::arbitrary<char>(), rc::gen::elementOf(std::string("<>&\"'/!-]script="))));
  RC_ASSERT(complaint(to_html(page_with(text))) == "");
}

TEST(Page, DataForScriptsCannotEndItsElement) {
  const std::string html = script_json("id", {{"a", "</script><!--"}, {"b", "x\u2028\u2029y"}});
  EXPECT_EQ(html.find('<', 1), html.rfind("</script>"));
  const std::size_t begin = html.find('>') + 1;
  const auto json = nlohmann::json::parse(html.substr(begin, html.rfind('<') - begin));
  EXPECT_EQ(json.at("a"), "</script><!--");
  EXPECT_EQ(json.at("b"), "x\u2028\u2029y");
  EXPECT_THAT(html, Not(HasSubstr("\u2028")));
}

TEST(Page, CellsCarryTheirUnroundedValue) {
  EXPECT_EQ(html_field({"1.5 MiB", Colour::red, 1572865}, false),
            "<td class=\"bad\" data-value=\"1572865\">1.5 MiB</td>");
  EXPECT_EQ(html_field({"0.1", Colour::none, 0.1}, false), "<td data-value=\"0.1\">0.1</td>");
  EXPECT_EQ(html_field({"?", Colour::none, std::nullopt}, true), "<td class=\"text\">?</td>");
  EXPECT_EQ(html_field({"a<b"}, true, true), "<th scope=\"row\" class=\"text\">a&lt;b</th>");
}

// Nothing of what is embedded can end the element that it stands in, or is looked for elsewhere.
TEST(Page, EmbeddedFilesStandInTheirElements) {
  for (const std::string_view script : {embedded::dygraph, embedded::script, embedded::early}) {
    EXPECT_GT(script.size(), 100u);
    EXPECT_EQ(script.find("</script"), script.npos);
    EXPECT_EQ(script.find("<!--"), script.npos);
    EXPECT_EQ(script.find("sourceMappingURL"), script.npos);
  }
  for (const std::string_view style : {embedded::style, embedded::dygraph_style})
    EXPECT_EQ(style.find("</style"), style.npos);
}

// The style sheet has something for each colour of a drawing, so that none stays as on paper where the ground is dark.
TEST(Page, DrawingsFollowTheTheme) {
  Figure figure = page_with("x").parts[0].figures[0];
  for (std::size_t style = 0; style < 9; ++style)
    figure.series.push_back({.name = "s", .style = style, .points = {{.x = 0, .y = 1, .hollow = style == 1}}});
  figure.x.categories = {"a", "b", "c"};
  for (const FigureKind kind : {FigureKind::lines, FigureKind::stacked_bars, FigureKind::intervals}) {
    figure.kind = kind;
    const std::string svg = to_svg(figure);
    std::size_t colours = 0;
    for (std::size_t at = 0; (at = svg.find("=\"#", at)) != svg.npos; ++at, ++colours) {
      const std::size_t begin = svg.rfind(' ', at) + 1;
      const std::string attribute = svg.substr(begin, svg.find('"', at + 2) + 1 - begin);
      EXPECT_NE(embedded::style.find(".drawing [" + attribute + "] {"), embedded::style.npos) << attribute;
    }
    EXPECT_GT(colours, 20u);
  }
}

// The policy names our scripts by their digests, so a browser runs them and nothing else.
TEST(Page, OnlyOurScriptsMayRun) {
  const std::string html = to_html(page_with("x"));
  const std::size_t begin = html.find("Content-Security-Policy");
  const std::string policy = html.substr(begin, html.find('>', begin) - begin);
  EXPECT_THAT(policy, HasSubstr("default-src 'none'"));
  EXPECT_THAT(policy, Not(HasSubstr("script-src 'unsafe-inline'")));
  std::size_t digests = 0;
  for (std::size_t at = policy.find("'sha256-"); at != policy.npos; at = policy.find("'sha256-", at + 1)) {
    EXPECT_EQ(policy.find('\'', at + 1) - at - 8, 44u);  // base 64 of 32 bytes
    ++digests;
  }
  EXPECT_EQ(digests, 3u);
}

}  // namespace
}  // namespace batchscope
