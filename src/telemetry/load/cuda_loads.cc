// Known loads on a real GPU (telemetry/load/cuda_loads.h).
#include "telemetry/load/cuda_loads.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "cuda_driver/kernels.h"
#include "cuda_driver/library.h"

namespace batchscope {
namespace {

using cuda::nccl::Communicator;

constexpr unsigned burn_threads = 256, burn_blocks_per_multiprocessor = 4;  // all of them resident at once

// Memory on a device that grows when more is asked for.
class DeviceMemory {
 public:
  explicit DeviceMemory(const cuda::Library& library) : cuda_(library) {}
  ~DeviceMemory() { release(); }
  DeviceMemory(DeviceMemory&& other) noexcept
      : cuda_(other.cuda_), pointer_(std::exchange(other.pointer_, 0)), bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceMemory& operator=(DeviceMemory&&) = delete;

  // In the current context. What was there before is lost.
  cuda::Pointer at_least(std::int64_t bytes) {
    if (bytes <= bytes_) return pointer_;
    release();
    cuda_.check(cuda_->cuMemAlloc_v2(&pointer_, static_cast<std::size_t>(bytes)), "cuMemAlloc_v2");
    bytes_ = bytes;
    return pointer_;
  }
  void release() {
    if (bytes_ > 0) cuda_->cuMemFree_v2(pointer_);
    bytes_ = 0;
  }

 private:
  const cuda::Library& cuda_;
  cuda::Pointer pointer_ = 0;
  std::int64_t bytes_ = 0;
};

class PinnedMemory {
 public:
  explicit PinnedMemory(const cuda::Library& library) : cuda_(library) {}
  ~PinnedMemory() { release(); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  void* at_least(std::int64_t bytes) {
    if (bytes <= bytes_) return pointer_;
    release();
    cuda_.check(cuda_->cuMemHostAlloc(&pointer_, static_cast<std::size_t>(bytes), cuda::host_memory_portable),
                "cuMemHostAlloc");
    bytes_ = bytes;
    return pointer_;
  }

 private:
  void release() {
    if (bytes_ > 0) cuda_->cuMemFreeHost(pointer_);
    bytes_ = 0;
  }

  const cuda::Library& cuda_;
  void* pointer_ = nullptr;
  std::int64_t bytes_ = 0;
};

// A GPU's primary context with a stream and a buffer of its own.
class Place {
 public:
  Place(const cuda::Library& library, cuda::Gpu gpu) : cuda_(library), gpu_(std::move(gpu)), memory_(library) {
    cuda_.check(cuda_->cuDevicePrimaryCtxRetain(&context_, gpu_.device), "cuDevicePrimaryCtxRetain");
    enter();
    cuda_.check(cuda_->cuStreamCreate(&stream_, cuda::stream_non_blocking), "cuStreamCreate");
  }
  ~Place() {
    if (stream_ != nullptr) {
      cuda_->cuCtxSetCurrent(context_);
      memory_.release();
      cuda_->cuStreamDestroy_v2(stream_);
    }
    cuda_->cuDevicePrimaryCtxRelease_v2(gpu_.device);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  // Makes its context the calling thread's.
  void enter() const { cuda_.check(cuda_->cuCtxSetCurrent(context_), "cuCtxSetCurrent"); }
  void wait() const {
    enter();
    cuda_.check(cuda_->cuStreamSynchronize(stream_), "cuStreamSynchronize");
  }
  const cuda::Gpu& gpu() const { return gpu_; }
  cuda::Context context() const { return context_; }
  cuda::Stream stream() const { return stream_; }
  DeviceMemory& memory() { return memory_; }

 private:
  const cuda::Library& cuda_;
  cuda::Gpu gpu_;
  cuda::Context context_ = nullptr;
  cuda::Stream stream_ = nullptr;
  DeviceMemory memory_;
};

class CudaLoads : public LoadRunner {
 public:
  CudaLoads(std::unique_ptr<const cuda::Library> library, NcclLoader load_nccl, const std::string& uuid)
      : cuda_(std::move(library)), load_nccl_(std::move(load_nccl)), all_(cuda_->gpus()), pinned_(*cuda_) {
    const auto own = std::find_if(all_.begin(), all_.end(), [&](const cuda::Gpu& gpu) { return gpu.uuid == uuid; });
    if (own == all_.end())
      throw Failure("CUDA does not show {}: see CUDA_VISIBLE_DEVICES, and which GPUs a container may use", uuid);
    std::iter_swap(all_.begin(), own);
    here_ = std::make_unique<Place>(*cuda_, all_[0]);
    cuda::Module module = nullptr;
    cuda_->check((*cuda_)->cuModuleLoadData(&module, cuda::load_kernels), "cuModuleLoadData");
    cuda_->check((*cuda_)->cuModuleGetFunction(&spin_, module, "spin"), "cuModuleGetFunction");
    cuda_->check((*cuda_)->cuModuleGetFunction(&burn_, module, "burn"), "cuModuleGetFunction");
    for (std::size_t i = 1; i < all_.size() && !peer_; ++i) {
      int can = 0;
      if ((*cuda_)->cuDeviceCanAccessPeer(&can, all_[0].device, all_[i].device) == cuda::success && can != 0) peer_ = i;
    }
  }

