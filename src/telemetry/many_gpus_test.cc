// Eight and sixteen GPUs, each source in a thread of its own, in simulated time: the file has every main curve, and
// nothing was missed.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "store/test_folder.h"
#include "telemetry/collector.h"
#include "telemetry/nvml/fake/control.h"
#include "telemetry/sampler.h"
#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Threads that take turns: the one that wakes first runs until it sleeps, and time is that of the fake's machine.
class Turns : public Clock {
 public:
  explicit Turns(const nvml::fake::Control& control) : control_(control) {
    control.set_time(seconds(1));
    control.set_wall_offset(Nanoseconds(0));
  }
  Nanoseconds now() const override { return control_.time(); }
  Nanoseconds unix_now() const override { return now(); }  // as the fake's stamps

  // Sleeps until then, or until nobody else would wake before.
  void sleep_until(Nanoseconds deadline) override {
    std::unique_lock lock(mutex_);
    const Sleeper me{std::max(deadline, now()), this_thread};
    sleepers_.insert(me);
    pass_on();
    wakes_[me.thread].wait(lock, [&] { return running_ == me.thread; });
  }

  // Runs all, each in a thread, to their ends.
  void run(const std::vector<std::function<void()>>& all) {
    wakes_ = std::vector<std::condition_variable>(all.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < all.size(); ++i) sleepers_.insert({now(), i});
    for (std::size_t i = 0; i < all.size(); ++i)
      threads.emplace_back([this, i, &run_one = all[i]] {
        this_thread = i;
        {
          std::unique_lock lock(mutex_);
          wakes_[i].wait(lock, [&] { return running_ == i; });
        }
        run_one();
        const std::lock_guard guard(mutex_);
        pass_on();
      });
    {
      const std::lock_guard guard(mutex_);
      pass_on();
    }
    for (std::thread& thread : threads) thread.join();
  }

 private:
  struct Sleeper {
    Nanoseconds deadline{0};
    std::size_t thread = 0;
    auto operator<=>(const Sleeper&) const = default;
  };

  void pass_on() {
    if (sleepers_.empty()) return;
    const Sleeper next = *sleepers_.begin();
    sleepers_.erase(sleepers_.begin());
    if (next.deadline > now()) control_.set_time(next.deadline);
    running_ = next.thread;
    wakes_[next.thread].notify_one();
  }

  const nvml::fake::Control& control_;
  std::mutex mutex_;
  std::set<Sleeper> sleepers_;
  std::size_t running_ = SIZE_MAX;
  std::vector<std::condition_variable> wakes_;
  static thread_local std::size_t this_thread;
};
thread_local std::size_t Turns::this_thread = 0;

// Calls cost nothing: in simulated time those of all threads would add up.
std::string scenario_of(int gpus) {
  return fmt::format(R"({{"gpus": {}, "costs_us": {{"nvmlDeviceGetMemoryInfo_v2": 0,
    "nvmlDeviceGetTotalEnergyConsumption": 0, "nvmlDeviceGetGraphicsRunningProcesses_v3": 0, "nvmlGpmSampleGet": 0,
    "nvmlGpmMetricsGet": 0, "138": 0, "139": 0, "140": 0, "141": 0, "197": 0, "198": 0}}, "every_gpu": {{"repeat": true,
    "load": [{{"seconds": 0.7, "pcie_rx_bytes_per_s": 5e10, "gpu_utilization": 0.4, "power_w": 300}},
      {{"seconds": 1.1, "nvlink_tx_bytes_per_s": 2e11, "nvlink_rx_bytes_per_s": 2e11, "sm_activity": 0.8,
        "gpu_utilization": 0.9, "power_w": 650, "memory_used_bytes": 90000000000}}]}}}})",
                     gpus);
}

class ManyGpus : public testing::TestWithParam<int> {
 protected:
  static nvml::fake::Control playing(const std::string& scenario) {
    nvml::fake::Control control(BATCHSCOPE_FAKE_NVML);
    control.set_scenario(scenario);
    return control;
  }
  // Records all GPUs until then.
  void record(StoreWriter& store, Nanoseconds end) {
    const auto library = std::make_shared<const nvml::Library>(BATCHSCOPE_FAKE_NVML);
    constexpr Nanoseconds asked = curve_period, commit_period = milliseconds(500);
    for (nvml::Gpu& gpu : library->gpus())
      for (auto& source : nvml_sources({.library = library, .gpu = std::move(gpu)}))
        samplers_.push_back(std::make_unique<SourceSampler>(std::move(source), asked, turns_));
    std::vector<std::function<void()>> threads;
    for (auto& sampler : samplers_)
      threads.emplace_back([this, &sampler, end] {
        sampler->look_first();
        sampler->begin(Nanoseconds(0));
        for (; sampler->deadline() < end; sampler->tick()) turns_.sleep_until(sampler->deadline());
      });
    Collector collector(&store, store.begin_session("record"));
    threads.emplace_back([&] {
      for (Nanoseconds next = turns_.now() + commit_period; next < end + commit_period; next += commit_period) {
        turns_.sleep_until(next);
        for (auto& sampler : samplers_) collector.drain(*sampler);
        collector.commit();
      }
    });
    turns_.run(threads);
    (*library)->nvmlShutdown();
  }

  nvml::fake::Control control_ = playing(scenario_of(GetParam()));
  Turns turns_{control_};
  std::vector<std::unique_ptr<SourceSampler>> samplers_;
};

TEST_P(ManyGpus, HaveSixValuesASecondOfEveryMainCurve) {
  const TestFolder folder;
  StoreWriter store(folder / "r.bscope", OpenMode::replace);
  constexpr Nanoseconds begin = seconds(3), end = begin + seconds(10);
  record(store, end + seconds(2));  // rings are read later
  for (const auto& sampler : samplers_)
    EXPECT_EQ(sampler->figures().missed + sampler->figures().dropped, 0) << sampler->name();
  constexpr std::array names{
      "gpu_sm_active_ratio",           "gpu_memory_used_bytes",   "gpu_power_watts",
      "gpu_pcie_tx_bytes_total",       "gpu_pcie_rx_bytes_total", "gpu_nvlink_tx_bytes_per_second",
      "gpu_nvlink_rx_bytes_per_second"};
  std::map<std::string, int> curves;  // by name: GPUs that have it
  const StoreReader reader(folder / "r.bscope");
  for (const SeriesRecord& series : reader.series()) {
    const bool is_utilization = series.name == "gpu_utilization_ratio";  // the driver has five a second
    if (!is_utilization && std::find(names.begin(), names.end(), series.name) == names.end()) continue;
    const std::vector<Nanoseconds> instants = reader.samples(series).before;
    const auto values =
        std::count_if(instants.begin(), instants.end(), [&](Nanoseconds at) { return at >= begin && at < end; });
    EXPECT_GE(values, is_utilization ? 50 : 59) << series.name << " of " << series.device;
    EXPECT_TRUE(reader.gaps(series.id).empty()) << series.name << " of " << series.device;
    ++curves[series.name];
  }
  for (const char* name : names) EXPECT_EQ(curves[name], GetParam()) << name;
  EXPECT_EQ(curves["gpu_utilization_ratio"], GetParam());
}
INSTANTIATE_TEST_SUITE_P(EightAndSixteen, ManyGpus, testing::Values(8, 16));

}  // namespace
}  // namespace batchscope
