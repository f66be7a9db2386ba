// A GPU's stream, events, graphs and copies (device/cuda/cuda_device.h).
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

#include "base/check.h"
#include "base/error.h"
#include "device/cuda/cuda_device.h"
#include "device/cuda/transfer_kernels.h"

namespace batchscope {
namespace {

constexpr std::int64_t events_kept = 16384;  // as many as a step that is observed needs
constexpr std::size_t graphs_kept = 128;
constexpr std::int64_t smallest_host_buffer = 1 << 20;    // pinning costs much more than the memory
constexpr std::int64_t staging_bytes = std::int64_t{8} << 20;
constexpr std::size_t staging_parts = 3;
// Of a wait that looks at other processes meanwhile.
constexpr Nanoseconds longest_spin = std::chrono::microseconds(250), pause = std::chrono::microseconds(20);

}  // namespace

void check_cuda(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // an error of a launch or an allocation is not to be reported twice
  if (result == cudaErrorMemoryAllocation)
    throw OutOfMemory(fmt::format("{}: the GPU is out of memory; use a smaller batch or more devices", what));
  throw Failure("{}: {}", what, cudaGetErrorString(result));
}

AbortFlag::AbortFlag() {
  void* memory = nullptr;
  check_cuda(cudaHostAlloc(&memory, sizeof(int), cudaHostAllocPortable | cudaHostAllocMapped), "taking pinned memory");
  host = static_cast<int*>(memory);
  set(false);
}

AbortFlag::~AbortFlag() { cudaFreeHost(host); }

CudaDevice::CudaDevice(std::string name, int number, CudaPages& pages, CudaKernels kernels,
                       WorkspaceBytes workspace_bytes, Preparation preparation, CudaGemm& gemm, AbortFlag& aborted,
                       JoinClock* join_clock, bool is_shared)
    : Device(std::move(name), pages),
      kernels_(std::move(kernels)),
      workspace_bytes_(workspace_bytes),
      preparation_(preparation),
      aborted_(aborted),
      join_clock_(join_clock),
      is_shared_(is_shared),
      number_(number),
      pinned_(std::make_shared<PinnedMemory>()) {
  check_cuda(cudaSetDevice(number), "choosing the GPU");
  check_cuda(cudaStreamCreateWithFlags(&context_.stream, cudaStreamNonBlocking), "making a stream");
  // Its few blocks are placed first.
  int least = 0, greatest = 0;
  check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest), "asking the GPU");
  check_cuda(cudaStreamCreateWithPriority(&beside_stream_, cudaStreamNonBlocking, greatest), "making a stream");
  for (Beside& each : beside_)
    for (cudaEvent_t* event : {&each.may_begin, &each.end})
      check_cuda(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "making an event");
  check_cuda(cudaDeviceGetAttribute(&context_.multiprocessors, cudaDevAttrMultiProcessorCount, number), "asking the GPU");
  check_cuda(cudaDeviceGetAttribute(&context_.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, number),
             "asking the GPU");
  context_.gemm = &gemm;
  check_cuda(cudaEventCreate(&clock_event_), "making an event");
  begin_clock();
}

CudaDevice::~CudaDevice() {
  cudaSetDevice(number_);
  cudaStreamSynchronize(context_.stream);
  forget_graphs();
  for (const cudaGraphExec_t graph : observed_) cudaGraphExecDestroy(graph);
  for (const Staging& part : staging_) cudaEventDestroy(part.taken);
  for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  cudaEventDestroy(clock_event_);
  for (const Beside& each : beside_)
    for (const cudaEvent_t event : {each.may_begin, each.end}) cudaEventDestroy(event);
  cudaStreamDestroy(beside_stream_);
  cudaStreamDestroy(context_.stream);
}

void CudaDevice::copy_in(const std::byte* from, const Tensor& to) {
  CHECK_THAT(to.contiguous(), "copies are of contiguous tensors");
  if (to.elements() == 0) return;
  check_cuda(cudaMemcpyAsync(to.data, from, static_cast<std::size_t>(to.bytes()), cudaMemcpyHostToDevice,
                             context_.stream),
             "copying to the GPU");
}

void CudaDevice::copy_out(const Tensor& from, std::byte* to) {
  CHECK_THAT(from.contiguous(), "copies are of contiguous tensors");
  if (from.elements() == 0) return;
  check_cuda(cudaMemcpyAsync(to, from.data, static_cast<std::size_t>(from.bytes()), cudaMemcpyDeviceToHost,
                             context_.stream),
             "copying from the GPU");
}

