// Which chart a series is drawn in, and latencies over time.
#include "report/page/series_chart.h"

#include <gtest/gtest.h>

#include "report/page/latency_curves.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

SeriesRecord series(const std::string& device, const std::string& name, const std::string& source = "x") {
  return {.name = name, .kind = "cumulative", .device = device, .source = source};
}

TEST(SeriesCharts, TheBetterSeriesOfADeviceIsDrawn) {
  const std::vector<SeriesRecord> all{
      series("gpu:0", "gpu_nvlink_rx_bytes_total"),        series("gpu:0", "gpu_nvlink_rx_bytes_per_second"),
      series("gpu:1", "gpu_nvlink_rx_bytes_total"),        series("gpu:0", "gpu_power_watts"),
      series("gpu:0", "gpu_energy_joules_total"),          series("gpu:0", "gpu_utilization_ratio"),
      series("gpu:0", "gpu_ecc_corrected_errors_total"),   series("h:1", "process_cpu_seconds_total", "scrape h:1"),
      series("pid 7", "process_cpu_seconds_total", "host")};
  const auto charts = series_charts(all);
  ASSERT_EQ(charts.size(), all.size());
  EXPECT_FALSE(charts[0]) << "GPM's rate is finer";
  EXPECT_EQ(charts[1]->title, "NVLink: received");
  EXPECT_EQ(charts[2]->title, "NVLink: received") << "a GPU without GPM";
  EXPECT_EQ(charts[3]->quantity, "watts");
  EXPECT_FALSE(charts[4]);
  EXPECT_LT(charts[5]->order, charts[1]->order) << "utilisation first";
  EXPECT_FALSE(charts[6]);
  EXPECT_NE(charts[7]->title, charts[8]->title) << "the server's process is not the command's";
}

TEST(LatencyCurves, AreOfTheRequestsThatEndedInEachWindow) {
  const TestFolder folder;
  StoreWriter store(folder / "s.bscope", OpenMode::create);
  const std::int64_t session = store.begin_session("record");
  std::vector<SeriesRecord> all{series("h:1 le=\"0.1\"", "vllm:time_to_first_token_seconds_bucket", "scrape h:1"),
                                series("h:1 le=\"+Inf\"", "vllm:time_to_first_token_seconds_bucket", "scrape h:1"),
                                series("h:1", "vllm:time_to_first_token_seconds_sum", "scrape h:1"),
                                series("h:1", "vllm:time_to_first_token_seconds_count", "scrape h:1")};
  SampleBlock block;
  for (SeriesRecord& one : all) {
    one.session = session;
    one.is_integer = false;
    one.id = store.add_series(one);
    block.columns.push_back({.series = one.id});
  }
  // Ten requests of 50 ms in the first four seconds, none later.
  for (int second = 0; second <= 8; ++second) {
    const double requests = second < 4 ? 2.5 * second : 10;
    block.before.push_back(std::chrono::seconds(second));
    for (const auto& [column, value] : {std::pair(0, requests), {1, requests}, {2, 0.05 * requests}, {3, requests}})
      block.columns[static_cast<std::size_t>(column)].reals.push_back(value);
  }
  block.after = block.before;
  store.append_samples({&block, 1}, {});
  const auto curves = latency_curves(store.reader(), all, Nanoseconds(0), std::chrono::seconds(8), 2);
  ASSERT_EQ(curves.size(), 4U);
  EXPECT_EQ(curves[0].statistic, "mean");
  EXPECT_EQ(curves[0].kind, "time to first token");
  EXPECT_NEAR(curves[0].windows.at(0).value(), 0.05, 1e-9);
  EXPECT_FALSE(curves[0].windows.at(1)) << "none ended there";
  EXPECT_EQ(curves[1].statistic, "p50");
  EXPECT_NEAR(curves[1].windows.at(0).value(), 0.05, 1e-9);
}

}  // namespace
}  // namespace batchscope
