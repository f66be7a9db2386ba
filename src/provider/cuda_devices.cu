// Opening GPUs (provider/cuda_devices.h).
#include "provider/cuda_devices.h"

#include <cuda_runtime.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <string_view>
#include <thread>

#include "base/error.h"
#include "comm/cuda/peer_kernels.h"
#include "comm/cuda/staged_kernels.h"
#include "comm/cuda/staging.h"
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

// What a rank's kernels count, on its device.
struct Counted {
  PeerCounters peer;
  JoinClock join;
};

// Read between runs.
class Counters {
 public:
  explicit Counters(int device) : device_(device) {
    check_cuda(cudaSetDevice(device), "choosing the GPU");
    check_cuda(cudaMalloc(&on_device_, sizeof(Counted)), "taking memory for counters");
    check_cuda(cudaMemset(on_device_, 0, sizeof(Counted)), "clearing counters");
  }
  ~Counters() {
    cudaSetDevice(device_);
    cudaFree(on_device_);
  }
  Counters(const Counters&) = delete;
  Counters& operator=(const Counters&) = delete;

  Counted* on_device() const { return on_device_; }
  // Once the device has nothing to do.
  Counted read() const {
    Counted counters{};
    check_cuda(cudaMemcpy(&counters, on_device_, sizeof counters, cudaMemcpyDeviceToHost), "reading counters");
    return counters;
  }

 private:
  int device_;
  Counted* on_device_ = nullptr;
};

// Loading a kernel may wait for all that runs on its GPU: for kernels that wait for what is to be launched next, where ranks
// share it.
void load_kernels_at_once() { setenv("CUDA_MODULE_LOADING", "EAGER", 0); }
bool are_kernels_loaded_at_once() {
  const char* mode = std::getenv("CUDA_MODULE_LOADING");
  return mode != nullptr && std::string_view(mode) == "EAGER";
}

bool reaches(int from, int to) {
  int can = 1;
  if (from != to) check_cuda(cudaDeviceCanAccessPeer(&can, from, to), "asking the GPUs");
  return can != 0;
}

