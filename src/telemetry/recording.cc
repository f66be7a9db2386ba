// The thread between sampler and store (telemetry/recording.h).
#include "telemetry/recording.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/thread_signals.h"
#include "base/units.h"
#include "telemetry/sources/host.h"
#include "telemetry/sources/nvml.h"
#include "telemetry/sources/virtual_devices.h"

namespace batchscope {
namespace {

constexpr auto commit_period = std::chrono::milliseconds(500);  // a kill loses at most a second, commit included

SamplerRecord record_of(const SamplerFigures& f, std::int64_t session) {
  return {.session = session,
          .source = f.source,
          .period = f.period,
          .ticks = f.ticks,
          .missed = f.missed,
          .dropped = f.dropped,
          .period_error_p50 = f.period_error_p50,
          .period_error_p99 = f.period_error_p99,
          .period_error_max = f.period_error_max,
          .call_p50 = f.call_p50,
          .call_p99 = f.call_p99,
          .call_max = f.call_max,
          .cpu_share = f.cpu_share};
}

}  // namespace

std::vector<std::unique_ptr<Source>> virtual_sources(std::optional<int> root) {
  std::vector<std::unique_ptr<Source>> sources;
  sources.push_back(std::make_unique<HostSource>(HostSource::Options{.root = root}));
  sources.push_back(std::make_unique<VirtualDeviceSource>(root));
  return sources;
}

std::vector<std::unique_ptr<Source>> gpu_sources(const std::vector<NvmlGpu>& gpus) {
  std::vector<std::unique_ptr<Source>> sources;
  for (const NvmlGpu& gpu : gpus)
    for (auto& source : nvml_sources(gpu)) sources.push_back(std::move(source));
  return sources;
}

std::vector<std::unique_ptr<Source>> machine_sources(std::optional<int> root) {
  auto sources = virtual_sources(root);
  for (auto& source : gpu_sources(nvml_gpus())) sources.push_back(std::move(source));
  return sources;
}

void keep_kinds(std::vector<std::unique_ptr<Source>>& sources, const std::vector<std::string>& kinds) {
  if (kinds.empty()) return;
  std::erase_if(sources, [&](const auto& source) {
    const std::string name = source->name();
    return std::find(kinds.begin(), kinds.end(), name.substr(0, name.find(' '))) == kinds.end();
  });
}

void check_kinds(const std::vector<std::string>& kinds, std::string_view flag) {
  constexpr std::array known{"host",   "virtual", "pcie",   "nvlink",    "utilization", "power",
                             "gauges", "energy",  "health", "processes", "gpm",         "gpm-engine"};
  for (const std::string& kind : kinds)
    if (std::find(known.begin(), known.end(), kind) == known.end()) {
      const std::string near = nearest(kind, known);
      throw InputError("{}: '{}' is not a kind of source{}; there are {}", flag, kind,
                       near.empty() ? "" : fmt::format("; did you mean {}?", near), fmt::join(known, ", "));
    }
}

Recording::Recording(std::vector<std::unique_ptr<Source>> sources, const SamplerOptions& options, StoreWriter* store,
                     std::int64_t session)
    : begin_(monotonic_clock().now()),
      session_(session),
      collector_(store, session),
      sampler_(std::move(sources), options),
      writer_([this] { run(); }) {}

Recording::~Recording() { stop(); }

void Recording::run() {
  leave_signals_to_others();
  // The first commit makes the series: what that costs is not what writing costs from then on.
  Nanoseconds first_commit{0}, cpu_at_first_commit{0};
  std::unique_lock lock(mutex_);
  while (!stop_) {
    wake_.wait_for(lock, commit_period, [this] { return stop_; });
    lock.unlock();
    commit_once();
    const Nanoseconds now = monotonic_clock().now();
    writing_cpu_ = thread_cpu_time();
    double share = 0;
    if (commits_++ == 0) {
      first_commit = now;
      cpu_at_first_commit = writing_cpu_;
    } else {
      share = to_seconds(writing_cpu_ - cpu_at_first_commit) / to_seconds(now - first_commit);
    }
    sampler_.keep_to_budget({.spent = writing_cpu_, .share = share});
    lock.lock();
  }
}

// After a failed write the recording goes on for its summary; the file keeps what was committed.
void Recording::commit_once() {
  try {
    std::vector<SamplerRecord> samplers;
    for (auto& source : sampler_.sources()) {
      collector_.drain(*source);
      if (const auto since = source->stuck_since()) collector_.note_stuck(*source, *since, monotonic_clock().now());
      samplers.push_back(record_of(source->figures(), session_));
    }
    samplers.push_back(record_of(writing_figures(monotonic_clock().now()), session_));
    collector_.commit(samplers);
  } catch (const Error& error) {
    collector_.stop_writing();
    const std::lock_guard guard(mutex_);
    write_error_ = error.what();
  }
}

void Recording::stop() {
  if (!writer_.joinable()) return;
  end_ = monotonic_clock().now();
  sampler_.stop();
  {
    const std::lock_guard guard(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  writer_.join();
  commit_once();  // what came between the thread's last look and its end
}

// What is said of a source, as far as it can be of the thread that takes readings and writes them.
SamplerFigures Recording::writing_figures(Nanoseconds now) const {
  SamplerFigures figures{.source = "writing", .period = commit_period, .ticks = commits_};
  if (commits_ > 0) figures.cpu_share = to_seconds(writing_cpu_) / to_seconds(now - begin_);
  return figures;
}

RecordingSummary Recording::summary() const {
  RecordingSummary summary{.elapsed = end_ - begin_, .counters = collector_.summaries()};
  for (const auto& source : sampler_.sources()) summary.samplers.push_back(source->figures());
  summary.samplers.push_back(writing_figures(end_));
  return summary;
}

std::optional<std::string> Recording::write_error() const {
  const std::lock_guard guard(mutex_);
  return write_error_;
}

}  // namespace batchscope
