// Collectives of ranks that share the first GPU: over each other's device memory, and by way of the host's. Results,
// the same on every rank, and every byte accounted for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <thread>

#include "base/error.h"
#include "comm/world.h"
#include "provider/cuda_devices.h"

extern "C" batchscope::DeviceSet* batchscope_open_cuda_devices(const batchscope::DeviceUse& use,
                                                               batchscope::World& world);

namespace batchscope {
namespace {

struct RankOnGpu {
  std::unique_ptr<Device> device;
  Ledger ledger;
  std::unique_ptr<Communicator> comm;
};

DeviceUse shared_gpu(int ranks) {
  return {.device = {.kind = "cuda", .numbers = std::vector<int>(static_cast<std::size_t>(ranks), 0)}, .threads = {}};
}

class RanksOnGpu {
 public:
  RanksOnGpu(int n, const LinkSpec& link)
      : world_(n), devices_(batchscope_open_cuda_devices(shared_gpu(n), world_)), ranks_(static_cast<std::size_t>(n)) {
    std::vector<int> members;
    for (int i = 0; i < n; ++i) members.push_back(i);
    run([&](RankOnGpu& rank, int i) {
      rank.device = devices_->make_device(i);
      rank.comm = devices_->make_communicator(members, i, *rank.device, rank.ledger);
    });
    prepare(link);
  }
  void prepare(const LinkSpec& link) { devices_->prepare(link, std::nullopt); }

  // work(rank, i) on a thread each.
  void run(const std::function<void(RankOnGpu&, int)>& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < size(); ++i) threads.emplace_back([&, i] { work(ranks_[static_cast<std::size_t>(i)], i); });
    for (auto& thread : threads) thread.join();
  }
  // The same, between begin and end of measuring: bytes moved are those that were predicted.
  void run_counted(const std::function<void(RankOnGpu&, int)>& work) {
    run([&](RankOnGpu& rank, int i) {
      rank.ledger.clear();
      devices_->begin_measuring(i);
      work(rank, i);
      devices_->end_measuring(i);
    });
    for (int i = 0; i < size(); ++i) {
      LedgerEntry total;
      for (const LedgerEntry& entry : ranks_[static_cast<std::size_t>(i)].ledger.entries()) add_bytes(total, entry);
      const DeviceReport report = devices_->report(i, Nanoseconds(0), Nanoseconds(0));
      EXPECT_EQ(report.links.front().counted_tx_bytes, total.predicted_tx_bytes) << "rank " << i;
      EXPECT_EQ(report.links.front().counted_rx_bytes, total.predicted_rx_bytes) << "rank " << i;
    }
  }
  int size() const { return static_cast<int>(ranks_.size()); }
  DeviceSet& devices() { return *devices_; }

 private:
  ThreadWorld world_;
  std::unique_ptr<DeviceSet> devices_;
  std::vector<RankOnGpu> ranks_;
};

Tensor on_gpu(RankOnGpu& rank, DType dtype, std::int64_t rows, std::int64_t columns, const std::vector<float>& values) {
  const Tensor tensor = rank.device->arena().allocate("test", MemoryUse::activations, dtype, rows, columns);
  rank.device->upload({reinterpret_cast<const std::byte*>(values.data()), DType::f32, rows, columns, columns}, tensor);
  return tensor;
}

// Small whole numbers: sums are exact in all dtypes.
float value_of(std::int64_t i, int rank) { return static_cast<float>((i * 7 + rank * 3) % 11 - 5); }
std::vector<float> values_of(std::int64_t elements, int rank) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < elements; ++i) values.push_back(value_of(i, rank));
  return values;
}

