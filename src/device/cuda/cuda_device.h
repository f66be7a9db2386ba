// A GPU: a stream of work, another one beside it, events on the host's clock, graphs of steps that come again.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "device/cuda/context.h"
#include "device/cuda/join_clock.h"
#include "device/cuda/pages.h"
#include "device/device.h"
#include "device/kernel_table.h"

namespace batchscope {

using CudaKernels = KernelTable<CudaContext>;

// A flag in the host's memory that kernels look at while they wait for another GPU.
struct AbortFlag {
  AbortFlag();
  ~AbortFlag();
  AbortFlag(const AbortFlag&) = delete;
  AbortFlag& operator=(const AbortFlag&) = delete;
  void set(bool aborted) { *reinterpret_cast<volatile int*>(host) = aborted ? 1 : 0; }
  bool is_set() const { return *reinterpret_cast<volatile int*>(host) != 0; }
  int* host = nullptr;  // the same address on every GPU
  // Whether a rank of another process has failed; asked while a device is waited for. Empty: there are none.
  std::function<bool()> is_set_elsewhere;
};

class PinnedMemory;  // of the host

class CudaDevice : public Device {
 public:
  using WorkspaceBytes = std::int64_t (*)(std::type_index op, const void* arguments);
  using Preparation = std::int64_t (*)(std::int64_t rows);
  // `number` is CUDA's; `aborted` and `join_clock` (null: nobody wants to know) outlive it. `is_shared`: by ranks
  // whose kernels wait for each other, so that nothing may wait for all of them, as graphs do when they are made or
  // end. In the thread that uses it.
  CudaDevice(std::string name, int number, CudaPages& pages, CudaKernels kernels, WorkspaceBytes workspace_bytes,
             Preparation preparation, CudaGemm& gemm, AbortFlag& aborted, JoinClock* join_clock, bool is_shared);
  ~CudaDevice() override;

  cudaStream_t stream() const { return context_.stream; }
  const CudaContext& context() const { return context_; }

  void copy_in(const std::byte* from, const Tensor& to) override;
  void copy_out(const Tensor& from, std::byte* to) override;
  HostBuffer host_buffer(std::int64_t bytes) override;

  Event record() override;
  bool has_happened(const Event& event) override;
  void wait(const Event& event) override;
  Nanoseconds time_of(const Event& event) override;
  Nanoseconds time_between(const Event& begin, const Event& end) override;
  // Times are told from here on; the clocks drift.
  void begin_clock();

  std::int64_t preparation(std::int64_t rows) const override { return preparation_(rows); }
  bool has_graphs() const override { return !is_shared_; }
  bool replay(const ReplayKey& key, const std::function<void()>& enqueue) override;
  bool does_two_things() const override { return true; }
  // In order while the device is observed, so that each kernel's time is its own.
  void beside(std::size_t number, const std::function<void()>& enqueue) override;
  void join(std::size_t number) override;
  // While nothing is under way.
  void forget_graphs();

  void upload(const HostMatrix& from, const Tensor& to) override;
  void upload_as_fp8(const HostMatrix& from, std::int64_t column_begin, const Weight& to) override;
  bool draw(const DrawnMatrix& values, const Weight& to) override;
  std::vector<float> download(const Tensor& from) override;

 private:
  struct Graph {
    cudaGraphExec_t executable = nullptr;  // null: seen once, not captured yet
    std::int64_t last_used = 0;
  };
  // What was enqueued by beside() and has not been joined.
  struct Beside {
    cudaEvent_t may_begin = nullptr, end = nullptr;
    bool is_under_way = false;
  };
  // A part of the pinned memory that uploads go through.
  struct Staging {
    HostBuffer buffer;
    cudaEvent_t taken = nullptr;
  };

  std::int64_t workspace_bytes(std::type_index op, const void* arguments) const override {
    return workspace_bytes_(op, arguments);
  }
  void run(const Work& work, std::type_index op, const void* arguments, std::byte* workspace) override;
  cudaEvent_t event_of(const Event& event) const;
  cudaGraphExec_t capture(const std::function<void()>& enqueue);
  void forget_oldest_graph();
  void forget_observed_graphs();
  Staging& next_staging(std::int64_t bytes);

  CudaKernels kernels_;
  WorkspaceBytes workspace_bytes_;
  Preparation preparation_;
  CudaContext context_;
  AbortFlag& aborted_;
  JoinClock* const join_clock_;
  const bool is_shared_;
  int number_;
  cudaStream_t beside_stream_ = nullptr;
  std::array<Beside, most_beside> beside_;
  std::vector<cudaEvent_t> events_;  // a ring, filled as it is used
  std::vector<cudaGraphExec_t> observed_;  // graphs that were captured with events, until the next one without
  std::int64_t recorded_ = 0;
  cudaEvent_t clock_event_ = nullptr;
  Nanoseconds clock_time_{0};
  std::map<ReplayKey, Graph> graphs_;
  std::int64_t replays_ = 0;
  std::shared_ptr<PinnedMemory> pinned_;
  std::vector<Staging> staging_;
  std::size_t next_staging_ = 0;
};

}  // namespace batchscope