template <class Value>
std::string bytes_of(const Value& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

class CudaDevices : public DeviceSet {
 public:
  CudaDevices(const DeviceUse& use, World& world) : use_(use), world_(world), count_(world.size()) {
    if (!world.host().empty())
      throw InputError("--device {}: ranks on GPUs of several hosts cannot reach each other; start all of them on one",
                       to_string(use.device));
    if (count_ > most_peers)
      throw InputError("--parallel: {} ranks are more than the {} that GPUs of one host can be divided among", count_,
                       most_peers);
    if (are_threads() && use.device.sharers() > 1 && !are_kernels_loaded_at_once())
      throw InputError("--device {}: ranks that share a GPU need its kernels loaded at once; set CUDA_MODULE_LOADING=EAGER",
                       to_string(use.device));
    if (!are_threads()) aborted_.is_set_elsewhere = [this] { return world_.is_aborted(); };
    gpus_.sharers = use.device.sharers();
    gpus_.multiprocessors = std::numeric_limits<int>::max();
    for (const int number : use.device.numbers)
      gpus_.multiprocessors = std::min(gpus_.multiprocessors, attribute(cudaDevAttrMultiProcessorCount, number));
    if (gpus_.sharers > 1) gpus_.multiprocessors = std::max(gpus_.multiprocessors / (4 * gpus_.sharers), 1);
    ranks_.resize(static_cast<std::size_t>(count_));
  }

  std::unique_ptr<Device> make_device(int rank) override {
    RankState& of = state(rank);
    const int number = number_of(rank);
    std::set<int> peers{number};
    for (int other = 0; are_threads() && other < count_; ++other)
      if (reaches(number_of(other), number)) peers.insert(number_of(other));
    of.counters = std::make_unique<Counters>(number);
    of.gemm = std::make_unique<CudaGemm>(number);
    of.pages = std::make_unique<CudaPages>(name_of(rank), number, std::vector(peers.begin(), peers.end()));
    auto device =
        std::make_unique<CudaDevice>(name_of(rank), number, *of.pages, cuda_kernels(), cuda_workspace_bytes, alike_rows,
                                     *of.gemm, aborted_, &of.counters->on_device()->join, use_.device.sharers() > 1);
    of.device = device.get();
    return device;
  }

  std::unique_ptr<Communicator> make_communicator(std::vector<int> members, int self, Device& device,
                                                  Ledger& ledger) override {
    const auto make_kernels = [&](const Tensor& mailbox) {
      return make_collectives(members, self, dynamic_cast<CudaDevice&>(device), mailbox);
    };
    return std::make_unique<PeerCommunicator>(members, self, device, ledger, !are_threads(), link_, make_kernels);
  }

  void prepare(const LinkSpec& link, std::optional<std::int64_t>) override {
    if (link.bytes_per_second || (link.kind && link.kind != LinkKind::nvlink && link.kind != LinkKind::pcie))
      throw InputError("--link {}: links of GPUs cannot be paced; leave it out", to_string(link));
    if (link.kind != LinkKind::pcie) check_peers();
    for_each_rank_here([&](RankState& of) {
      check_cuda(cudaDeviceSynchronize(), of.device->name().c_str());
      if (link != link_) of.device->forget_graphs();
    });
    link_ = link;
    // Kernels that were told to give up left flags as they were.
    for_each_rank_here([&](RankState& of) {
      for (const Tensor& mailbox : of.mailboxes)
        check_cuda(cudaMemset(mailbox.data, 0, static_cast<std::size_t>(mailbox.bytes())), "clearing a mailbox");
      for (StagingArea* area : of.device_areas)
        check_cuda(cudaMemset(area->flags, 0, sizeof area->flags), "clearing a staging area");
      for (StagingArea* area : of.host_areas) std::memset(area->flags, 0, sizeof area->flags);
      check_cuda(cudaDeviceSynchronize(), of.device->name().c_str());
    });
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
    of.moved = difference(of.counters->read(), of.before);
    if (!are_threads()) {
      const auto all = world_.all_ranks(rank).all_gather(bytes_of(of.moved));
      for (int other = 0; other < count_; ++other)
        std::memcpy(&state(other).moved, all[static_cast<std::size_t>(other)].data(), sizeof of.moved);
    }
    const auto& tuning = of.gemm->tuning();
    if (rank == 0 && tuning.measured > 0)
      spdlog::debug("products: {} tuned in {:.1f} s, {} known from before", tuning.measured, tuning.seconds,
                    tuning.from_disk);
  }

  DeviceReport report(int rank, Nanoseconds time, Nanoseconds working) override {
    const RankState& of = state(rank);
    DeviceReport device{.name = name_of(rank), .is_virtual = false};
    if (count_ > 1) {
      LinkReport& link = device.links.emplace_back();
      link.kind = cuda_link_kind(link_, use_.device);
      std::uint64_t tx = of.moved.peer.to_host_bytes, rx = of.moved.peer.from_host_bytes;
      for (int peer = 0; peer < count_; ++peer) {
        tx += of.moved.peer.written_bytes[peer] + state(peer).moved.peer.read_bytes[rank];
        rx += of.moved.peer.read_bytes[peer] + state(peer).moved.peer.written_bytes[rank];
      }
      link.counted_tx_bytes = static_cast<std::int64_t>(tx);
      link.counted_rx_bytes = static_cast<std::int64_t>(rx);
    }
    if (time > Nanoseconds(0)) device.busy = busy(of, time, working);
    return device;
  }

 private:
  struct RankState {
    std::unique_ptr<Counters> counters;
    std::unique_ptr<CudaGemm> gemm;
    std::unique_ptr<CudaPages> pages;
    CudaDevice* device = nullptr;  // the rank's; null where it is elsewhere
    // Its own, of all its groups.
    std::vector<Tensor> mailboxes;
    std::vector<StagingArea*> host_areas, device_areas;
    CurrentPhase phase;
    Counted before{}, moved{};  // at the begin of a run; during the run
  };

  // What ranks of a group know of each other.
  struct Group {
    std::vector<int> members;
    PeerDirectory mailboxes{};
    StagingDirectory on_host{}, on_device{};
    std::vector<std::unique_ptr<HostStaging>> host_areas;
    std::vector<std::unique_ptr<DeviceStaging>> device_areas;
  };

  static Counted difference(const Counted& after, const Counted& before) {
    using Words = std::array<std::uint64_t, sizeof(Counted) / sizeof(std::uint64_t)>;
    auto words = std::bit_cast<Words>(after);
    const auto less = std::bit_cast<Words>(before);
    for (std::size_t i = 0; i < words.size(); ++i) words[i] -= less[i];
    return std::bit_cast<Counted>(words);
  }

  static DeviceReport::Busy busy(const RankState& of, Nanoseconds time, Nanoseconds working) {
    const double run = to_seconds(time);
    const auto waiting = static_cast<double>(of.moved.peer.waiting_ns) * 1e-9;
    // What is communicated beside other work counts as far as that has to wait for it.
    const auto communicating = static_cast<double>(of.moved.peer.communicating_ns + of.moved.join.waited) * 1e-9;
    DeviceReport::Busy busy;
    busy.communicate = std::clamp(communicating / run, 0.0, 1.0);
    busy.compute = std::clamp((to_seconds(working) - communicating - waiting) / run, 0.0, 1.0 - busy.communicate);
    busy.idle = 1.0 - busy.compute - busy.communicate;
    return busy;
  }

  bool are_threads() const { return world_.count() == count_; }
  int number_of(int rank) const {
    return use_.device.numbers.at(static_cast<std::size_t>(world_.device_index(rank)));
  }
  std::string name_of(int rank) const { return use_.device.name(world_.device_index(rank)); }
  RankState& state(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }

  // On its GPU.
  void for_each_rank_here(const std::function<void(RankState&)>& body) {
    for (int rank = world_.first(); rank < world_.first() + world_.count(); ++rank) {
      check_cuda(cudaSetDevice(number_of(rank)), "choosing the GPU");
      body(state(rank));
    }
  }

  void check_peers() const {
    if (!unreached_.empty()) throw InputError("--device {}: {}", to_string(use_.device), unreached_);
    for (int from = 0; from < count_; ++from)
      for (int to = 0; to < count_; ++to)
        if (!reaches(number_of(from), number_of(to)))
          throw InputError("--device {}: GPU {} cannot reach the memory of GPU {}; --link pcie has ranks talk by way of "
                           "the host's memory",
                           to_string(use_.device), number_of(from), number_of(to));
  }

  PeerCommunicator::Kernels make_collectives(const std::vector<int>& members, int self, CudaDevice& device,
                                             const Tensor& memory) {
    const int rank = members[static_cast<std::size_t>(self)];
    const auto index = static_cast<std::size_t>(self);
    RankState& of = state(rank);
    auto* mailbox = reinterpret_cast<PeerMailbox*>(memory.data);
    of.mailboxes.push_back(memory);  // cleared before each run
    Group& group = group_of(members);
    group.mailboxes[index] = mailbox;
    auto area = std::make_unique<HostStaging>();
    of.host_areas.push_back(area->area());
    group.on_host[index] = area->area();
    PeerCommunicator::Kernels kernels;
    if (!are_threads()) share_areas(group, self, *area);
    keep(group.host_areas, std::move(area));
    const PeerRank as_peer{device.context(), gpus_, members, self, &of.counters->on_device()->peer, aborted_.host};
    kernels.staged_on_host =
        std::make_unique<StagedKernels>(as_peer, StagedKernels::Place::host, group.on_host, mailbox);
    if (are_threads())
      kernels.direct = std::make_unique<CudaPeerKernels>(as_peer, group.mailboxes);
    else
      kernels.staged_on_device =
          std::make_unique<StagedKernels>(as_peer, StagedKernels::Place::device, group.on_device, mailbox);
    return kernels;
  }

  // Among processes: everyone tells where the own areas are, and maps the others'.
  void share_areas(Group& group, int self, const HostStaging& host_area) {
    const int rank = group.members[static_cast<std::size_t>(self)], number = number_of(rank);
    auto device_area = std::make_unique<DeviceStaging>(number);
    state(rank).device_areas.push_back(device_area->area());
    HostGroup messages = world_.group(group.members, self);
    const auto host_names = messages.all_gather(host_area.name());
    const auto device_names = messages.all_gather(device_area->name());
    for (std::size_t peer = 0; peer < group.members.size(); ++peer) {
      if (static_cast<int>(peer) == self) {
        group.on_device[peer] = device_area->area();
        continue;
      }
      auto host = std::make_unique<HostStaging>(host_names[peer]);
      group.on_host[peer] = host->area();
      keep(group.host_areas, std::move(host));
      try {
        auto device = std::make_unique<DeviceStaging>(number, device_names[peer]);
        group.on_device[peer] = device->area();
        keep(group.device_areas, std::move(device));
      } catch (const Failure& failure) {  // of no concern where bytes go by way of the host's memory
        unreached_ = failure.what();
      }
    }
    keep(group.device_areas, std::move(device_area));
  }

  template <class Area>
  void keep(std::vector<std::unique_ptr<Area>>& areas, std::unique_ptr<Area> area) {
    const std::lock_guard lock(mutex_);
    areas.push_back(std::move(area));
  }

  // One for each set of members and each of their groups: a rank makes its communicators in the same order everywhere,
  // but two groups of the same members must not share mailboxes.
  Group& group_of(const std::vector<int>& members) {
    const std::lock_guard lock(mutex_);
    // The n-th communicator that a rank makes for these members belongs to the n-th group of them.
    std::size_t wanted = made_[{std::this_thread::get_id(), members}]++;
    for (Group& group : groups_)
      if (group.members == members && wanted-- == 0) return group;
    Group& group = groups_.emplace_back();
    group.members = members;
    return group;
  }

  const DeviceUse use_;
  World& world_;
  const int count_;  // ranks
  PeerGpus gpus_;
  LinkSpec link_;  // of the run
  std::string unreached_;  // why another process's GPU memory is not reached
  AbortFlag aborted_;
  std::mutex mutex_;
  std::deque<Group> groups_;
  std::map<std::pair<std::thread::id, std::vector<int>>, std::size_t> made_;
  std::deque<RankState> ranks_;  // they stay where they are
};

void check_devices(const DeviceUse& use) {
  if (use.device.sharers() > 1) load_kernels_at_once();  // before CUDA starts
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result != cudaSuccess || count == 0)
    throw InputError("--device {}: CUDA finds no GPU here ({}); use cpu:N, or see `batchscope doctor`",
                     to_string(use.device), cudaGetErrorString(result));
  for (const int number : use.device.numbers)
    if (number >= count)
      throw InputError("--device {}: there is no GPU {}; CUDA finds {}, numbered from 0", to_string(use.device), number,
                       count);
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
