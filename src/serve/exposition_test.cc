// Both text formats to the letter, and which of them a client gets.
#include "serve/exposition.h"

#include <gtest/gtest.h>

namespace batchscope::serve {
namespace {

std::vector<MetricFamily> one_of_each() {
  return {
      {.name = "a_watts", .type = MetricType::gauge, .unit = "watts", .help = "power", .samples = {{.value = 0.25}}},
      {.name = "b_bytes",
       .type = MetricType::counter,
       .unit = "bytes",
       .help = "sent",
       .samples = {{.labels = {{"gpu", "0"}, {"uuid", "GPU-1"}}, .value = 9007199254740991}}},
      {.name = "nothing", .type = MetricType::gauge, .help = "has no sample"},
      {.name = "c_ratio",
       .type = MetricType::summary,
       .unit = "ratio",
       .help = "all",
       .samples = {{.value = 1.5, .suffix = "_sum"}, {.value = 3, .suffix = "_count"}}},
      {.name = "d", .type = MetricType::info, .help = "what", .samples = {{.labels = {{"v", "1"}}, .value = 1}}}};
}

TEST(Exposition, OpenMetrics) {
  EXPECT_EQ(to_text(one_of_each(), TextFormat::openmetrics),
            "# HELP a_watts power\n# TYPE a_watts gauge\n# UNIT a_watts watts\na_watts 0.25\n"
            "# HELP b_bytes sent\n# TYPE b_bytes counter\n# UNIT b_bytes bytes\n"
            "b_bytes_total{gpu=\"0\",uuid=\"GPU-1\"} 9007199254740991\n"
            "# HELP c_ratio all\n# TYPE c_ratio summary\n# UNIT c_ratio ratio\nc_ratio_sum 1.5\nc_ratio_count 3\n"
            "# HELP d what\n# TYPE d info\nd_info{v=\"1\"} 1\n"
            "# EOF\n");
}

TEST(Exposition, PrometheusCallsAFamilyAsItsSamples) {
  EXPECT_EQ(to_text(one_of_each(), TextFormat::prometheus),
            "# HELP a_watts power\n# TYPE a_watts gauge\na_watts 0.25\n"
            "# HELP b_bytes_total sent\n# TYPE b_bytes_total counter\n"
            "b_bytes_total{gpu=\"0\",uuid=\"GPU-1\"} 9007199254740991\n"
            "# HELP c_ratio all\n# TYPE c_ratio summary\nc_ratio_sum 1.5\nc_ratio_count 3\n"
            "# HELP d_info what\n# TYPE d_info gauge\nd_info{v=\"1\"} 1\n");
}

TEST(Exposition, AUnitThatTheNameDoesNotEndWithIsLeftOut) {
  const std::string text =
      to_text({{.name = "process_count", .unit = "processes", .samples = {{.value = 1}}}}, TextFormat::openmetrics);
  EXPECT_EQ(text.find("# UNIT"), std::string::npos) << text;
}

std::string label_text(const std::string& value) {
  const std::string text =
      to_text({{.name = "x", .samples = {{.labels = {{"l", value}}, .value = 1}}}}, TextFormat::openmetrics);
  const auto begin = text.find("{l=\"") + 4;
  return text.substr(begin, text.rfind("\"}") - begin);
}

TEST(Exposition, AnyBytesMayStandInALabel) {
  EXPECT_EQ(label_text("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
  EXPECT_EQ(label_text("Zürich \xE2\x82\xAC \xF0\x9F\x98\x80"), "Zürich \xE2\x82\xAC \xF0\x9F\x98\x80");
  const std::string bad = "\xEF\xBF\xBD";                            // U+FFFD
  EXPECT_EQ(label_text("cut \xE2\x82"), "cut " + bad);               // as the kernel cuts names of processes
  EXPECT_EQ(label_text("\xFF\xC0\x80"), bad + bad + bad);            // never UTF-8; longer than need be
  EXPECT_EQ(label_text("\xED\xA0\x80 x"), bad + bad + bad + " x");   // a surrogate
  EXPECT_EQ(label_text("\xF4\x90\x80\x80"), bad + bad + bad + bad);  // beyond Unicode
}

TEST(Exposition, FormatByAccept) {
  const auto wants = [](const char* accept) { return preferred_format(accept); };
  EXPECT_EQ(wants(""), TextFormat::openmetrics);
  EXPECT_EQ(wants("*/*"), TextFormat::openmetrics);
  EXPECT_EQ(wants("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            TextFormat::openmetrics);
  EXPECT_EQ(wants("text/plain"), TextFormat::prometheus);
  EXPECT_EQ(wants("text/plain; version=0.0.4 ; q=0.9, application/openmetrics-text;q=0.2"), TextFormat::prometheus);
  EXPECT_EQ(wants("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), TextFormat::prometheus);
  EXPECT_EQ(wants(";;,,q=,;q=x"), TextFormat::openmetrics);
}

}  // namespace
}  // namespace batchscope::serve
