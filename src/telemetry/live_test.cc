// Live: what is gone is forgotten, so that a program may look for months.
#include "telemetry/live.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <set>
#include <thread>

namespace batchscope {
namespace {

// One process or none: each that comes is a new group.
class ComingAndGoing : public Source {
 public:
  explicit ComingAndGoing(const std::atomic<int>& there) : there_(there) {}
  std::string name() const override { return "processes"; }
  Nanoseconds discovery_period() const override { return Nanoseconds(0); }
  bool discover(const Clock&) override {
    const int now = there_;
    if (now == known_) return false;
    known_ = now;
    groups_.clear();
    if (now == 0) return true;
    Counter counter;
    counter.name = "x";
    counter.device = std::to_string(now);
    groups_.push_back({.id = now, .counters = {counter}});
    return true;
  }
  const std::vector<CounterGroup>& groups() const override { return groups_; }
  void read(std::size_t, Rows& rows) override {
    rows.add_now([&](std::span<Reading> out) { out[0] = Reading::of(std::int64_t{known_}); });
  }

 private:
  const std::atomic<int>& there_;
  int known_ = 0;
  std::vector<CounterGroup> groups_;
};

std::set<std::string> devices(Live& live) {
  std::set<std::string> out;
  for (const CounterSummary& s : live.look().counters) out.insert(s.counter.device);
  return out;
}

bool soon(const std::function<bool()>& holds) {
  const Nanoseconds deadline = monotonic_clock().now() + std::chrono::seconds(10);
  while (!holds()) {
    if (monotonic_clock().now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

TEST(Live, ForgetsWhatIsGone) {
  std::atomic<int> there{1};
  std::vector<std::unique_ptr<Source>> sources;
  sources.push_back(std::make_unique<ComingAndGoing>(there));
  Live live(std::move(sources), {.period = std::chrono::milliseconds(1)});
  EXPECT_TRUE(soon([&] { return devices(live) == std::set<std::string>{"1"}; }));
  there = 2;
  EXPECT_TRUE(soon([&] { return devices(live) == std::set<std::string>{"2"}; }));
  there = 0;
  EXPECT_TRUE(soon([&] { return devices(live).empty(); }));
  there = 3;
  EXPECT_TRUE(soon([&] { return devices(live) == std::set<std::string>{"3"}; }));
}

}  // namespace
}  // namespace batchscope
