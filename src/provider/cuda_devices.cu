// Opening GPUs (provider/cuda_devices.h).
#include "provider/cuda_devices.h"

#include <cuda_runtime.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "comm/cuda/peer_kernels.h"
#include "comm/world.h"
#include "device/cuda/cuda_device.h"
#include "ops/cuda_kernels.h"
#include "ops/linear_cuda.h"

namespace batchscope {
namespace {

int attribute(cudaDeviceAttr attribute, int device) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, attribute, device), "asking the GPU");
  return value;
}

// Dense products by the tensor cores of one multiprocessor in a clock cycle, in FLOP of 16-bit operands with f32 sums; FP8 takes
// half the time where there is FP8 (NVIDIA's white papers of the architectures). 0: not known.
double tensor_flop_per_cycle(int major, int minor) {
  if (major == 8) return minor == 0 ? 2048 : 1024;
  if (major == 9) return 4096;
  if (major == 10) return 8192;
  return 0;
}
constexpr double f32_flop_per_core_and_cycle = 2;
constexpr double f32_cores = 128;  // of a multiprocessor

// At the highest clocks.
DeviceLimits limits_of(int device) {
  const int major = attribute(cudaDevAttrComputeCapabilityMajor, device);
  const int minor = attribute(cudaDevAttrComputeCapabilityMinor, device);
  const double cycles = attribute(cudaDevAttrMultiProcessorCount, device) * (attribute(cudaDevAttrClockRate, device) * 1e3);
  DeviceLimits limits;
  // Both edges of the memory's clock.
  limits.bytes_per_second = 2 * attribute(cudaDevAttrMemoryClockRate, device) * 1e3 *
                            attribute(cudaDevAttrGlobalMemoryBusWidth, device) / 8;
  limits.flop_per_second[DType::f32] = cycles * f32_cores * f32_flop_per_core_and_cycle;
  if (const double flop = tensor_flop_per_cycle(major, minor) * cycles; flop > 0) {
    limits.flop_per_second[DType::bf16] = limits.flop_per_second[DType::f16] = flop;
    if (major > 8 || minor == 9) limits.flop_per_second[DType::fp8] = 2 * flop;
  }
  return limits;
}

// A rank's counters, on its device; read between runs.
class Counters {
 public:
  explicit Counters(int device) : device_(device) {
    check_cuda(cudaSetDevice(device), "choosing the GPU");
    check_cuda(cudaMalloc(&on_device_, sizeof(PeerCounters)), "taking memory for counters");
    check_cuda(cudaMemset(on_device_, 0, sizeof(PeerCounters)), "clearing counters");
  }
  ~Counters() {
    cudaSetDevice(device_);
    cudaFree(on_device_);
  }
  Counters(const Counters&) = delete;
  Counters& operator=(const Counters&) = delete;

  PeerCounters* on_device() const { return on_device_; }
  // Once the device has nothing to do.
  PeerCounters read() const {
    PeerCounters counters{};
    check_cuda(cudaMemcpy(&counters, on_device_, sizeof counters, cudaMemcpyDeviceToHost), "reading counters");
    return counters;
  }

 private:
  int device_;
  PeerCounters* on_device_ = nullptr;
};

class CudaDevices : public DeviceSet {
 public:
  CudaDevices(const DeviceUse& use, const World& world) : use_(use), count_(world.size()) {
    if (world.count() != world.size())
      throw InputError("--device {}: ranks on GPUs are threads of one process; start the program without a launcher",
                       to_string(use.device));
    if (count_ > most_peers)
      throw InputError("--parallel: {} ranks are more than the {} GPUs that one process can drive", count_, most_peers);
    for (int rank = 0; rank < count_; ++rank) ranks_.emplace_back();
  }

  std::unique_ptr<Device> make_device(int rank) override {
    RankState& of = state(rank);
    const int number = number_of(rank);
    std::vector<int> peers;
    for (int other = 0; other < count_; ++other) peers.push_back(number_of(other));
    of.counters = std::make_unique<Counters>(number);
    of.gemm = std::make_unique<CudaGemm>(number);
    of.pages = std::make_unique<CudaPages>(use_.device.name(rank), number, peers);
    auto device = std::make_unique<CudaDevice>(use_.device.name(rank), number, *of.pages, cuda_kernels(),
                                               cuda_workspace_bytes, *of.gemm, aborted_);
    of.device = device.get();
    return device;
  }