  ~CudaLoads() override {
    if (worker_.joinable()) worker_.join();
    for (const Communicator communicator : communicators_) (*nccl_)->ncclCommDestroy(communicator);
    (*cuda_)->cuCtxSetCurrent(here_->context());  // where the pinned memory belongs, which goes first
  }

  std::optional<std::string> cannot(LoadKind kind) override {
    if ((kind == LoadKind::copy_to_peer || kind == LoadKind::copy_from_peer) && !peer_)
      return all_.size() < 2 ? "CUDA shows one GPU only"
                             : "no other GPU's memory can be reached from this one directly";
    if (kind == LoadKind::all_reduce) {
      if (all_.size() < 2) return "CUDA shows one GPU only";
      if (!nccl_ && nccl_error_.empty()) load_nccl();
      if (!nccl_) return "no NCCL: " + nccl_error_;
    }
    return std::nullopt;
  }

  int gpus() const override { return static_cast<int>(all_.size()); }

  void prepare(const Load& load) override {
    if (const auto reason = cannot(load.kind)) throw Failure("{} cannot run: {}", name_of(load.kind), *reason);
    make_ready(load);
    load_ = load;
  }

  void start() override {
    run_ = planned_run(load_, gpus());
    failure_ = nullptr;
    running_ = true;
    worker_ = std::thread([this] {
      try {
        here_->enter();
        work(load_);
      } catch (...) {
        failure_ = std::current_exception();
      }
      running_ = false;
    });
  }

  bool running() override { return running_; }

  LoadRun finish() override {
    if (worker_.joinable()) worker_.join();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    return std::move(run_);
  }

 private:
  void load_nccl() {
    try {
      nccl_ = load_nccl_();
    } catch (const Failure& failure) {
      nccl_error_ = failure.what();
    }
  }

  // The GPU at `index` of all_, this one being 0.
  Place& place(std::size_t index) {
    if (index == 0) return *here_;
    others_.resize(all_.size());
    if (!others_[index]) others_[index] = std::make_unique<Place>(*cuda_, all_[index]);
    return *others_[index];
  }

  void make_ready(const Load& load) {
    switch (load.kind) {
      case LoadKind::copy_to_device:
      case LoadKind::copy_to_host:
        here_->enter();
        here_->memory().at_least(load.bytes);
        pinned_.at_least(load.bytes);
        break;
      case LoadKind::copy_to_peer:
      case LoadKind::copy_from_peer:
        prepare_peer(load.bytes);
        break;
      case LoadKind::all_reduce:
        prepare_all_reduce(load.bytes);
        break;
      case LoadKind::burn:
        here_->enter();
        here_->memory().at_least(4LL * burn_threads * burn_blocks());
        launch(burn_, burn_blocks(), burn_threads, Nanoseconds(0));  // loads it
        here_->wait();
        break;
      case LoadKind::spin:
        here_->enter();
        launch(spin_, 1, 32, Nanoseconds(0));
        here_->wait();
        break;
      case LoadKind::allocation:
        break;
    }
    here_->enter();
  }

