// The thread between sampler and store (telemetry/recording.h).
#include "telemetry/recording.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "base/attempt.h"
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

std::vector<std::unique_ptr<Source>> virtual_sources(std::optional<int> root, bool adopts) {
  std::vector<std::unique_ptr<Source>> sources;
  sources.push_back(std::make_unique<HostSource>(HostSource::Options{.root = root, .adopts = adopts}));
  sources.push_back(std::make_unique<VirtualDeviceSource>(root));
  return sources;
}

MachineGpus machine_gpus(const GpuChoice& choice) {
  using Sources = std::vector<std::unique_ptr<Source>>;
  MachineGpus out;
  const std::vector<NvmlGpu> listed = nvml_gpus(&out.missing, choice);
  const Nanoseconds deadline = monotonic_clock().now() + nvml::driver_patience();
  const std::string no_answer = "the driver has not returned from a call that asked for its counters";
  std::vector<Attempt<Sources>> attempts;
  for (const NvmlGpu& gpu : listed) attempts.emplace_back([gpu] { return nvml_sources(gpu); });
  for (std::size_t i = 0; i < listed.size(); ++i) {
    if (auto found = attempts[i].wait_until(deadline)) {
      out.gpus.push_back(listed[i]);
      for (auto& source : *found) out.sources.push_back(std::move(source));
    } else {
      out.missing.push_back({.gpu = listed[i].gpu.index, .why = no_answer});
    }
  }
  if (!out.missing.empty() && are_gpus_expected())
    out.sources.push_back(missing_gpus_source(out.missing, out.gpus, out.late));
  return out;
}

std::vector<std::unique_ptr<Source>> machine_sources(std::optional<int> root, const GpuChoice& choice) {
  auto sources = virtual_sources(root);
  for (auto& source : machine_gpus(choice).sources) sources.push_back(std::move(source));
  return sources;
}

void keep_kinds(std::vector<std::unique_ptr<Source>>& sources, const std::vector<std::string>& kinds) {
  if (kinds.empty()) return;
  const bool are_gpus_wanted =
      std::any_of(kinds.begin(), kinds.end(), [](const auto& kind) { return kind != "host" && kind != "virtual"; });
  std::erase_if(sources, [&](const auto& source) {
    const std::string name = source->name();
    if (name == missing_gpus_kind) return !are_gpus_wanted;
    return std::find(kinds.begin(), kinds.end(), name.substr(0, name.find(' '))) == kinds.end();
  });
}

std::span<const std::string_view> source_kinds() {
  using namespace std::string_view_literals;
  static constexpr std::array kinds{"host"sv,        "virtual"sv,   "pcie"sv,   "nvlink"sv,
                                    "utilization"sv, "power"sv,     "gauges"sv, "energy"sv,
                                    "health"sv,      "processes"sv, "gpm"sv,    "gpm-engine"sv};
  return kinds;
}

void check_kinds(const std::vector<std::string>& kinds, std::string_view flag) {
  const auto known = source_kinds();
  for (const std::string& kind : kinds)
    if (std::find(known.begin(), known.end(), kind) == known.end()) {
      const std::string near = nearest(kind, known);
      throw InputError("{}: '{}' is not a kind of source{}; kinds are {}", flag, kind,
                       near.empty() ? "" : fmt::format("; did you mean {}?", near), fmt::join(known, ", "));
    }
}

Recording::Recording(std::vector<std::unique_ptr<Source>> sources, const SamplerOptions& options, StoreWriter* store,
                     std::int64_t session, std::shared_ptr<LateGpus> late, std::vector<std::string> kinds)
    : begin_(monotonic_clock().now()),
      store_(store),
      session_(session),
      late_(std::move(late)),
      kinds_(std::move(kinds)),
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
    wake_.wait_for(lock, commit_period, [this] { return stop_ || asked_ > caught_up_; });
    const std::int64_t asked = asked_;
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
    if (asked > caught_up_ && !first_) first_ = figures(now);
    caught_up_ = asked;
    wake_.notify_all();
  }
}

void Recording::add_late_gpus() {
  if (late_ == nullptr) return;
  auto sources = late_->take();
  keep_kinds(sources, kinds_);
  for (auto& source : sources) sampler_.add(std::move(source));
  const std::vector<NvmlGpu> gpus = late_->gpus();
  for (; late_gpus_ < gpus.size(); ++late_gpus_) {
    spdlog::warn("{} answers now, and is recorded from here on", gpus[late_gpus_].label());
    if (store_ != nullptr) store_->set_environment(session_, gpu_environment({gpus[late_gpus_]}));
  }
}

// After a failed write the recording goes on for its summary; the file keeps what was committed.
void Recording::commit_once() {
  try {
    add_late_gpus();
    std::vector<SamplerRecord> samplers;
    for (const auto& source : sampler_.sources()) {
      collector_.drain(*source);
      if (const auto since = source->stuck_since()) collector_.note_stuck(*source, *since, monotonic_clock().now());
      samplers.push_back(record_of(source->figures(), session_));
    }
    samplers.push_back(record_of(writing_figures(monotonic_clock().now()), session_));
    collector_.commit(samplers);
  } catch (const Error& error) {
    collector_.stop_writing();
    store_ = nullptr;
    const std::lock_guard guard(mutex_);
    write_error_ = error.what();
  }
}

void Recording::catch_up() {
  constexpr auto longest_wait = std::chrono::seconds(2);
  sampler_.read_now();
  std::unique_lock lock(mutex_);
  const std::int64_t mine = ++asked_;
  wake_.notify_all();
  wake_.wait_for(lock, longest_wait, [&] { return caught_up_ >= mine || stop_; });
}

RecordingSummary Recording::wait_for_rows() {
  sampler_.wait_for_rows();
  sampler_.start_account();
  catch_up();
  const std::lock_guard guard(mutex_);
  return first_.value_or(RecordingSummary{});
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

RecordingSummary Recording::figures(Nanoseconds now) const {
  RecordingSummary summary{.elapsed = now - begin_, .counters = collector_.summaries()};
  for (const auto& source : sampler_.sources()) summary.samplers.push_back(source->figures());
  summary.samplers.push_back(writing_figures(now));
  return summary;
}

RecordingSummary Recording::summary() const { return figures(end_); }

std::optional<std::string> Recording::write_error() const {
  const std::lock_guard guard(mutex_);
  return write_error_;
}

}  // namespace batchscope