  std::unique_ptr<Communicator> make_communicator(std::vector<int> members, int self, Device& device,
                                                  Ledger& ledger) override {
    const int rank = members[static_cast<std::size_t>(self)];
    auto& gpu = dynamic_cast<CudaDevice&>(device);
    const auto make_kernels = [&](const Tensor& mailbox) -> std::unique_ptr<PeerKernels> {
      PeerDirectory& directory = directory_of(members);
      check_cuda(cudaMemsetAsync(mailbox.data, 0, static_cast<std::size_t>(mailbox.bytes()), gpu.stream()),
                 "clearing a mailbox");
      check_cuda(cudaStreamSynchronize(gpu.stream()), "clearing a mailbox");
      directory[static_cast<std::size_t>(self)] = reinterpret_cast<PeerMailbox*>(mailbox.data);
      state(rank).mailboxes.push_back(mailbox);
      return std::make_unique<CudaPeerKernels>(gpu.context(), directory, members, self, state(rank).counters->on_device(),
                                               aborted_.host);
    };
    return std::make_unique<PeerCommunicator>(members, self, device, ledger, make_kernels);
  }

  void prepare(const LinkSpec& link, std::optional<std::int64_t>) override {
    if (link.kind == LinkKind::pcie)
      throw InputError("--link pcie: GPUs of this build talk over peer memory alone; leave it out");
    if (link.kind.value_or(LinkKind::nvlink) != LinkKind::nvlink || link.bytes_per_second)
      throw InputError("--link {}: links of GPUs cannot be paced; leave it out", to_string(link));
    if (!aborted_.is_set()) return;
    // Kernels that were told to give up left their peers' mailboxes as they were.
    for (int rank = 0; rank < count_; ++rank) {
      check_cuda(cudaSetDevice(number_of(rank)), "choosing the GPU");
      check_cuda(cudaDeviceSynchronize(), use_.device.name(rank).c_str());
    }
    for (int rank = 0; rank < count_; ++rank) {
      check_cuda(cudaSetDevice(number_of(rank)), "choosing the GPU");
      for (const Tensor& mailbox : state(rank).mailboxes)
        check_cuda(cudaMemset(mailbox.data, 0, static_cast<std::size_t>(mailbox.bytes())), "clearing a mailbox");
      check_cuda(cudaDeviceSynchronize(), use_.device.name(rank).c_str());
    }
    aborted_.set(false);
  }
  void abort() override { aborted_.set(true); }

  std::optional<DeviceLimits> limits(int rank) override { return limits_of(number_of(rank)); }
  CurrentPhase& current_phase(int rank) override { return state(rank).phase; }

  void begin_measuring(int rank) override {
    RankState& of = state(rank);
    of.device->begin_clock();
    of.before = of.counters->read();
  }
  void end_measuring(int rank) override {
    RankState& of = state(rank);
    check_cuda(cudaStreamSynchronize(of.device->stream()), of.device->name().c_str());
    of.after = of.counters->read();
    const auto& tuning = of.gemm->tuning();
    if (rank == 0 && tuning.measured > 0)
      spdlog::debug("products: {} tuned in {:.1f} s, {} known from before", tuning.measured, tuning.seconds,
                    tuning.from_disk);
  }

  DeviceReport report(int rank, Nanoseconds time, Nanoseconds working) override {
    const RankState& of = state(rank);
    DeviceReport device{.name = use_.device.name(rank), .is_virtual = false};
    if (count_ > 1) {
      LinkReport& link = device.links.emplace_back();
      link.kind = LinkKind::nvlink;
      link.counted_tx_bytes = 0;
      link.counted_rx_bytes = 0;
      for (int peer = 0; peer < count_; ++peer) {
        const RankState& other = state(peer);
        *link.counted_tx_bytes += difference(of, &PeerCounters::written_bytes, peer) +
                                  difference(other, &PeerCounters::read_bytes, rank);
        *link.counted_rx_bytes += difference(of, &PeerCounters::read_bytes, peer) +
                                  difference(other, &PeerCounters::written_bytes, rank);
      }
    }
    if (time > Nanoseconds(0)) device.busy = busy(of, time, working);
    return device;
  }

