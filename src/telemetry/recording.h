// A recording: sources sampled in threads of their own, what they read written to a .bscope file at least once a
// second.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "store/store.h"
#include "telemetry/collector.h"
#include "telemetry/sampler.h"
#include "telemetry/sources/gpu_choice.h"
#include "telemetry/sources/missing_gpus.h"
#include "telemetry/sources/nvml_gpu.h"
#include "telemetry/summary/summary.h"

namespace batchscope {

// The host and the virtual devices; with `root`, those of one process and its descendants, and their own use of the
// host; `adopts` as in sources/host.h.
std::vector<std::unique_ptr<Source>> virtual_sources(std::optional<int> root = {}, bool adopts = false);
// This machine's GPUs, as far as they are wanted.
struct MachineGpus {
  std::vector<NvmlGpu> gpus{};
  std::vector<nvml::Refusal> missing{};            // also those whose driver does not return from a call meanwhile
  std::vector<std::unique_ptr<Source>> sources{};  // of all GPUs; and one for what is missing though it should be there
  std::shared_ptr<LateGpus> late = std::make_shared<LateGpus>();  // where that one puts what comes later
};
// InputError for a wanted one that is not there.
MachineGpus machine_gpus(const GpuChoice& choice = {});
// All of this machine, as it is now.
std::vector<std::unique_ptr<Source>> machine_sources(std::optional<int> root = {}, const GpuChoice& choice = {});
// Leaves sources of these kinds only (the first word of a name); all where none is given. Missing GPUs stay unless no
// kind is of GPUs.
void keep_kinds(std::vector<std::unique_ptr<Source>>& sources, const std::vector<std::string>& kinds);
// All kinds that a machine may have.
std::span<const std::string_view> source_kinds();
// InputError for a kind that no machine has.
void check_kinds(const std::vector<std::string>& kinds, std::string_view flag);

class Recording {
 public:
  // `store` may be null (only the summary is kept) and must outlive the recording; `session` is one of its sessions.
  // Of `late` sources of these `kinds` are read from when they come.
  Recording(std::vector<std::unique_ptr<Source>> sources, const SamplerOptions& options, StoreWriter* store,
            std::int64_t session, std::shared_ptr<LateGpus> late = nullptr, std::vector<std::string> kinds = {});
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // Returns when every source has been read and the CPU budget is shared out, or after a while: what starts then is
  // seen from its start, and costs no more than it may. What was read by then.
  RecordingSummary wait_for_rows();
  // Has everything read now, beside the usual readings: at an instant that sums begin or end at.
  void read_now() { sampler_.read_now(); }
  // The same, and returns when it is written; or after a while.
  void catch_up();
  // Reads a last time, writes what is left, ends the threads. Later calls do nothing.
  void stop();
  RecordingSummary summary() const;  // after stop()
  // Why the file could not be written to its end; absent: it could. What was committed before is in the file.
  std::optional<std::string> write_error() const;

 private:
  void run();
  void commit_once();
  void add_late_gpus();
  RecordingSummary figures(Nanoseconds now) const;
  SamplerFigures writing_figures(Nanoseconds now) const;

  Nanoseconds begin_, end_{0};
  StoreWriter* store_;
  std::int64_t session_;
  std::shared_ptr<LateGpus> late_;
  std::vector<std::string> kinds_;
  std::size_t late_gpus_ = 0;  // that have been added
  Collector collector_;
  Sampler sampler_;
  // Of the writing thread.
  std::int64_t commits_ = 0;
  Nanoseconds writing_cpu_{0};
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  bool stop_ = false;
  std::int64_t asked_ = 0, caught_up_ = 0;  // times that somebody waited for what has been read, and was served
  std::optional<std::string> write_error_;
  std::optional<RecordingSummary> first_;  // what had been read when somebody waited first
  std::thread writer_;                     // last: it uses all the others
};

}  // namespace batchscope
