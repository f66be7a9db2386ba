// Pages and figures of load runs: what is drawn of one and of several, and what is not known.
#include "report/page/load_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/figure/load_figures.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// A request every 100 ms with a TTFT of `ttft` and two tokens more, 10 ms apart.
LoadReport run_of(nlohmann::json spec, int ttft, int requests = 20) {
  LoadRunRecord run{.id = 1, .session = 1, .begin = milliseconds(500)};
  spec["slo_terms"] = "ttft=60ms";
  spec["slo"] = "TTFT ≤ 60 ms";
  spec["warm_up"] = 0U;
  run.spec_json = spec.dump();
  std::vector<LoadRequestRecord> records;
  for (int i = 0; i < requests; ++i) {
    const int at = 100 * i;
    LoadRequestRecord request{.position = i,
                              .outcome = "ok",
                              .intended = milliseconds(at),
                              .due = milliseconds(at),
                              .started = milliseconds(at),
                              .sent = milliseconds(at),
                              .end = milliseconds(at + ttft + 20),
                              .asked_output_tokens = 3,
                              .prompt_tokens = 4,
                              .output_tokens = 3};
    for (int token = 0; token < 3; ++token)
      request.chunks.push_back({.at = milliseconds(at + ttft + 10 * token), .tokens = 1});
    records.push_back(std::move(request));
  }
  return make_load_report(run, records);
}

std::vector<std::string> ids_of(const std::vector<Figure>& figures) {
  std::vector<std::string> ids;
  for (const Figure& figure : figures) ids.push_back(figure.id);
  return ids;
}

const Figure& find(const std::vector<Figure>& figures, std::string_view id) {
  for (const Figure& figure : figures)
    if (figure.id == id) return figure;
  throw std::out_of_range("no such figure");
}

TEST(LoadFigures, OfOneRunThereIsNoCurveOverRates) {
  const LoadReport run = run_of({{"rate", "10"}}, 50);
  const std::vector<Figure> figures = load_figures(std::span(&run, 1));
  EXPECT_THAT(ids_of(figures), ElementsAre("distribution_ttft", "distribution_itl", "distribution_tpot",
                                           "distribution_e2e", "requests", "under_way", "tokens"));
  const auto& points = find(figures, "distribution_ttft").series[0].points;
  EXPECT_EQ(points.back().y, 1);
  EXPECT_EQ(points.back().x, 50);
  for (std::size_t i = 1; i < points.size(); ++i) EXPECT_GE(points[i].y, points[i - 1].y);
  double most = 0;
  for (const FigurePoint& point : find(figures, "under_way").series[0].points) most = std::max(most, point.y);
  EXPECT_EQ(most, 1);
}

TEST(LoadFigures, SeveralRunsMakeAGoodputCurveForEachServer) {
  std::vector<LoadReport> runs;
  for (const char* url : {"http://a", "http://b"})
    for (const char* rate : {"20", "10"})
      runs.push_back(run_of({{"rate", rate}, {"url", url}, {"model", "m"}}, rate[0] == '2' ? 80 : 50));
  const std::vector<Figure> figures = load_figures(runs);
  const Figure& goodput = find(figures, "goodput_rate");
  ASSERT_EQ(goodput.series.size(), 4U);  // goodput and throughput of two servers
  EXPECT_THAT(goodput.series[0].name, HasSubstr("m at http://a"));
  ASSERT_EQ(goodput.series[0].points.size(), 2U);
  EXPECT_EQ(goodput.series[0].points[0].x, 10);
  EXPECT_GT(goodput.series[0].points[0].y, 9);
  EXPECT_EQ(goodput.series[0].points[1].y, 0);  // 80 ms meet nothing
  EXPECT_EQ(find(figures, "ttft_rate").series[0].points[1].y, 80);
  EXPECT_THAT(ids_of(figures), Not(Contains("goodput_concurrency")));
  EXPECT_THAT(load_run_labels(runs)[2], HasSubstr("20/s, m at http://b"));
}

TEST(LoadFigures, RunsThatAreAskedAlikeAreNumbered) {
  const std::vector<LoadReport> runs{run_of({{"concurrency", 4}}, 50), run_of({{"concurrency", 4}}, 50),
                                     run_of({{"concurrency", 8}}, 50)};
  EXPECT_THAT(load_run_labels(runs), ElementsAre("concurrency 4 (run 1)", "concurrency 4 (run 2)", "concurrency 8"));
  EXPECT_EQ(find(load_figures(runs), "goodput_concurrency").series[0].points.size(), 3U);
}

TEST(LoadFigures, UnknownTokensAreNotDrawn) {
  LoadReport run = run_of({}, 50);
  run.requests[3].chunks[1].tokens.reset();
  EXPECT_THAT(ids_of(load_figures(std::span(&run, 1))), Not(Contains("tokens")));
}

class LoadPageTest : public testing::Test {
 protected:
  // A session with a counter that is read every 100 ms from `begin`.
  StoreReader reader_with_series(milliseconds begin) {
    {
      StoreWriter writer(folder_ / "l.bscope", OpenMode::create);
      const auto session = writer.begin_session("load");
      const auto series = writer.add_series({.session = session,
                                             .name = "requests_waiting",
                                             .unit = "",
                                             .kind = "gauge",
                                             .device = "server",
                                             .source = "scrape"});
      SampleBlock block{.before = {}, .after = {}, .columns = {{.series = series}}};
      for (int i = 0; i < 20; ++i) {
        block.before.push_back(begin + milliseconds(100 * i));
        block.after.push_back(begin + milliseconds(100 * i));
        block.columns[0].integers.push_back(i);
      }
      writer.append_samples({&block, 1}, {});
    }
    return StoreReader(folder_ / "l.bscope");
  }

  TestFolder folder_;
};

TEST_F(LoadPageTest, ShowsTheServersCountersWhileTheRunLasted) {
  const StoreReader reader = reader_with_series(milliseconds(600));
  const LoadReport run = run_of({{"rate", "10"}, {"model", "m"}}, 50);
  const std::string html = to_html(load_page(std::span(&run, 1), reader));
  EXPECT_THAT(html, HasSubstr("Median TTFT"));
  EXPECT_THAT(html, HasSubstr("20 of 20"));
  EXPECT_THAT(html, HasSubstr("Server and machine"));
  EXPECT_THAT(html, HasSubstr("requests_waiting"));
}

TEST_F(LoadPageTest, LeavesOutWhatWasRecordedAtOtherTimes) {
  const StoreReader reader = reader_with_series(milliseconds(60'000));
  const LoadReport run = run_of({{"rate", "10"}}, 50);
  EXPECT_THAT(to_html(load_page(std::span(&run, 1), reader)), Not(HasSubstr("Server and machine")));
}

TEST_F(LoadPageTest, EveryFigureHasItsPlaceOnce) {
  const StoreReader reader = reader_with_series(milliseconds(600));
  const std::vector<LoadReport> runs{run_of({{"rate", "10"}, {"model", "<img src=x>"}}, 50), run_of({{"rate", "20"}}, 70)};
  const Page page = load_page(runs, reader);
  std::vector<std::string> ids;
  for (const PagePart& part : page.parts)
    for (const Figure& figure : part.figures) ids.push_back(figure.id);
  EXPECT_EQ(ids.size(), load_figures(runs).size());
  EXPECT_THAT(ids, Not(Contains("")));
  EXPECT_THAT(to_html(page), Not(HasSubstr("<img src=x>")));
}

}  // namespace
}  // namespace batchscope
