// Tests of the arena: what a buffer costs, what a limit refuses, what is counted; and of views of tensors.
#include "tensor/arena.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <limits>

#include "base/error.h"
#include "base/test_refusal.h"

namespace batchscope {
namespace {

class ArenaTest : public testing::Test {
 protected:
  Tensor allocate(std::int64_t rows, std::int64_t columns, DType dtype = DType::f32) {
    return arena_.allocate("test buffer", MemoryUse::activations, dtype, rows, columns);
  }

  NoPages pages_;
  Arena arena_{"cpu:3", pages_};
};

TEST_F(ArenaTest, BuffersFillMultiplesOfTheGranularity) {
  const Tensor one = allocate(1, 1), sixteen = allocate(4, 4), seventeen = allocate(1, 17);
  EXPECT_EQ(sixteen.data - one.data, 64);
  EXPECT_EQ(seventeen.data - sixteen.data, 64);
  EXPECT_EQ(arena_.used(), 64 + 64 + 128);
  allocate(0, 5);
  EXPECT_EQ(arena_.used(), 256);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(one.data) % Arena::granularity, 0u);
  EXPECT_EQ(one.stride, 1);
  EXPECT_TRUE(sixteen.contiguous());
}

TEST_F(ArenaTest, ScopesReleaseWhatIsNewerThanTheyAre) {
  allocate(1, 16);
  {
    const ArenaScope outer(arena_);
    const Tensor first = allocate(1, 32);
    {
      const ArenaScope inner(arena_);
      allocate(1, 64);
      EXPECT_EQ(arena_.used(), 64 + 128 + 256);
    }
    EXPECT_EQ(arena_.used(), 64 + 128);
    EXPECT_EQ(allocate(1, 16).data - first.data, 128);  // the room is used again
  }
  EXPECT_EQ(arena_.used(), 64);
  EXPECT_EQ(arena_.peak(), 64 + 128 + 256);
  arena_.reset_peak();
  EXPECT_EQ(arena_.peak(), 64);
}

TEST_F(ArenaTest, ARequestBeyondTheLimitIsOutOfMemoryAndChangesNothing) {
  arena_.limit(256);
  allocate(1, 32);
  EXPECT_EQ(refusal<OutOfMemory>([&] { allocate(1, 33); }),
            "cpu:3 is out of memory: test buffer needs 192 bytes, 128 of 256 are in use; use a smaller batch, more "
            "devices or more --device-memory");
  EXPECT_EQ(arena_.used(), 128);
  EXPECT_EQ(arena_.peak(), 128);
  allocate(1, 32);  // to the last byte
  EXPECT_EQ(arena_.used(), 256);
}

TEST_F(ArenaTest, LimitsBelowWhatIsUsedAreRefusedAndMayBeLifted) {
  allocate(1, 32);
  EXPECT_NE(refusal<OutOfMemory>([&] { arena_.limit(127); }), "(accepted)");
  EXPECT_EQ(arena_.capacity(), std::nullopt);
  arena_.limit(128);
  EXPECT_THROW(allocate(1, 1), OutOfMemory);
  arena_.limit(std::nullopt);
  EXPECT_NO_THROW(allocate(1, 1));
}

TEST_F(ArenaTest, ShapesThatOverflowAreOutOfMemory) {
  const auto huge = std::numeric_limits<std::int64_t>::max();
  for (const auto& [rows, columns] : {std::pair{huge, huge},
                                      {huge, std::int64_t{1}},
                                      {huge / 4 + 1, std::int64_t{1}},
                                      {std::int64_t{1} << 40, std::int64_t{1} << 40}})
    EXPECT_THROW(allocate(rows, columns), OutOfMemory) << rows << " x " << columns;
  EXPECT_THROW(allocate(-1, 2), std::logic_error);
  EXPECT_EQ(arena_.used(), 0);
}

TEST_F(ArenaTest, ItsUseIsPublished) {
  std::atomic<std::int64_t> used{-1};
  arena_.publish(&used);
  {
    const ArenaScope scope(arena_);
    allocate(1, 1);
    EXPECT_EQ(used, 64);
  }
  EXPECT_EQ(used, 0);
}

TEST_F(ArenaTest, AnObserverHearsOfEveryBuffer) {
  struct Observer : AllocationObserver {
    std::vector<std::int64_t> events;
    void allocated(std::string_view what, MemoryUse use, std::int64_t bytes) override {
      EXPECT_EQ(what, "test buffer");
      EXPECT_EQ(use, MemoryUse::activations);
      events.push_back(bytes);
    }
    void released(std::int64_t buffers) override { events.push_back(-buffers); }
  } observer;
  arena_.observe(&observer);
  {
    const ArenaScope scope(arena_);
    allocate(1, 1);
    allocate(1, 17);
    const ArenaScope empty(arena_);
  }
  EXPECT_EQ(observer.events, (std::vector<std::int64_t>{64, 128, -2}));
}

TEST(HostPages, AreZeroedAndCanBeWritten) {
  HostPages pages;
  Arena arena("cpu:0", pages);
  const Tensor x = arena.allocate("x", MemoryUse::kv, DType::f32, 100, 100);
  EXPECT_EQ(x.row<float>(99)[99], 0);
  x.row<float>(99)[99] = 1;
  EXPECT_EQ(x.row<float>(0)[9999], 1);
  EXPECT_THROW(arena.allocate("more than there is", MemoryUse::kv, DType::f32, pages.bytes() / 4, 1), OutOfMemory);
}

// As under `ulimit -v`: fewer addresses than the host has memory.
TEST(HostPages, AreFewerWhereAddressesAreLimited) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own addresses are beyond any limit";
#endif
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{.rlim_cur = rlim_t{1} << 30, .rlim_max = rlim_t{1} << 30};
    setrlimit(RLIMIT_AS, &limit);
    const HostPages first, second;
    _exit(first.bytes() > (100 << 20) && first.bytes() < (1 << 29) && second.bytes() > (10 << 20) ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(Tensor, ViewsOfRowsAndColumns) {
  std::vector<float> values(12);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Tensor x{reinterpret_cast<std::byte*>(values.data()), DType::f32, 3, 4, 4};
  EXPECT_EQ(x.bytes(), 48);
  const Tensor part = x.row_range(1, 2).column_range(1, 2);  // 5 6, 9 10
  EXPECT_EQ(part.row<float>(0)[0], 5);
  EXPECT_EQ(part.row<float>(1)[1], 10);
  EXPECT_EQ(part.bytes(), 16);
  EXPECT_FALSE(part.contiguous());
  EXPECT_TRUE(part.row_range(0, 1).contiguous());
  EXPECT_EQ(x.row_range(3, 0).elements(), 0);
  EXPECT_THROW(x.row_range(2, 2), std::logic_error);
  EXPECT_THROW(x.row_range(-1, 1), std::logic_error);
  EXPECT_THROW(x.column_range(4, 1), std::logic_error);
  EXPECT_THROW(x.column_range(0, -1), std::logic_error);
}

}  // namespace
}  // namespace batchscope
