// What the counters of a fake machine are at a time (machine.h).
#include "telemetry/nvml/fake/machine.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace batchscope::nvml::fake {
namespace {

constexpr Int128 ns_per_s = 1'000'000'000;
constexpr std::size_t place(Rate rate) { return static_cast<std::size_t>(rate); }

Rate pcie(Direction direction) { return direction == Direction::tx ? Rate::pcie_tx : Rate::pcie_rx; }
Rate nvlink(Direction direction) { return direction == Direction::tx ? Rate::nvlink_tx : Rate::nvlink_rx; }

std::uint32_t rounded(double value) { return static_cast<std::uint32_t>(std::lround(value)); }
std::uint32_t percent(double part) { return rounded(part * 100 / millionths); }

}  // namespace

LoadCurve::LoadCurve(Load load) : load_(std::move(load)) {
  begins_.push_back(Nanoseconds(0));
  before_.push_back({});
  for (const Interval& interval : load_.intervals) {
    if (interval.length == for_ever) {
      begins_.push_back(for_ever);
      break;
    }
    auto sums = before_.back();
    for (std::size_t i = 0; i < rate_count; ++i)
      sums[i] += Int128(interval.activity.rates[i]) * interval.length.count();
    begins_.push_back(begins_.back() + interval.length);
    before_.push_back(sums);
  }
}

LoadCurve::Position LoadCurve::find(Nanoseconds time) const {
  std::int64_t rounds = 0;
  if (load_.repeat) {
    rounds = time / begins_.back();
    time -= rounds * begins_.back();
  }
  const auto next = std::upper_bound(begins_.begin(), begins_.end(), time);
  const auto interval = static_cast<std::size_t>(next - begins_.begin()) - 1;
  return {interval, time - begins_[interval], rounds};
}

const Activity& LoadCurve::at(Nanoseconds time) const {
  const Position position = find(time);
  return position.interval < load_.intervals.size() ? load_.intervals[position.interval].activity : load_.idle;
}

Int128 LoadCurve::integral(Rate rate, Nanoseconds time) const {
  const Position position = find(time);
  const Int128 whole_rounds = position.rounds * before_.back()[place(rate)];
  return whole_rounds + before_[position.interval][place(rate)] + Int128(at(time).rate(rate)) * position.into.count();
}

Nanoseconds last_refresh(const Refresh& refresh, Nanoseconds time) {
  return std::max(time - refresh.lag, Nanoseconds(0)) / refresh.refresh * refresh.refresh;
}

Gpu::Gpu(GpuSpec spec, int index, std::span<const Fault> faults) : spec_(std::move(spec)), index_(index) {
  for (const Fault& fault : faults)
    if (!fault.gpu || *fault.gpu == index) faults_.push_back(fault);
  phases_.push_back({Nanoseconds(0), LoadCurve(spec_.load), {}});
}

void Gpu::set_load(Load load, Nanoseconds from) {
  while (phases_.size() > 1 && phases_.back().begin >= from) phases_.pop_back();
  Phase phase{std::max(from, Nanoseconds(0)), LoadCurve(std::move(load)), {}};
  for (std::size_t i = 0; i < rate_count; ++i) phase.before[i] = integral(static_cast<Rate>(i), phase.begin);
  phases_.push_back(std::move(phase));
}

const Gpu::Phase& Gpu::phase_at(Nanoseconds time) const {
  auto phase = phases_.rbegin();
  while (phase->begin > time && std::next(phase) != phases_.rend()) ++phase;
  return *phase;
}

const Activity& Gpu::at(Nanoseconds time) const {
  const Phase& phase = phase_at(time);
  return phase.curve.at(std::max(time - phase.begin, Nanoseconds(0)));
}

Int128 Gpu::integral(Rate rate, Nanoseconds time) const {
  if (time <= Nanoseconds(0)) return 0;
  const Phase& phase = phase_at(time);
  return phase.before[place(rate)] + phase.curve.integral(rate, time - phase.begin);
}

std::uint64_t Gpu::total(Rate rate, Nanoseconds time) const {
  Int128 at_reset = 0;
  for (const Fault& fault : faults_)
    if (fault.kind == FaultKind::reset && fault.from <= time &&
        std::find(fault.counters.begin(), fault.counters.end(), rate) != fault.counters.end())
      at_reset = integral(rate, fault.from);
  return static_cast<std::uint64_t>((integral(rate, time) - at_reset) / ns_per_s);
}