  void prepare_peer(std::int64_t bytes) {
    place(*peer_).enter();
    place(*peer_).memory().at_least(bytes);
    here_->enter();
    here_->memory().at_least(bytes);
    if (const auto result = (*cuda_)->cuCtxEnablePeerAccess(place(*peer_).context(), 0);
        result != cuda::peer_access_already_enabled)
      cuda_->check(result, "cuCtxEnablePeerAccess");
  }

  void prepare_all_reduce(std::int64_t bytes) {
    CHECK_THAT(bytes % 4 == 0, "an all-reduce is of whole floats, this one of {} bytes", bytes);
    for (std::size_t i = 0; i < all_.size(); ++i) {
      place(i).enter();
      const cuda::Pointer memory = place(i).memory().at_least(bytes);
      cuda_->check((*cuda_)->cuMemsetD8Async(memory, 0, static_cast<std::size_t>(bytes), place(i).stream()),
                   "cuMemsetD8Async");
      place(i).wait();
    }
    if (communicators_.empty()) {
      std::vector<cuda::Device> devices;
      for (const cuda::Gpu& gpu : all_) devices.push_back(gpu.device);
      std::vector<Communicator> made(all_.size());
      nccl_->check((*nccl_)->ncclCommInitAll(made.data(), gpus(), devices.data()), "ncclCommInitAll");
      communicators_ = std::move(made);
    }
    all_reduce(bytes);  // the first of a size connects what it needs
    for (std::size_t i = 0; i < all_.size(); ++i) place(i).wait();
  }

  void work(const Load& load) {
    Clock& clock = monotonic_clock();
    for (int cycle = 0; cycle < load.cycles; ++cycle) {
      Burst burst{.begin = clock.now()};
      run_burst(load, load.busy_of(cycle));
      burst.end = clock.now();
      run_.bursts.push_back(burst);
      if (load.idle > Nanoseconds(0)) clock.sleep_until(burst.end + load.idle_of(cycle));
    }
  }

  void run_burst(const Load& load, Nanoseconds busy) {
    switch (load.kind) {
      case LoadKind::copy_to_device:
      case LoadKind::copy_to_host:
      case LoadKind::copy_to_peer:
      case LoadKind::copy_from_peer:
        for (std::int64_t i = 0; i < load.transfers; ++i) copy(load.kind, load.bytes);
        break;
      case LoadKind::all_reduce:
        for (std::int64_t i = 0; i < load.transfers; ++i) all_reduce(load.bytes);
        for (std::size_t i = 1; i < all_.size(); ++i) place(i).wait();
        break;
      case LoadKind::spin:
        launch(spin_, 1, 32, busy);
        break;
      case LoadKind::burn:
        launch(burn_, burn_blocks(), burn_threads, busy);
        break;
      case LoadKind::allocation: {
        here_->enter();
        DeviceMemory memory(*cuda_);
        memory.at_least(load.bytes);
        monotonic_clock().sleep_until(monotonic_clock().now() + busy);
        break;
      }
    }
    here_->wait();
  }

  void copy(LoadKind kind, std::int64_t bytes) {
    const auto size = static_cast<std::size_t>(bytes);
    const cuda::Pointer own = here_->memory().at_least(bytes);
    if (kind == LoadKind::copy_to_device)
      cuda_->check((*cuda_)->cuMemcpyHtoDAsync_v2(own, pinned_.at_least(bytes), size, here_->stream()),
                   "cuMemcpyHtoDAsync_v2");
    else if (kind == LoadKind::copy_to_host)
      cuda_->check((*cuda_)->cuMemcpyDtoHAsync_v2(pinned_.at_least(bytes), own, size, here_->stream()),
                   "cuMemcpyDtoHAsync_v2");
    else
      copy_peer(kind == LoadKind::copy_to_peer ? place(*peer_) : *here_,
                kind == LoadKind::copy_to_peer ? *here_ : place(*peer_), bytes);
  }

