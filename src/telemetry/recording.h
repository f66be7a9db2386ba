// A recording: sources sampled in threads of their own, what they read written to a .bscope file at least once a
// second.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "store/store.h"
#include "telemetry/collector.h"
#include "telemetry/sampler.h"
#include "telemetry/sources/nvml_gpu.h"
#include "telemetry/summary.h"

namespace batchscope {

// The host and the virtual devices; with `root`, those of one process and its descendants, and their own use of the
// host.
std::vector<std::unique_ptr<Source>> virtual_sources(std::optional<int> root = {});
// Of GPUs, as a rule nvml_gpus().
std::vector<std::unique_ptr<Source>> gpu_sources(const std::vector<NvmlGpu>& gpus);
// Both, of all of this machine's GPUs.
std::vector<std::unique_ptr<Source>> machine_sources(std::optional<int> root = {});
// Leaves sources of these kinds only (the first word of a name); all where none is given.
void keep_kinds(std::vector<std::unique_ptr<Source>>& sources, const std::vector<std::string>& kinds);
// InputError for a kind that no machine has.
void check_kinds(const std::vector<std::string>& kinds, std::string_view flag);

class Recording {
 public:
  // `store` may be null (only the summary is kept) and must outlive the recording; `session` is one of its sessions.
  Recording(std::vector<std::unique_ptr<Source>> sources, const SamplerOptions& options, StoreWriter* store,
            std::int64_t session);
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // Returns when every source has been read, or after a while: what begins then is seen from its begin.
  void wait_for_rows() const { sampler_.wait_for_rows(); }
  // Reads a last time, writes what is left, ends the threads. Later calls do nothing.
  void stop();
  RecordingSummary summary() const;  // after stop()
  // Why the file could not be written to its end; absent: it could. What was committed before is in the file.
  std::optional<std::string> write_error() const;

 private:
  void run();
  void commit_once();
  SamplerFigures writing_figures(Nanoseconds now) const;

  Nanoseconds begin_, end_{0};
  std::int64_t session_;
  Collector collector_;
  Sampler sampler_;
  // Of the writing thread.
  std::int64_t commits_ = 0;
  Nanoseconds writing_cpu_{0};
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  bool stop_ = false;
  std::optional<std::string> write_error_;
  std::thread writer_;  // last: it uses all the others
};

}  // namespace batchscope
