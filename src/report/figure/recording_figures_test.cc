// Figures of a recording: rates of what is counted, levels of what is measured, nothing of what stands still.
#include "report/figure/recording_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "report/svg/svg.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

class RecordingFigures : public testing::Test {
 protected:
  // A reading every 10 ms, for 10 s.
  RecordingFigures() {
    StoreWriter writer(file(), OpenMode::create);
    const auto session = writer.begin_session("record");
    const auto add = [&](const char* name, const char* unit, const char* kind) {
      return writer.add_series(
          {.session = session, .name = name, .unit = unit, .kind = kind, .device = "gpu:0 (GPU-1)", .source = "s"});
    };
    SampleBlock block;
    for (const std::int64_t id :
         {add("gpu_pcie_tx_bytes_total", "bytes", "cumulative"), add("gpu_memory_used_bytes", "bytes", "gauge"),
          add("gpu_memory_capacity_bytes", "bytes", "gauge")})
      block.columns.push_back({.series = id});
    for (int i = 0; i < 1000; ++i) {
      block.before.push_back(std::chrono::milliseconds(5000 + 10 * i));
      block.after.push_back(block.before.back());
      block.columns[0].integers.push_back(i < 500 ? 0 : (i - 500) * 1000);
      block.columns[1].integers.push_back(i % 100);
      block.columns[2].integers.push_back(80);
    }
    writer.append_samples({{block}}, {});
  }
  std::string file() const { return folder_ / "r.bscope"; }
  TestFolder folder_;
};

TEST_F(RecordingFigures, GroupsByDeviceAndQuantity) {
  const StoreReader reader(file());
  const auto figures = recording_figures(reader, {});
  ASSERT_EQ(figures.size(), 2U);
  EXPECT_EQ(figures[0].id, "gpu-0-traffic");
  EXPECT_EQ(figures[0].series.at(0).name, "pcie tx");
  EXPECT_NEAR(figures[0].series[0].points.back().y, 100'000, 1);  // bytes per second
  EXPECT_EQ(figures[0].series[0].points.front().y, 0);
  EXPECT_EQ(figures[1].id, "gpu-0-memory");
  ASSERT_EQ(figures[1].series.size(), 1U);  // the capacity never moves
  EXPECT_NEAR(figures[1].series[0].points.back().x, 10, 0.1);
  for (const Figure& figure : figures) EXPECT_THAT(to_svg(figure), testing::HasSubstr("<path"));
}

TEST_F(RecordingFigures, APartIsDrawnInFull) {
  const StoreReader reader(file());
  const auto figures = recording_figures(reader, {.from = std::chrono::seconds(6), .to = std::chrono::seconds(7)});
  const auto& points = figures.at(1).series.at(0).points;
  EXPECT_EQ(points.size(), 101U);
  EXPECT_NEAR(points.front().x, 6, 1e-9);
  EXPECT_FALSE(points.front().low);
  EXPECT_THROW(recording_figures(reader, {.from = std::chrono::seconds(60)}), InputError);
}

}  // namespace
}  // namespace batchscope