// Pinned memory that nobody uses waits here for the next who does: giving it back waits for all that runs on all GPUs, among it
// kernels that wait for a rank which is giving memory back.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  ~PinnedMemory() {
    for (const auto& [bytes, data] : unused_) cudaFreeHost(data);
  }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  // At least so many bytes.
  static HostBuffer take(const std::shared_ptr<PinnedMemory>& from, std::int64_t bytes) {
    std::byte* data = nullptr;
    if (const auto found = from->unused_.lower_bound(bytes); found != from->unused_.end()) {
      std::tie(bytes, data) = *found;
      from->unused_.erase(found);
    } else {
      bytes = std::max(static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(bytes))), smallest_host_buffer);
      void* memory = nullptr;
      check_cuda(cudaHostAlloc(&memory, static_cast<std::size_t>(bytes), cudaHostAllocPortable), "taking pinned memory");
      data = static_cast<std::byte*>(memory);
    }
    return {std::shared_ptr<std::byte>(data, [from, bytes](std::byte* done) { from->unused_.emplace(bytes, done); }), bytes};
  }

 private:
  std::multimap<std::int64_t, std::byte*> unused_;  // by their bytes
};

HostBuffer CudaDevice::host_buffer(std::int64_t bytes) { return PinnedMemory::take(pinned_, bytes); }

Event CudaDevice::record() {
  const Event event{recorded_++};
  if (static_cast<std::int64_t>(events_.size()) < std::min(recorded_, events_kept)) {
    events_.emplace_back();
    check_cuda(cudaEventCreate(&events_.back()), "making an event");
  }
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  if (is_observed()) check_cuda(cudaStreamIsCapturing(context_.stream, &capturing), "asking the stream");
  // In a graph: a node that records whenever the graph is launched.
  const unsigned flags = capturing == cudaStreamCaptureStatusActive ? cudaEventRecordExternal : cudaEventRecordDefault;
  check_cuda(cudaEventRecordWithFlags(event_of(event), context_.stream, flags), "recording an event");
  return event;
}

cudaEvent_t CudaDevice::event_of(const Event& event) const {
  CHECK_THAT(event.number <= recorded_, "event {} was recorded", event.number);
  CHECK_THAT(recorded_ - event.number <= events_kept, "event {} is one of the last {} of {}", event.number, events_kept,
             recorded_);
  return events_[static_cast<std::size_t>(event.number % events_kept)];
}

bool CudaDevice::has_happened(const Event& event) {
  const cudaError_t result = cudaEventQuery(event_of(event));
  if (result == cudaErrorNotReady) return false;
  check_cuda(result, name().c_str());
  return true;
}

void CudaDevice::wait(const Event& event) {
  if (aborted_.is_set_elsewhere) {
    const Nanoseconds begin = monotonic_clock().now();
    while (!has_happened(event)) {
      if (aborted_.is_set_elsewhere()) aborted_.set(true);
      const Nanoseconds now = monotonic_clock().now();
      if (now - begin > longest_spin) monotonic_clock().sleep_until(now + pause);
    }
  }
  check_cuda(cudaEventSynchronize(event_of(event)), name().c_str());
  if (aborted_.is_set()) throw PeerFailed();
}

Nanoseconds CudaDevice::time_of(const Event& event) {
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, clock_event_, event_of(event)), "reading an event's time");
  return clock_time_ + from_seconds(static_cast<double>(milliseconds) * 1e-3);
}

Nanoseconds CudaDevice::time_between(const Event& begin, const Event& end) {
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, event_of(begin), event_of(end)), "reading events' times");
  return from_seconds(static_cast<double>(milliseconds) * 1e-3);
}

// The event's time on the host's clock is between those before its recording and after its wait: the shortest of some.
void CudaDevice::begin_clock() {
  check_cuda(cudaStreamSynchronize(context_.stream), name().c_str());
  Nanoseconds best = Nanoseconds::max();
  for (int attempt = 0; attempt < 8; ++attempt) {
    const Nanoseconds before = monotonic_clock().now();
    check_cuda(cudaEventRecord(clock_event_, context_.stream), "recording an event");
    check_cuda(cudaEventSynchronize(clock_event_), name().c_str());
    const Nanoseconds after = monotonic_clock().now();
    // The last recording counts; a slow one is repeated.
    clock_time_ = before + (after - before) / 2;
    if (after - before < best) best = after - before;
    if (attempt >= 3 && after - before <= best) break;
  }
}