 private:
  struct RankState {
    std::unique_ptr<Counters> counters;
    std::unique_ptr<CudaGemm> gemm;
    std::unique_ptr<CudaPages> pages;
    CudaDevice* device = nullptr;  // the rank's
    std::vector<Tensor> mailboxes;
    CurrentPhase phase;
    PeerCounters before{}, after{};
  };

  static std::int64_t difference(const RankState& of, std::uint64_t (PeerCounters::*bytes)[most_peers], int peer) {
    return static_cast<std::int64_t>((of.after.*bytes)[peer] - (of.before.*bytes)[peer]);
  }

  static DeviceReport::Busy busy(const RankState& of, Nanoseconds time, Nanoseconds working) {
    const double run = to_seconds(time);
    const auto waiting = static_cast<double>(of.after.waiting_ns - of.before.waiting_ns) * 1e-9;
    const auto communicating = static_cast<double>(of.after.communicating_ns - of.before.communicating_ns) * 1e-9;
    DeviceReport::Busy busy;
    busy.communicate = std::clamp(communicating / run, 0.0, 1.0);
    busy.compute = std::clamp((to_seconds(working) - communicating - waiting) / run, 0.0, 1.0 - busy.communicate);
    busy.idle = 1.0 - busy.compute - busy.communicate;
    return busy;
  }

  int number_of(int rank) const { return use_.device.numbers.at(static_cast<std::size_t>(rank)); }
  RankState& state(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }

  // One for each set of members and each of their groups: a rank makes its communicators in the same order everywhere,
  // but two groups of the same members must not share mailboxes.
  PeerDirectory& directory_of(const std::vector<int>& members) {
    const std::lock_guard lock(mutex_);
    const auto self_count = [&](const Group& group) { return group.members == members; };
    // The n-th communicator that a rank makes for these members belongs to the n-th group of them.
    std::size_t wanted = made_[{std::this_thread::get_id(), members}]++;
    for (Group& group : groups_)
      if (self_count(group) && wanted-- == 0) return group.directory;
    Group& group = groups_.emplace_back();
    group.members = members;
    return group.directory;
  }

  struct Group {
    std::vector<int> members;
    PeerDirectory directory{};
  };

  const DeviceUse use_;
  const int count_;  // ranks
  AbortFlag aborted_;
  std::deque<RankState> ranks_;  // they stay where they are
  std::mutex mutex_;
  std::deque<Group> groups_;
  std::map<std::pair<std::thread::id, std::vector<int>>, std::size_t> made_;
};

void check_devices(const DeviceUse& use) {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result != cudaSuccess || count == 0)
    throw InputError("--device {}: CUDA finds no GPU here ({}); use cpu:N, or see `batchscope doctor`",
                     to_string(use.device), cudaGetErrorString(result));
  for (const int number : use.device.numbers)
    if (number >= count)
      throw InputError("--device {}: there is no GPU {}; CUDA finds {}, numbered from 0", to_string(use.device), number,
                       count);
  for (const int from : use.device.numbers)
    for (const int to : use.device.numbers) {
      int can = 1;
      if (from != to) check_cuda(cudaDeviceCanAccessPeer(&can, from, to), "asking the GPUs");
      if (can == 0)
        throw InputError("--device {}: GPU {} cannot reach the memory of GPU {}, which ranks need to talk to each other",
                         to_string(use.device), from, to);
    }
}

}  // namespace
}  // namespace batchscope

extern "C" __attribute__((visibility("default"))) void batchscope_check_cuda_devices(
    const batchscope::DeviceUse& use) {
  batchscope::check_devices(use);
}

extern "C" __attribute__((visibility("default"))) batchscope::DeviceSet* batchscope_open_cuda_devices(
    const batchscope::DeviceUse& use, batchscope::World& world) {
  return std::make_unique<batchscope::CudaDevices>(use, world).release();
}
