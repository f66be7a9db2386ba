// Looking for missing GPUs again (sources/missing_gpus.h).
#include "telemetry/sources/missing_gpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <set>
#include <utility>

#include "base/attempt.h"
#include "telemetry/nvml/sleeping_gpus.h"
#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

// Of static lifetime, as readings' reasons are; there are few.
const char* kept(const std::string& reason) {
  static std::mutex mutex;
  static auto& all = *new std::set<std::string>;
  const std::lock_guard guard(mutex);
  return all.insert(reason).first->c_str();
}

// What asking for a GPU, or for the driver, came to.
struct Found {
  std::string why{};  // "": it is there
  std::shared_ptr<const nvml::Library> library{};
  std::uint32_t gpus = 0;
  NvmlGpu gpu{};
  std::vector<std::unique_ptr<Source>> sources{};
};

Found find_driver() {
  Found found;
  found.library = nvml::library_again(found.why);
  if (found.library == nullptr) return found;
  const nvml::Return counted = (*found.library)->nvmlDeviceGetCount_v2(&found.gpus);
  if (counted != nvml::success) found.why = nvml::reason_of(counted);
  return found;
}

Found find_gpu(const std::shared_ptr<const nvml::Library>& library, int index) {
  Found found;
  auto gpu = library->open(static_cast<std::uint32_t>(index), found.why);
  if (!gpu) return found;
  found.gpu = {.library = library, .gpu = std::move(*gpu)};
  found.sources = nvml_sources(found.gpu);
  return found;
}

class MissingGpusSource : public Source {
 public:
  MissingGpusSource(const std::vector<nvml::Refusal>& missing, const std::vector<NvmlGpu>& known,
                    std::shared_ptr<LateGpus> late, Nanoseconds period)
      : late_(std::move(late)), period_(period) {
    for (const NvmlGpu& gpu : known) {
      library_ = gpu.library;
      known_.insert(gpu.gpu.uuid);
    }
    for (const nvml::Refusal& refusal : missing) {
      if (refusal.gpu && library_ == nullptr) library_ = nvml::library();  // which listed it
      add(refusal.gpu, refusal.why);
    }
  }

  std::string name() const override { return std::string(missing_gpus_kind); }
  Pace pace(Nanoseconds asked) const override { return Pace::relaxed(std::max<Nanoseconds>(asked, one_second)); }
  // Whether a GPU still sleeps costs next to nothing to ask, and it may soon sleep again.
  Nanoseconds discovery_period() const override {
    const bool is_one_asleep =
        std::any_of(missing_.begin(), missing_.end(), [](const Missing& one) { return nvml::is_asleep(one.why); });
    return is_one_asleep ? std::min<Nanoseconds>(period_, one_second) : period_;
  }
  const std::vector<CounterGroup>& groups() const override { return groups_; }

  bool discover(const Clock&) override {
    if (std::exchange(is_first_, false)) return true;  // they were asked just now
    bool changed = look();
    if (changed && !missing_.empty()) changed |= look();  // a driver that came has GPUs
    if (changed) list_groups();
    return changed;
  }

  void read(std::size_t group, Rows& rows) override {
    const std::span<Reading> out = rows.row();
    std::fill(out.begin(), out.end(), Reading::none(missing_[group].why));
    const Nanoseconds now = rows.clock().now();
    rows.add(now, now);
  }

 private:
  static constexpr Nanoseconds one_second = std::chrono::seconds(1);
  struct Missing {
    std::optional<int> gpu{};  // none: the driver
    const char* why = nullptr;
    std::int64_t id = 0;
    std::optional<Attempt<Found>> attempt{};  // one that has not returned
  };

  void add(std::optional<int> gpu, const std::string& why) {
    missing_.push_back({.gpu = gpu, .why = kept(why), .id = next_id_++});
    list_groups();
  }

  // Asks for all; true when something came.
  bool look() {
    for (Missing& one : missing_) ask(one);
    const Nanoseconds deadline = monotonic_clock().now() + one_second;
    bool came = false;
    for (std::size_t i = missing_.size(); i-- > 0;) {
      auto found = missing_[i].attempt ? answer(*missing_[i].attempt, deadline) : std::nullopt;
      if (!found) continue;
      missing_[i].attempt.reset();
      missing_[i].why = kept(found->why);
      came |= found->why.empty();
      if (found->why.empty()) take(i, std::move(*found));
    }
    return came;
  }

  void ask(Missing& one) {
    if (one.attempt) return;
    if (!one.gpu)
      one.attempt.emplace([] { return find_driver(); });
    else if (library_ != nullptr)
      one.attempt.emplace([library = library_, index = *one.gpu] { return find_gpu(library, index); });
  }

  // Absent: it has not returned yet.
  static std::optional<Found> answer(Attempt<Found>& attempt, Nanoseconds deadline) {
    try {
      return attempt.result_by(deadline);
    } catch (const std::exception& error) {
      return Found{.why = error.what()};
    }
  }

  void take(std::size_t i, Found found) {
    const bool is_driver = !missing_[i].gpu;
    missing_.erase(missing_.begin() + static_cast<std::ptrdiff_t>(i));
    if (is_driver) {
      library_ = found.library;
      for (std::uint32_t gpu = 0; gpu < found.gpus; ++gpu) add(static_cast<int>(gpu), "not asked yet");
    } else if (known_.insert(found.gpu.gpu.uuid).second) {  // else the driver has numbered its GPUs anew
      late_->put(std::move(found.gpu), std::move(found.sources));
    }
  }

  void list_groups() {
    groups_.clear();
    for (const Missing& one : missing_) {
      const auto counter = [&](const char* name, const char* unit, CounterKind kind) {
        Counter out;
        out.name = name;
        out.unit = unit;
        out.kind = kind;
        out.device = one.gpu ? fmt::format("gpu:{}", *one.gpu) : std::string("gpus");
        if (one.gpu) out.labels = {{"gpu", std::to_string(*one.gpu)}};
        out.help = "of a GPU that cannot be read";
        return out;
      };
      groups_.push_back({.id = one.id,
                         .counters = {counter("gpu_utilization_ratio", "ratio", CounterKind::window),
                                      counter("gpu_memory_used_bytes", "bytes", CounterKind::gauge),
                                      counter("gpu_power_watts", "watts", CounterKind::window)}});
    }
  }

  std::shared_ptr<LateGpus> late_;
  Nanoseconds period_;
  std::shared_ptr<const nvml::Library> library_;
  std::set<std::string> known_;  // UUIDs
  std::vector<Missing> missing_;
  std::vector<CounterGroup> groups_;  // one each of the missing
  std::int64_t next_id_ = 1;
  bool is_first_ = true;
};

}  // namespace

void LateGpus::put(NvmlGpu gpu, std::vector<std::unique_ptr<Source>> sources) {
  const std::lock_guard guard(mutex_);
  gpus_.push_back(std::move(gpu));
  for (auto& source : sources) waiting_.push_back(std::move(source));
}

std::vector<std::unique_ptr<Source>> LateGpus::take() {
  const std::lock_guard guard(mutex_);
  return std::exchange(waiting_, {});
}

std::vector<NvmlGpu> LateGpus::gpus() const {
  const std::lock_guard guard(mutex_);
  return gpus_;
}

std::unique_ptr<Source> missing_gpus_source(const std::vector<nvml::Refusal>& missing,
                                            const std::vector<NvmlGpu>& known, std::shared_ptr<LateGpus> late,
                                            Nanoseconds period) {
  return std::make_unique<MissingGpusSource>(missing, known, std::move(late), period);
}

}  // namespace batchscope