double Gpu::mean(Rate rate, Nanoseconds begin, Nanoseconds end) const {
  return static_cast<double>(integral(rate, end) - integral(rate, begin)) / static_cast<double>((end - begin).count());
}

double Gpu::refreshed(Rate rate, const Refresh& refresh, Nanoseconds instant) const {
  return mean(rate, instant - refresh.window, instant);
}

Utilization Gpu::utilization(Nanoseconds time) const {
  const Nanoseconds instant = last_refresh(spec_.utilization, time);
  return {percent(refreshed(Rate::gpu_busy, spec_.utilization, instant)),
          percent(refreshed(Rate::memory_busy, spec_.utilization, instant))};
}

std::uint32_t Gpu::power_mw(Nanoseconds time) const {
  return rounded(refreshed(Rate::power, spec_.power, last_refresh(spec_.power, time)));
}

std::uint32_t Gpu::mean_power_mw(Nanoseconds time, Nanoseconds window) const {
  return rounded(mean(Rate::power, time - window, time));
}

std::uint64_t Gpu::energy_mj(Nanoseconds time) const { return total(Rate::power, last_refresh(spec_.energy, time)); }

std::uint64_t Gpu::pcie_bytes(Direction direction, Nanoseconds time) const {
  const std::uint64_t bytes = total(pcie(direction), time);
  return spec_.pcie_modulus_bits == 64 ? bytes : bytes & ((std::uint64_t{1} << spec_.pcie_modulus_bits) - 1);
}

std::uint32_t Gpu::pcie_kb_per_s(Direction direction, Nanoseconds time) const {
  return rounded(mean(pcie(direction), time - spec_.pcie_window, time) / 1000);
}

std::uint64_t Gpu::nvlink_bytes(Direction direction, Nanoseconds time) const {
  return spec_.nvlinks == 0 ? 0 : total(nvlink(direction), time);
}

std::uint64_t Gpu::nvlink_bytes(Direction direction, std::uint32_t link, Nanoseconds time) const {
  const std::uint64_t bytes = nvlink_bytes(direction, time);
  return bytes / spec_.nvlinks + (link < bytes % spec_.nvlinks ? 1 : 0);
}

std::uint64_t Gpu::capped_ns(Rate rate, Nanoseconds time) const {
  return static_cast<std::uint64_t>(integral(rate, time) / millionths);
}

std::uint64_t Gpu::ecc_errors(EccError error, Nanoseconds time) const {
  std::uint64_t errors = 0;
  for (const Fault& fault : faults_)
    if (fault.kind == FaultKind::ecc && fault.from <= time)
      errors += error == ecc_corrected ? fault.corrected : fault.uncorrected;
  return errors;
}

std::int64_t Gpu::ring_size(SamplingType type) const {
  return type == samples_power ? spec_.power.ring : spec_.utilization.ring;
}

std::optional<std::vector<Gpu::RingEntry>> Gpu::ring(SamplingType type, Nanoseconds time) const {
  const Refresh& refresh = type == samples_power ? spec_.power : spec_.utilization;
  const auto value = [&](Nanoseconds instant) -> std::optional<std::uint32_t> {
    switch (type) {
      case samples_power:
        return rounded(refreshed(Rate::power, refresh, instant));
      case samples_gpu_utilization:
        return percent(refreshed(Rate::gpu_busy, refresh, instant));
      case samples_memory_utilization:
        return percent(refreshed(Rate::memory_busy, refresh, instant));
      case samples_processor_clock:
        return at(instant).sm_clock_mhz;
      case samples_memory_clock:
        return at(instant).memory_clock_mhz;
      default:
        return std::nullopt;
    }
  };
  if (refresh.ring == 0 || !value(Nanoseconds(0))) return std::nullopt;
  std::vector<RingEntry> entries;
  const std::int64_t last = last_refresh(refresh, time) / refresh.refresh;
  for (std::int64_t i = std::max<std::int64_t>(last - refresh.ring + 1, 1); i <= last; ++i)
    entries.push_back({i * refresh.refresh, *value(i * refresh.refresh)});
  return entries;
}