  void copy_peer(Place& to, Place& from, std::int64_t bytes) {
    cuda_->check((*cuda_)->cuMemcpyPeerAsync(to.memory().at_least(bytes), to.context(), from.memory().at_least(bytes),
                                             from.context(), static_cast<std::size_t>(bytes), here_->stream()),
                 "cuMemcpyPeerAsync");
  }

  unsigned burn_blocks() const {
    return burn_blocks_per_multiprocessor * static_cast<unsigned>(here_->gpu().multiprocessors);
  }

  void launch(cuda::Kernel kernel, unsigned blocks, unsigned threads, Nanoseconds busy) {
    auto ns = static_cast<unsigned long long>(busy.count());
    cuda::Pointer sink = kernel == burn_ ? here_->memory().at_least(0) : 0;
    void* parameters[] = {&ns, &sink};  // a kernel reads as many as it has
    cuda_->check((*cuda_)->cuLaunchKernel(kernel, blocks, 1, 1, threads, 1, 1, 0, here_->stream(), parameters, nullptr),
                 "cuLaunchKernel");
  }

  // In place, of zeros, which stay zeros.
  void all_reduce(std::int64_t bytes) {
    nccl_->check((*nccl_)->ncclGroupStart(), "ncclGroupStart");
    for (std::size_t i = 0; i < all_.size(); ++i) {
      auto* memory = reinterpret_cast<void*>(place(i).memory().at_least(bytes));
      nccl_->check((*nccl_)->ncclAllReduce(memory, memory, static_cast<std::size_t>(bytes) / sizeof(float),
                                           cuda::nccl::float32, cuda::nccl::sum, communicators_[i], place(i).stream()),
                   "ncclAllReduce");
    }
    nccl_->check((*nccl_)->ncclGroupEnd(), "ncclGroupEnd");
  }

  std::unique_ptr<const cuda::Library> cuda_;
  NcclLoader load_nccl_;
  std::unique_ptr<const cuda::nccl::Library> nccl_;
  std::string nccl_error_;
  std::vector<cuda::Gpu> all_;  // this one first
  std::unique_ptr<Place> here_;
  std::vector<std::unique_ptr<Place>> others_;
  PinnedMemory pinned_;
  std::vector<Communicator> communicators_;
  std::optional<std::size_t> peer_;  // in all_
  cuda::Kernel spin_ = nullptr, burn_ = nullptr;
  std::thread worker_;
  std::atomic<bool> running_ = false;
  std::exception_ptr failure_;
  Load load_;
  LoadRun run_;
};

// Where CUDA is not to be had.
class NoLoads : public LoadRunner {
 public:
  explicit NoLoads(std::string why) : why_(std::move(why)) {}
  std::optional<std::string> cannot(LoadKind) override { return why_; }
  int gpus() const override { return 0; }
  void prepare(const Load& load) override { throw Failure("{} cannot run: {}", name_of(load.kind), why_); }
  void start() override {}
  bool running() override { return false; }
  LoadRun finish() override { return {}; }

 private:
  std::string why_;
};

}  // namespace

std::unique_ptr<LoadRunner> cuda_loads(const std::string& uuid) {
  try {
    return cuda_loads(uuid, std::make_unique<const cuda::Library>(),
                      [] { return std::make_unique<const cuda::nccl::Library>(); });
  } catch (const Failure& failure) {
    return std::make_unique<NoLoads>(fmt::format("no CUDA: {}", failure.what()));
  }
}

std::unique_ptr<LoadRunner> cuda_loads(const std::string& uuid, std::unique_ptr<const cuda::Library> cuda,
                                       NcclLoader load_nccl) {
  try {
    return std::make_unique<CudaLoads>(std::move(cuda), std::move(load_nccl), uuid);
  } catch (const Failure& failure) {
    return std::make_unique<NoLoads>(fmt::format("no CUDA: {}", failure.what()));
  }
}

}  // namespace batchscope
