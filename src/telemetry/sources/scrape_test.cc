// Metrics of servers: what the text means, and which URLs are none. A server that is played stands in scrape_test.py.
#include "telemetry/sources/scrape.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "telemetry/collected_rows.h"
#include "telemetry/sources/metrics_text.h"

namespace batchscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// "name{labels} value kind"
std::vector<std::string> samples(std::string_view text) {
  std::vector<std::string> out;
  for (const auto& sample : parse_metrics_text(text).samples)
    out.push_back(
        fmt::format("{}{{{}}} {} {}", sample.name, to_text(sample.labels), sample.value, name_of(sample.kind)));
  return out;
}

TEST(MetricsText, TypesOfPrometheus) {
  EXPECT_THAT(samples("# HELP q help\n# TYPE q gauge\nq{engine=\"0\",m=\"a b\"} 3\n"
                      "# TYPE t_total counter\nt_total 1.5e+06 1700000000000\n"
                      "# TYPE t_created gauge\nt_created 1.7e9\n"
                      "# TYPE old counter\nold 4\n"
                      "untyped 5\nuntyped_total 6\n"),
              ElementsAre("q{engine=\"0\",m=\"a b\"} 3 gauge", "t_total{} 1500000 cumulative", "old{} 4 cumulative",
                          "untyped{} 5 gauge", "untyped_total{} 6 cumulative"));
}

TEST(MetricsText, HistogramsAndSummariesAreSumAndCount) {
  EXPECT_THAT(samples("# TYPE h_seconds histogram\nh_seconds_bucket{le=\"1\"} 2\nh_seconds_bucket{le=\"+Inf\"} 3\n"
                      "h_seconds_sum 2.5\nh_seconds_count 3\nh_seconds_created 1\n"
                      "# TYPE s summary\ns{quantile=\"0.5\"} 7\ns_sum 9\ns_count 2\n"),
              ElementsAre("h_seconds_sum{} 2.5 cumulative", "h_seconds_count{} 3 cumulative",
                          "s{quantile=\"0.5\"} 7 gauge", "s_sum{} 9 cumulative", "s_count{} 2 cumulative"));
}

TEST(MetricsText, OpenMetrics) {
  EXPECT_THAT(samples("# TYPE a counter\n# UNIT a seconds\na_total{x=\"1\"} 17 1520879607.789 # {trace=\"1\"} 0.5 2\n"
                      "# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE e stateset\ne{e=\"on\"} 1\n# EOF\n"),
              ElementsAre("a_total{x=\"1\"} 17 cumulative"));
}

TEST(MetricsText, EscapesAndNumbers) {
  const auto page = parse_metrics_text("x{a=\"q\\\"b\\\\n\\nl\",} NaN\r\ny +Inf\nz -1e400\n");
  ASSERT_EQ(page.samples.size(), 3U);
  EXPECT_EQ(page.samples[0].labels.at(0).value, "q\"b\\n\nl");
  EXPECT_TRUE(std::isnan(page.samples[0].value));
  EXPECT_TRUE(std::isinf(page.samples[1].value));
  EXPECT_TRUE(std::isnan(page.samples[2].value));
}

TEST(MetricsText, WhatIsNoSampleIsCounted) {
  const auto page = parse_metrics_text("<html>\nx{a=\"1\" 2\nx{a=1} 2\n{} 1\nx\nx 1 2 3\nx 0x10\nok 1\n");
  EXPECT_EQ(page.malformed_lines, 6U);  // "x 1 2 3": what follows a time stamp is nobody's
  EXPECT_EQ(page.samples.size(), 2U);
}

std::string scrape_refusal(const std::string& url) {
  try {
    scrape_source(url, std::chrono::seconds(1));
  } catch (const InputError& error) {
    return error.what();
  }
  return "none";
}

TEST(Scrape, Urls) {
  for (const char* good :
       {"http://localhost:8000/metrics", "http://localhost:8000", "http://[::1]:8000/x?y=z", "http://h", "https://h"})
    EXPECT_EQ(scrape_refusal(good), "none") << good;
  EXPECT_EQ(scrape_source("http://[::1]:8000", std::chrono::seconds(1))->name(), "scrape [::1]:8000");
  for (const char* bad : {"", "localhost:8000", "http://", "http://:80/", "http://h/a b", "http://h\r\nX: y/"})
    EXPECT_THAT(scrape_refusal(bad), HasSubstr("http://HOST[:PORT][/PATH]")) << bad;
  EXPECT_THAT(scrape_refusal("http://h:99999/"), HasSubstr("port"));
  for (const char* secret : {"http://user:secret@h/", "https://user:secret@h", "ftp://user:secret@h/", "user:secret@h",
                             "http://user:secret@h\n", "http://:secret@", "http://user:secret@h:99999/"})
    EXPECT_THAT(scrape_refusal(secret), testing::Not(HasSubstr("secret"))) << secret;
}

TEST(Scrape, AServerThatIsDownIsAbsent) {
  const auto source = scrape_source("http://127.0.0.1:1", std::chrono::seconds(1));  // nobody listens there
  EXPECT_TRUE(source->discover(monotonic_clock()));
  ASSERT_EQ(source->groups().size(), 1U);
  const auto rows = read_rows(*source, 0, monotonic_clock());
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_STREQ(rows[0].readings.at(0).absent, "the server refuses connections");
  EXPECT_TRUE(read_rows(*source, 0, monotonic_clock()).empty());  // a scrape is one reading
  EXPECT_FALSE(source->discover(monotonic_clock()));
}

}  // namespace
}  // namespace batchscope