bool CudaDevice::replay(const ReplayKey& key, const std::function<void()>& enqueue) {
  CHECK_THAT(has_graphs(), "{} has graphs", name());
  if (is_observed()) {
    observed_.push_back(capture(enqueue));
    check_cuda(cudaGraphLaunch(observed_.back(), context_.stream), "replaying a graph");
    return true;
  }
  if (!observed_.empty()) forget_observed_graphs();
  const auto found = graphs_.find(key);
  if (found == graphs_.end()) {  // the first time as it is: products are tuned, and many shapes come only once
    if (graphs_.size() >= graphs_kept) forget_oldest_graph();
    graphs_[key].last_used = replays_++;
    enqueue();
    return true;
  }
  Graph& graph = found->second;
  graph.last_used = replays_++;
  const bool is_new = graph.executable == nullptr;
  if (is_new) graph.executable = capture(enqueue);
  check_cuda(cudaGraphLaunch(graph.executable, context_.stream), "replaying a graph");
  return is_new;
}

void CudaDevice::beside(std::size_t number, const std::function<void()>& enqueue) {
  if (is_observed() || is_preparing()) return enqueue();
  Beside& each = beside_.at(number);
  CHECK_THAT(!each.is_under_way, "number {} has been joined", number);
  check_cuda(cudaEventRecord(each.may_begin, context_.stream), "recording an event");
  check_cuda(cudaStreamWaitEvent(beside_stream_, each.may_begin), "waiting for an event");
  struct Beginning {
    explicit Beginning(CudaContext& context, cudaStream_t stream) : context(context), before(context.stream) {
      context.stream = stream;
      context.is_beside = true;
    }
    ~Beginning() {
      context.stream = before;
      context.is_beside = false;
    }
    CudaContext& context;
    cudaStream_t before;
  };
  {
    const Beginning beginning(context_, beside_stream_);
    enqueue();
  }
  check_cuda(cudaEventRecord(each.end, beside_stream_), "recording an event");
  each.is_under_way = true;
}

void CudaDevice::join(std::size_t number) {
  Beside& each = beside_.at(number);
  if (!each.is_under_way) return;
  each.is_under_way = false;
  if (join_clock_ != nullptr) begin_join(join_clock_, context_.stream);
  check_cuda(cudaStreamWaitEvent(context_.stream, each.end), "waiting for an event");
  if (join_clock_ != nullptr) end_join(join_clock_, context_.stream);
}

cudaGraphExec_t CudaDevice::capture(const std::function<void()>& enqueue) {
  cudaGraph_t captured = nullptr;
  check_cuda(cudaStreamBeginCapture(context_.stream, cudaStreamCaptureModeThreadLocal), "capturing a graph");
  try {
    enqueue();
  } catch (...) {
    cudaStreamEndCapture(context_.stream, &captured);
    if (captured != nullptr) cudaGraphDestroy(captured);
    cudaGetLastError();
    throw;
  }
  check_cuda(cudaStreamEndCapture(context_.stream, &captured), "capturing a graph");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t result = cudaGraphInstantiate(&executable, captured, 0);
  cudaGraphDestroy(captured);
  check_cuda(result, "making a graph");
  return executable;
}

void CudaDevice::forget_graphs() {
  for (auto& [key, graph] : graphs_)
    if (graph.executable != nullptr) cudaGraphExecDestroy(graph.executable);
  graphs_.clear();
}

void CudaDevice::forget_oldest_graph() {
  const auto oldest = std::min_element(graphs_.begin(), graphs_.end(), [](const auto& a, const auto& b) {
    return a.second.last_used < b.second.last_used;
  });
  if (oldest->second.executable != nullptr) {
    check_cuda(cudaStreamSynchronize(context_.stream), name().c_str());
    cudaGraphExecDestroy(oldest->second.executable);
  }
  graphs_.erase(oldest);
}

void CudaDevice::forget_observed_graphs() {
  check_cuda(cudaStreamSynchronize(context_.stream), name().c_str());
  for (const cudaGraphExec_t graph : observed_) cudaGraphExecDestroy(graph);
  observed_.clear();
}