Nanoseconds Gpu::last_gpm_refresh(Nanoseconds time) const {
  const Refresh& samples = spec_.gpm_samples;
  Nanoseconds shown = time - samples.lag;
  for (auto jump = spec_.gpm_jumps.rbegin(); jump != spec_.gpm_jumps.rend(); ++jump) {
    if (shown < jump->at) continue;
    const Nanoseconds last = (shown - jump->by) / samples.refresh * samples.refresh + jump->by;
    if (last >= jump->at) return last;
    shown = jump->at - Nanoseconds(1);
  }
  return last_refresh(samples, shown + samples.lag);
}

std::optional<double> Gpu::gpm_metric(std::uint32_t id, Nanoseconds first, Nanoseconds second) const {
  const auto metric = [&]() -> std::optional<std::pair<Rate, double>> {
    constexpr double in_percent = 100.0 / millionths, in_mib = 1.0 / (1 << 20);
    switch (id) {
      case gpm_graphics_util:
        return {{Rate::gpu_busy, in_percent}};
      case gpm_sm_util:
        return {{Rate::sm_busy, in_percent}};
      case gpm_tensor_util:
      case gpm_tensor_half_util:
        return {{Rate::tensor_busy, in_percent}};
      case gpm_dram_util:
        return {{Rate::dram_busy, in_percent}};
      case gpm_pcie_tx_mib_per_s:
        return {{Rate::pcie_tx, in_mib}};
      case gpm_pcie_rx_mib_per_s:
        return {{Rate::pcie_rx, in_mib}};
      case gpm_nvlink_tx_mib_per_s:
        return {{Rate::nvlink_tx, in_mib}};
      case gpm_nvlink_rx_mib_per_s:
        return {{Rate::nvlink_rx, in_mib}};
      default:
        return std::nullopt;
    }
  }();
  if (!metric) return std::nullopt;
  const auto [rate, unit] = *metric;
  const Nanoseconds begin = last_gpm_refresh(first), end = last_gpm_refresh(second);
  if (begin >= end) return 0;
  const double value = mean(rate, begin, end) * unit;
  const bool is_pcie = rate == Rate::pcie_tx || rate == Rate::pcie_rx;
  if (is_pcie && value == 0) return 0.2;  // who takes samples makes traffic, too
  const bool too_close = second - first < spec_.gpm_samples.refresh;
  const double ratio = is_pcie ? spec_.gpm_pcie_ratio : 1;
  return value * ratio * (too_close ? to_seconds(end - begin) / to_seconds(second - first) : 1);
}

Machine::Machine(Scenario scenario) : scenario_(std::move(scenario)) {
  for (std::size_t i = 0; i < scenario_.gpus.size(); ++i)
    gpus_.emplace_back(scenario_.gpus[i], static_cast<int>(i), scenario_.faults);
  for (const Fault& fault : scenario_.faults)
    for (const Gpu& gpu : gpus_) {
      if (!fault.concerns(gpu.index(), fault.from)) continue;
      if (fault.kind == FaultKind::xid) events_.push_back({fault.from, gpu.index(), event_xid, fault.xid});
      if (fault.kind == FaultKind::ecc && fault.corrected > 0)
        events_.push_back({fault.from, gpu.index(), event_single_bit_ecc, 0});
      if (fault.kind == FaultKind::ecc && fault.uncorrected > 0)
        events_.push_back({fault.from, gpu.index(), event_double_bit_ecc, 0});
    }
}

void Machine::set_load(int gpu, Load load, Nanoseconds from) {
  gpus_.at(static_cast<std::size_t>(gpu)).set_load(std::move(load), from);
}

Return Machine::refusal(int gpu, std::string_view call, Nanoseconds time) const {
  if (lost(gpu, time)) return gpu_is_lost;
  for (const Fault& fault : scenario_.faults)
    if (fault.kind == FaultKind::answer && fault.concerns(gpu, call, time)) return fault.result;
  return success;
}

std::optional<Nanoseconds> Machine::hang(int gpu, std::string_view call, Nanoseconds time) const {
  for (const Fault& fault : scenario_.faults)
    if (fault.kind == FaultKind::hang && fault.concerns(gpu, call, time)) return fault.until;
  return std::nullopt;
}

bool Machine::lost(int gpu, Nanoseconds time) const {
  return gpu >= 0 && std::any_of(scenario_.faults.begin(), scenario_.faults.end(), [&](const Fault& fault) {
           return fault.kind == FaultKind::lost && fault.concerns(gpu, time);
         });
}

}  // namespace batchscope::nvml::fake