// Calls body(ranks, dtype) for both kinds of links.
void for_each_group(const std::function<void(RanksOnGpu&, DType)>& body) {
  for (const int n : {2, 3, 4})
    for (const LinkSpec& link : {LinkSpec{}, LinkSpec{.kind = LinkKind::pcie}}) {
      RanksOnGpu ranks(n, link);
      for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        SCOPED_TRACE(testing::Message() << n << " ranks, " << to_string(link) << ", " << name_of(dtype));
        body(ranks, dtype);
      }
    }
}

// In a rank's thread nothing may end early, since others wait for it: what differs is counted.
void expect_values(const std::vector<float>& got, const std::function<double(std::int64_t)>& want,
                   double tolerance = 0) {
  std::int64_t wrong = 0, first = -1;
  for (std::int64_t at = 0; at < std::ssize(got); ++at) {
    const double expected = want(at);
    if (std::abs(static_cast<double>(got[static_cast<std::size_t>(at)]) - expected) <=
        tolerance * (1 + std::abs(expected)))
      continue;
    if (wrong++ == 0) first = at;
  }
  EXPECT_EQ(wrong, 0) << "of " << got.size() << ", the first at " << first << ": "
                      << got[static_cast<std::size_t>(std::max<std::int64_t>(first, 0))];
}

constexpr std::int64_t sizes[] = {1, 5, 1000, 4099, 300001, 2500000};

TEST(CudaDevices, AllReduceGivesEveryRankTheReduction) {
  for_each_group([](RanksOnGpu& ranks, DType dtype) {
    ranks.run_counted([&](RankOnGpu& rank, int i) {
      for (const std::int64_t elements : sizes)
        for (const Reduce reduce : {Reduce::sum, Reduce::max}) {
          const ArenaScope scope(rank.device->arena());
          const Tensor x = on_gpu(rank, dtype, 1, elements, values_of(elements, i));
          rank.comm->all_reduce(x, reduce, "test");
          expect_values(rank.device->download(x), [&](std::int64_t at) {
            float want = value_of(at, 0);
            for (int other = 1; other < ranks.size(); ++other)
              want = reduce == Reduce::sum ? want + value_of(at, other) : std::max(want, value_of(at, other));
            return want;
          });
        }
    });
  });
}

TEST(CudaDevices, AllGatherGivesEveryRankAllParts) {
  for_each_group([](RanksOnGpu& ranks, DType dtype) {
    ranks.run_counted([&](RankOnGpu& rank, int i) {
      for (const std::int64_t columns : sizes) {
        const ArenaScope scope(rank.device->arena());
        std::vector<float> mine(static_cast<std::size_t>(ranks.size() * columns), -9);
        for (std::int64_t at = 0; at < columns; ++at)
          mine[static_cast<std::size_t>(i * columns + at)] = value_of(at, i);
        const Tensor all = on_gpu(rank, dtype, ranks.size(), columns, mine);
        rank.comm->all_gather(all, "test");
        expect_values(rank.device->download(all),
                      [&](std::int64_t at) { return value_of(at % columns, static_cast<int>(at / columns)); });
      }
    });
  });
}

TEST(CudaDevices, WhatOneSendsTheNextReceives) {
  for_each_group([](RanksOnGpu& ranks, DType dtype) {
    ranks.run_counted([&](RankOnGpu& rank, int i) {
      for (const std::int64_t elements : sizes) {
        const ArenaScope scope(rank.device->arena());
        const Tensor x =
            on_gpu(rank, dtype, 1, elements,
                   i == 0 ? values_of(elements, 5) : std::vector<float>(static_cast<std::size_t>(elements), -9));
        if (i > 0) rank.comm->recv(x, i - 1, "test");
        if (i + 1 < ranks.size()) rank.comm->send(x, i + 1, "test");
        rank.comm->broadcast(x, ranks.size() - 1, "test");
        rank.comm->barrier();
        expect_values(rank.device->download(x), [](std::int64_t at) { return value_of(at, 5); });
      }
    });
  });
}