CudaDevice::Staging& CudaDevice::next_staging(std::int64_t bytes) {
  if (staging_.empty()) {
    staging_.resize(staging_parts);
    for (Staging& part : staging_)
      check_cuda(cudaEventCreateWithFlags(&part.taken, cudaEventDisableTiming), "making an event");
  }
  Staging& part = staging_[next_staging_++ % staging_parts];
  check_cuda(cudaEventSynchronize(part.taken), name().c_str());
  if (part.buffer.bytes < bytes) part.buffer = host_buffer(std::max(bytes, staging_bytes));
  return part;
}

// Rows go through pinned memory as they are, and are converted on the GPU.
void CudaDevice::upload(const HostMatrix& from, const Tensor& to) {
  CHECK_EQUAL(from.rows, to.rows, "an upload keeps the rows");
  CHECK_EQUAL(from.columns, to.columns, "an upload keeps the columns");
  CHECK_EQUAL(to.panel, 0, "a GPU's weights have no panels");
  const std::int64_t row_bytes = from.columns * size_of(from.dtype);
  if (row_bytes == 0) return;
  const std::int64_t step = std::max<std::int64_t>(staging_bytes / row_bytes, 1);
  for (std::int64_t begin = 0; begin < from.rows; begin += step) {
    const std::int64_t rows = std::min(step, from.rows - begin);
    Staging& part = next_staging(rows * row_bytes);
    for (std::int64_t row = 0; row < rows; ++row)
      std::memcpy(part.buffer.data.get() + row * row_bytes,
                  from.data + (begin + row) * from.stride * size_of(from.dtype), static_cast<std::size_t>(row_bytes));
    const Tensor target = to.row_range(begin, rows);
    if (from.dtype == to.dtype) {
      check_cuda(cudaMemcpy2DAsync(target.data, static_cast<std::size_t>(target.stride * size_of(to.dtype)),
                                   part.buffer.data.get(), static_cast<std::size_t>(row_bytes),
                                   static_cast<std::size_t>(row_bytes), static_cast<std::size_t>(rows),
                                   cudaMemcpyHostToDevice, context_.stream),
                 "copying to the GPU");
    } else {
      const ArenaScope scope(arena());
      const Tensor staged = arena().allocate("upload", MemoryUse::workspace, from.dtype, rows, from.columns);
      copy_in(part.buffer.data.get(), staged);
      convert_cuda(context_.stream, staged, target);
    }
    check_cuda(cudaEventRecord(part.taken, context_.stream), "recording an event");
  }
}

void CudaDevice::upload_as_fp8(const HostMatrix& from, std::int64_t column_begin, const Weight& to) {
  const ArenaScope scope(arena());
  const Tensor rows = arena().allocate("upload", MemoryUse::workspace, from.dtype, from.rows, from.columns);
  upload(from, rows);
  round_to_fp8_cuda(context_.stream, rows, column_begin, to);
}

bool CudaDevice::draw(const DrawnMatrix& values, const Weight& to) {
  draw_cuda(context_.stream, values, to);
  return true;
}

std::vector<float> CudaDevice::download(const Tensor& from) {
  std::vector<float> values(static_cast<std::size_t>(from.elements()));
  if (values.empty()) return values;
  const ArenaScope scope(arena());
  // Integers stay integers on their way.
  const DType dtype = from.dtype == DType::i32 ? DType::i32 : DType::f32;
  const Tensor wide = arena().allocate("download", MemoryUse::workspace, dtype, from.rows, from.columns);
  convert_cuda(context_.stream, from, wide);
  // A copy to memory that is not pinned keeps all threads out of CUDA until it has been done, so that nothing may be left to wait
  // for.
  check_cuda(cudaStreamSynchronize(context_.stream), name().c_str());
  check_cuda(cudaMemcpy(values.data(), wide.data, values.size() * sizeof(float), cudaMemcpyDeviceToHost),
             "copying from the GPU");
  if (dtype == DType::i32)
    for (float& value : values) {
      std::int32_t integer;
      std::memcpy(&integer, &value, sizeof integer);
      value = static_cast<float>(integer);
    }
  return values;
}

void CudaDevice::run(const Work& work, std::type_index op, const void* arguments, std::byte* workspace) {
  const auto* kernel = kernels_.find(op);
  CHECK_THAT(kernel != nullptr && kernel->run != nullptr, "CUDA devices have a kernel for {}", work.op);
  context_.workspace = workspace;
  CHECK_THAT(!context_.is_beside || workspace == nullptr, "{} takes workspace and is not done beside others", work.op);
  if (!is_preparing()) return kernel->run(context_, arguments);
  if (kernel->prepare != nullptr) kernel->prepare(context_, arguments);
}

}  // namespace batchscope
