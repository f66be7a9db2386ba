// Tests of the planning device: its trace, an own sum, against the arena's high-water mark.
#include "device/plan/plan_device.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>

namespace batchscope {
namespace {

std::int64_t sum(const BytesByUse& bytes) { return std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0}); }

// Allocates and opens scopes at random, as a forward pass's nested steps do.
void work(Arena& arena, int depth) {
  const ArenaScope scope(arena);
  const auto steps = *rc::gen::inRange(0, 5);
  for (int step = 0; step < steps; ++step) {
    if (depth > 0 && *rc::gen::inRange(0, 3) == 0) {
      work(arena, depth - 1);
    } else {
      const auto use = memory_uses[*rc::gen::inRange<std::size_t>(0, memory_uses.size())];
      arena.allocate("x", use, DType::bf16, *rc::gen::inRange<std::int64_t>(0, 50),
                     *rc::gen::inRange<std::int64_t>(0, 50));
    }
  }
}

RC_GTEST_PROP(PlanDevice, TheTracesPeakIsTheArenas, ()) {
  PlanDevice device("plan:0");
  device.arena().allocate("weights", MemoryUse::weights, DType::f32, 1, *rc::gen::inRange<std::int64_t>(0, 100));
  for (int round = 0; round < 3; ++round) {
    work(device.arena(), 3);
    RC_ASSERT(sum(device.bytes_at_peak()) == device.arena().peak());
  }
}

TEST(PlanDevice, SaysWhatThePeakConsistsOf) {
  PlanDevice device("plan:0");
  Arena& arena = device.arena();
  arena.allocate("weights", MemoryUse::weights, DType::f32, 1, 16);
  {
    const ArenaScope scope(arena);
    arena.allocate("a", MemoryUse::activations, DType::f32, 1, 16);
    arena.allocate("w", MemoryUse::workspace, DType::f32, 1, 32);
  }
  arena.allocate("kv", MemoryUse::kv, DType::f32, 1, 16);
  EXPECT_EQ(device.bytes_at_peak(), (BytesByUse{64, 0, 64, 128, 0, 0}));
}

TEST(PlanDevice, HasRoomForAnyModelAndTouchesNone) {
  PlanDevice device("plan:0");
  const Tensor x = device.arena().allocate("weights", MemoryUse::weights, DType::bf16, 1 << 20, 1 << 20);
  device.upload(HostMatrix{}, x);
  EXPECT_EQ(device.arena().used(), std::int64_t{1} << 41);
  device.launch({"op", 12.5, 3}, 0);
  device.launch({"op", 2.5, 3}, 0);
  EXPECT_EQ(device.flop(), 15);
  EXPECT_EQ(device.download(x.row_range(0, 1).column_range(0, 3)), std::vector<float>(3));
}

}  // namespace
}  // namespace batchscope
