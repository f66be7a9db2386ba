// Templates beside Python's jinja2, as transformers calls it (tools/chat_templates.py made testdata/templates.json),
// and what keeps hostile ones bounded.
#include "jinja/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace batchscope::jinja {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

Value value_of(const ordered_json& json) {
  if (json.is_null()) return None{};
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    List all;
    for (const auto& each : json) all.push_back(value_of(each));
    return all;
  }
  Dict all;
  for (const auto& [key, each] : json.items()) all.set(key, value_of(each));
  return all;
}

std::string rendered(const std::string& source, const Dict& variables = {}) {
  return Template(source).render(variables);
}

std::string refusal(const std::string& source, const Dict& variables = {}) {
  try {
    return rendered(source, variables);
  } catch (const InputError& error) {
    return error.what();
  }
}

TEST(Template, AreRenderedAsByPython) {
  const auto golden = ordered_json::parse(read_file(BATCHSCOPE_SOURCE_DIR "/src/jinja/testdata/templates.json"));
  ASSERT_GT(golden["cases"].size(), 40u);
  for (const auto& each : golden["cases"]) {
    const auto source = each["source"].get<std::string>();
    SCOPED_TRACE(source);
    for (const auto& [name, text] : each["texts"].items()) {
      SCOPED_TRACE(name);
      const Value variables = value_of(golden["values"][name]);
      if (text.is_null())
        EXPECT_THROW(rendered(source, *variables.as<Dict>()), InputError);
      else
        EXPECT_EQ(refusal(source, *variables.as<Dict>()), text.get<std::string>());
    }
  }
}

TEST(Template, RefusalsNameTheLineOrSayWhatTheTemplateSays) {
  EXPECT_THAT(refusal("a\nb {{ x | nothing }}"), HasSubstr("line 2: the filter nothing is not supported"));
  EXPECT_THAT(refusal("{% extends 'x' %}"), HasSubstr("{% extends %} is not supported"));
  EXPECT_THAT(refusal("\n\n{% if x %}"), HasSubstr("no {% endif %}"));
  EXPECT_THAT(refusal("{{ raise_exception('only two roles') }}"), HasSubstr("only two roles"));
  EXPECT_THAT(refusal("{{ messages[0].role }}"), HasSubstr("'messages', which is undefined"));
  EXPECT_THAT(refusal("{% break %}"), HasSubstr("stands in no loop"));
  EXPECT_THAT(refusal("{{ 'a' % 1 }}"), HasSubstr("not supported"));
}

TEST(Template, GenerationMarksAreNoText) { EXPECT_EQ(rendered("a{% generation %}b{% endgeneration %}c"), "abc"); }

// Whatever a template does, it ends, within its limits of work, memory and stack.
TEST(Template, HostileOnesEnd) {
  const auto nested = [](int count, const std::string& open, const std::string& inner, const std::string& close) {
    std::string out;
    for (int i = 0; i < count; ++i) out += open;
    out += inner;
    for (int i = 0; i < count; ++i) out += close;
    return out;
  };
  const std::string loop = "{% for i in range(2000) %}";
  const std::string work = "{{ x }}{% if x %}{% endif %}{{ x ~ x }}{% set y = x == x and x is defined %}";
  EXPECT_THAT(refusal(loop + loop + work + "{% endfor %}{% endfor %}"), HasSubstr("too many steps"));
  EXPECT_THAT(
      refusal("{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"),
      HasSubstr("too much text"));
  EXPECT_THAT(refusal("{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x * 9 %}{% endfor %}"),
              testing::AnyOf(HasSubstr("too much text"), HasSubstr("too many steps"), HasSubstr("too often")));
  EXPECT_THAT(refusal("{% set ns = namespace(x=[]) %}{% for i in range(999) %}{% set ns.x = [ns.x] %}{% endfor %}"),
              HasSubstr("nest deeper"));
  EXPECT_THAT(refusal("{% set ns = namespace() %}{% set ns.x = ns %}"), HasSubstr("stands in another"));
  EXPECT_THAT(refusal("{% set ns = namespace() %}{{ [ns] }}"), HasSubstr("nest deeper"));
  EXPECT_THAT(refusal("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), HasSubstr("call each other"));
  EXPECT_THAT(refusal("{{ " + nested(1000, "(", "1", ")") + " }}"), HasSubstr("nests deeper"));
  EXPECT_THAT(refusal("{{ " + nested(1000, "not ", "1", "") + " }}"), HasSubstr("nests deeper"));
  EXPECT_THAT(refusal("{{ " + nested(1000, "-", "1", "") + " }}"), HasSubstr("nests deeper"));
  EXPECT_THAT(refusal(nested(1000, "{% if x %}", "", "{% endif %}")), HasSubstr("nests deeper"));
  EXPECT_THAT(refusal("{{ 1" + nested(1000, " + 1", "", "") + " }}"), HasSubstr("chains more"));
  EXPECT_THAT(refusal("{{ a" + nested(1000, ".a", "", "") + " }}"), HasSubstr("chains more"));
  EXPECT_THAT(refusal("{{ a" + nested(1000, "|trim", "", "") + " }}"), HasSubstr("chains more"));
  EXPECT_THAT(refusal("{{ 'a' * 99999999999 }}"), HasSubstr("too often"));
  EXPECT_THAT(refusal("{{ range(999999999)|list }}"), HasSubstr("more than"));
  EXPECT_THAT(refusal("{{ 9223372036854775807 + 1 }}"), HasSubstr("too large"));
  EXPECT_THAT(refusal("{{ 2 ** 64 }}"), HasSubstr("too large"));
  EXPECT_THAT(refusal("{{ 99999999999999999999 }}"), HasSubstr("too large"));
}

}  // namespace
}  // namespace batchscope::jinja