// x += the sum of y, out = x / rms(x). Beside other work, too, which here is another reduction.
void check_fused_reductions(bool is_beside) {
  for_each_group([&](RanksOnGpu& ranks, DType dtype) {
    const double tolerance = dtype == DType::f32 ? 1e-5 : dtype == DType::f16 ? 2e-3 : 1.6e-2;
    ranks.run_counted([&](RankOnGpu& rank, int i) {
      const auto enqueue = [&](std::size_t number, const std::function<void()>& reduction) {
        if (!is_beside) return reduction();
        rank.device->beside(number, reduction);
        if (number == 1) rank.device->join(0);
        if (number == 1) rank.device->join(1);
      };
      for (const std::int64_t rows : {1, 3, 37, 300})
        for (const std::int64_t columns : {8, 130, 4096}) {
          const ArenaScope scope(rank.device->arena());
          const std::int64_t elements = rows * columns;
          const Tensor x = on_gpu(rank, dtype, rows, columns, values_of(elements, 8));
          const Tensor y = on_gpu(rank, dtype, rows, columns, values_of(elements, i));
          const Tensor weight =
              on_gpu(rank, dtype, 1, columns, std::vector<float>(static_cast<std::size_t>(columns), 2));
          const Tensor z = on_gpu(rank, dtype, rows, columns, values_of(elements, i));
          enqueue(0, [&] { rank.comm->all_reduce_add_rms_norm(x, y, weight, 1e-5f, y, "test"); });
          enqueue(1, [&] { rank.comm->all_reduce_add(x, z, "test"); });
          const auto sum = [&](std::int64_t at) {
            double total = value_of(at, 8);
            for (int other = 0; other < ranks.size(); ++other) total += value_of(at, other);
            return total;
          };
          std::vector<double> scales;  // of rows
          for (std::int64_t row = 0; row < rows; ++row) {
            double squares = 0;
            for (std::int64_t at = row * columns; at < (row + 1) * columns; ++at) squares += sum(at) * sum(at);
            scales.push_back(2 / std::sqrt(squares / static_cast<double>(columns) + 1e-5));
          }
          expect_values(
              rank.device->download(y),
              [&](std::int64_t at) { return sum(at) * scales[static_cast<std::size_t>(at / columns)]; }, tolerance);
          expect_values(rank.device->download(x), [&](std::int64_t at) { return 2 * sum(at) - value_of(at, 8); });
        }
    });
  });
}

TEST(CudaDevices, FusedReductionsAreTheirParts) { check_fused_reductions(false); }
TEST(CudaDevices, FusedReductionsGoOnBesideOtherWork) { check_fused_reductions(true); }

TEST(CudaDevices, WhoeverWaitsForARankThatFailedIsToldAndCanGoOn) {
  for (const LinkSpec& link : {LinkSpec{}, LinkSpec{.kind = LinkKind::pcie}}) {
    RanksOnGpu ranks(2, link);
    const auto reduce = [](RankOnGpu& rank, int i) {
      const ArenaScope scope(rank.device->arena());
      const Tensor x = on_gpu(rank, DType::f32, 1, 1000, values_of(1000, i));
      rank.comm->all_reduce(x, Reduce::sum, "test");
      rank.device->wait(rank.device->record());
      return rank.device->download(x);
    };
    ranks.run([&](RankOnGpu& rank, int i) {
      if (i == 0)
        EXPECT_THROW(reduce(rank, i), PeerFailed);
      else
        ranks.devices().abort();
    });
    ranks.prepare(link);
    ranks.run([&](RankOnGpu& rank, int i) {
      EXPECT_EQ(reduce(rank, i)[7], value_of(7, 0) + value_of(7, 1)) << to_string(link);
    });
  }
}

TEST(CudaDevices, LinksThatGpusDoNotHaveAreRefused) {
  EXPECT_THROW(RanksOnGpu(2, LinkSpec{.bytes_per_second = 1e9}), InputError);
}

}  // namespace
}  // namespace batchscope
