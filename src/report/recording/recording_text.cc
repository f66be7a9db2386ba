// A recording on one screen (report/recording/recording_text.h).
#include "report/recording/recording_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "base/json.h"
#include "base/units.h"
#include "report/recording/counter_tables.h"
#include "report/recording/device_numbers.h"
#include "report/recording/paper_view.h"
#include "report/recording/server_latencies.h"
#include "report/wrap_text.h"
#include "telemetry/sources/series_choice.h"
#include "telemetry/summary/main_curves.h"

namespace batchscope {
namespace {

std::string share_text(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f} %", 100 * *share) : "-";
}
std::string bytes_or_dash(const std::optional<double>& bytes) { return bytes ? format_bytes(*bytes) : "-"; }
std::string total_text(const std::optional<KnownTotal>& total) {
  return total ? (total->is_complete ? "" : ">=") + format_bytes(total->value) : "-";
}
std::string watts_text(double watts) {
  return watts < 10'000 ? fmt::format("{:.0f} W", watts) : fmt::format("{:.2f} kW", watts / 1000);
}
std::string joules_text(const KnownTotal& joules) {
  const std::string text = joules.value < 10'000 ? fmt::format("{:.0f} J", joules.value)
                           : joules.value < 1e7  ? fmt::format("{:.1f} kJ", joules.value / 1e3)
                                                 : fmt::format("{:.1f} MJ", joules.value / 1e6);
  return (joules.is_complete ? "" : ">=") + text;
}

std::string device_row(const DeviceNumbers& device) {
  return fmt::format("{:<7}{:>5}{:>6}{:>8}{:>10}{:>11}{:>11}{:>11}{:>11}\n", visible(device.label),
                     share_text(device.utilisation), share_text(device.sm_active),
                     device.power_w ? watts_text(*device.power_w) : "-", bytes_or_dash(device.peak_memory_bytes),
                     total_text(device.pcie_in), total_text(device.pcie_out), total_text(device.link_in),
                     total_text(device.link_out));
}

// A line a device, and one of all.
std::string device_rows(std::span<const DeviceNumbers> devices, bool are_virtual) {
  if (devices.empty()) return "";
  std::string out = fmt::format("{:<7}{:>5}{:>6}{:>8}{:>10}{:>11}{:>11}{:>11}{:>11}\n", are_virtual ? "device" : "GPU",
                                "util", "SM", "power", "peak mem", "PCIe in", "PCIe out",
                                are_virtual ? "link in" : "NVLink in", are_virtual ? "link out" : "NVLink out");
  for (const DeviceNumbers& device : devices) out += device_row(device);
  if (devices.size() < 2) return out;
  DeviceNumbers all{.label = "all"};
  for (const auto number : {&DeviceNumbers::utilisation, &DeviceNumbers::sm_active})
    all.*number = mean_of(devices, number);
  for (const auto number : {&DeviceNumbers::power_w, &DeviceNumbers::peak_memory_bytes})
    all.*number = sum_of(devices, number);
  for (const auto number :
       {&DeviceNumbers::pcie_in, &DeviceNumbers::pcie_out, &DeviceNumbers::link_in, &DeviceNumbers::link_out})
    all.*number = sum_of(devices, number);
  return out + device_row(all);
}

std::string host_lines(const HostNumbers& host) {
  constexpr double worth_saying = 100 << 20;  // bytes
  std::vector<std::string> parts;
  const auto add = [&](const std::optional<double>& bytes, const char* format) {
    if (bytes.value_or(0) >= worth_saying) parts.push_back(fmt::format(fmt::runtime(format), format_bytes(*bytes)));
  };
  if (host.busy_cores) parts.push_back(fmt::format("{:.1f} cores", *host.busy_cores));
  if (host.peak_memory_bytes && host.memory_bytes)
    parts.push_back(
        fmt::format("peak memory {} of {}", format_bytes(*host.peak_memory_bytes), format_bytes(*host.memory_bytes)));
  add(host.disk_read_bytes, "{} read");
  add(host.disk_written_bytes, "{} written");
  add(host.network_in_bytes, "network {} in");
  add(host.network_out_bytes, "{} out");
  std::string out;
  if (!parts.empty()) out += wrap_text(fmt::format("host: {}", fmt::join(parts, ", ")), "", "  ");
  if (host.command_cpu_s)
    out += fmt::format("command: {} of CPU time ({:.1f} cores), peak memory {}\n",
                       format_duration(from_seconds(*host.command_cpu_s)), host.command_cores.value_or(0),
                       bytes_or_dash(host.command_peak_memory_bytes));
  return out;
}

std::string process_lines(std::span<const GpuProcess> processes) {
  constexpr std::size_t most = 2;
  std::string out;
  for (std::size_t i = 0; i < std::min(processes.size(), most); ++i) {
    const GpuProcess& process = processes[i];
    const std::string where = process.gpus.size() <= 4 ? fmt::format("{}", fmt::join(process.gpus, ", "))
                                                       : fmt::format("{} GPUs", process.gpus.size());
    out += wrap_text(fmt::format("{}: {} on {}", process.name, format_bytes(process.peak_bytes), where), "", "  ");
  }
  if (processes.size() > most) out += fmt::format("and {} more processes on GPUs\n", processes.size() - most);
  return out;
}

std::string latency_lines(std::span<const ServerLatency> latencies) {
  std::string out;
  const auto time = [](const std::optional<double>& seconds) {
    return seconds ? format_duration(from_seconds(*seconds)) : std::string("-");
  };
  for (const ServerLatency& one : latencies)
    out += wrap_text(fmt::format("{}: {}: mean {}, p50 {}, p99 {} (n = {})", one.server, one.kind, time(one.mean_s),
                                 time(one.p50_s), time(one.p99_s), format_count(one.count)),
                     "", "  ");
  return out;
}

std::string phase_lines(std::span<const PhaseTotal> phases, std::size_t most) {
  std::string out;
  std::size_t names = 0;
  for (const PhaseTotal& phase : phases) {
    if (phase.count == 0 || ++names > most) continue;
    const double mean = phase.seconds / static_cast<double>(phase.count);
    out += fmt::format("  {:<36.36} {:>9} x {:>9} = {:>10}\n", visible(phase.name), format_count(phase.count),
                       format_duration(from_seconds(mean)), format_duration(from_seconds(phase.seconds)));
  }
  if (out.empty()) return "";
  return (names > most ? fmt::format("phases ({} of {} names; --verbose has more)\n", most, names) : "phases\n") + out;
}

// Where a counter was read and sometimes had no value, or an increase of it is unknown: by reason.
struct Doubt {
  std::set<std::string> devices{}, counters{};
  double absent_share = 0;    // the most of any counter
  Nanoseconds unknown{0};     // likewise
  bool is_of_nothing = true;  // no device ever had a value
};

std::string text_of(const std::string& reason, const Doubt& doubt) {
  const auto few = [](const std::set<std::string>& names, const char* what) {
    constexpr std::size_t most = 8;
    return names.size() <= most ? fmt::format("{}", fmt::join(names, ", ")) : fmt::format("{} {}", names.size(), what);
  };
  std::string what = doubt.counters.size() <= 2 ? fmt::format("{}", fmt::join(doubt.counters, ", "))
                                                : fmt::format("{} counters", doubt.counters.size());
  if (doubt.unknown > Nanoseconds(0)) what += fmt::format(", increase of {} unknown", format_duration(doubt.unknown));
  if (doubt.absent_share > 0 && !doubt.is_of_nothing)
    what += fmt::format(", up to {:.0f} % of readings absent", 100 * doubt.absent_share);
  return fmt::format("{}: {}: {}", reason, few(doubt.devices, "devices"), what);
}

std::vector<std::string> gap_doubts(std::span<const CounterSummary> counters) {
  constexpr double worth_saying = 0.02;
  std::set<std::string> with_values;
  for (const CounterSummary& counter : counters)
    if (counter.count > 0) with_values.insert(counter.counter.device);
  std::map<std::string, Doubt> by_reason;
  for (const CounterSummary& counter : counters)
    for (const CounterSummary::Gap& gap : counter.gaps) {
      const bool has_values = with_values.contains(counter.counter.device);
      if (has_values && counter.count == 0) continue;  // what the device does not have is in the tables
      const double share = static_cast<double>(gap.readings) / static_cast<double>(counter.count + counter.absent);
      if (has_values && gap.readings > 0 && (share < worth_saying || counter.counter.is_virtual)) continue;
      Doubt& doubt = by_reason[gap.reason];
      const std::string& device = counter.counter.device;
      doubt.devices.insert(device.substr(0, std::min(device.find(" (GPU-"), device.find(" (MIG-"))));
      doubt.counters.insert(counter.counter.name);
      doubt.is_of_nothing = doubt.is_of_nothing && !has_values;
      if (gap.readings > 0)
        doubt.absent_share = std::max(doubt.absent_share, share);
      else
        doubt.unknown = std::max(doubt.unknown, gap.time);
    }
  std::vector<std::string> lines;
  for (const auto& [reason, doubt] : by_reason) lines.push_back(text_of(reason, doubt));
  return lines;
}

std::vector<std::string> error_doubts(std::span<const CounterSummary> counters) {
  std::vector<std::string> lines;
  for (const CounterSummary& counter : counters) {
    if (counter.counter.name == "scrape_left_out_series" && counter.count > 0 && counter.max > 0)
      lines.push_back(
          fmt::format("{}: {:.0f} of its series were left out, since there is room for {}; choose with "
                      "--scrape-only",
                      counter.counter.device, counter.max, most_scraped_series));
    for (const auto& [name, what] : {std::pair("gpu_xid_errors_total", "errors that the driver reported (Xid)"),
                                     std::pair("gpu_ecc_uncorrected_errors_total", "uncorrected memory errors")})
      if (counter.counter.name == name && counter.total().value_or(0) > 0)
        lines.push_back(fmt::format("{}: {:.0f} {}", counter.counter.device, *counter.total(), what));
  }
  return lines;
}

std::vector<std::string> sampler_doubts(std::span<const SamplerFigures> samplers) {
  std::vector<std::string> lines;
  std::map<std::string, std::pair<std::string, Nanoseconds>> stuck;  // kinds and time by device
  std::int64_t dropped = 0;
  for (const SamplerFigures& sampler : samplers) {
    dropped += sampler.dropped;
    if (!sampler.stuck) continue;
    const auto blank = sampler.source.find(' ');
    auto& [kinds, time] = stuck[blank == std::string::npos ? sampler.source : sampler.source.substr(blank + 1)];
    kinds += (kinds.empty() ? "" : ", ") + sampler.source.substr(0, blank);
    time = std::max(time, *sampler.stuck);
  }
  for (const auto& [device, of] : stuck)
    lines.push_back(
        fmt::format("{}: a call had not returned after {} ({})", device, format_duration(of.second), of.first));
  if (dropped > 0)
    lines.push_back(fmt::format("{} readings were lost, since writing was behind", format_count(dropped)));
  for (std::string& line : lacking_curves({.samplers = {samplers.begin(), samplers.end()}}))
    lines.push_back(std::move(line));
  return lines;
}

std::vector<std::string> mark_doubts(const RecordingSummary& summary) {
  std::vector<std::string> lines;
  const auto add = [&](std::int64_t count, std::string_view what) {
    if (count > 0) lines.push_back(fmt::format("{}: {}", what, format_count(count)));
  };
  for (const PhaseTotal& phase : summary.phases) add(phase.not_ended, phase.name + ": not ended, not counted");
  if (!summary.marks) return lines;
  add(summary.marks->lost, "marks lost, since they came faster than they could be received");
  add(summary.marks->refused, "messages refused (not marks, times of another clock, or too many open phases)");
  add(summary.marks->ends_without_begin, "ends of phases without a start");
  return lines;
}

std::string doubt_lines(const RecordingSummary& summary) {
  constexpr std::size_t most = 5;
  std::vector<std::string> all;
  for (const auto& lines : {sampler_doubts(summary.samplers), gap_doubts(summary.counters),
                            error_doubts(summary.counters), mark_doubts(summary)})
    all.insert(all.end(), lines.begin(), lines.end());
  std::string out;
  for (std::size_t i = 0; i < std::min(all.size(), most); ++i) out += wrap_text(all[i], "! ", "  ");
  if (all.size() > most) out += fmt::format("! and {} more (--verbose)\n", all.size() - most);
  return out;
}

// What held clocks down for the longest, where anything did.
std::string held_text(std::span<const DeviceNumbers> devices) {
  std::optional<double> most;
  std::string what;
  for (const auto& [number, name] : {std::pair(&DeviceNumbers::power_capped, "the power limit"),
                                     std::pair(&DeviceNumbers::thermally_capped, "the temperature"),
                                     std::pair(&DeviceNumbers::slowed_down, "the board (slowdown)")})
    if (const auto share = mean_of(devices, number); share && *share >= 0.005 && *share > most.value_or(0)) {
      most = share;
      what = name;
    }
  return most ? fmt::format("clocks held down by {} {:.0f} % of the time", what, 100 * *most) : "";
}

std::string answer(const RecordingSummary& summary, std::span<const DeviceNumbers> gpus,
                   std::span<const DeviceNumbers> virtual_devices, const HostNumbers& host) {
  std::vector<std::string> parts;
  const auto devices = gpus.empty() ? virtual_devices : gpus;
  if (const std::size_t count = count_wholes(devices); count > 0) {
    std::string busy = fmt::format("{} {}{}", count, gpus.empty() ? "virtual device" : "GPU", count == 1 ? "" : "s");
    if (const auto use = mean_of(devices, &DeviceNumbers::utilisation))
      busy += fmt::format(" {} busy", share_text(use));
    if (const auto sm = mean_of(devices, &DeviceNumbers::sm_active)) busy += fmt::format(" (SMs {})", share_text(sm));
    parts.push_back(busy);
    if (const auto power = sum_of(devices, &DeviceNumbers::power_w)) parts.push_back(watts_text(*power));
    if (const auto energy = sum_of(devices, &DeviceNumbers::energy_j)) parts.push_back(joules_text(*energy));
    if (const auto memory = most_of(devices, &DeviceNumbers::peak_memory_bytes)) {
      const auto capacity = most_of(devices, &DeviceNumbers::capacity_bytes);
      parts.push_back("peak memory " + format_bytes(*memory) + (capacity ? " of " + format_bytes(*capacity) : ""));
    }
    if (const std::string held = held_text(devices); !held.empty()) parts.push_back(held);
    const bool is_complete = std::all_of(summary.counters.begin(), summary.counters.end(),
                                         [](const auto& counter) { return counter.total_is_complete(); });
    parts.push_back(is_complete ? "all totals complete" : "some totals are lower bounds (>=)");
  } else if (host.command_cores) {
    parts.push_back(fmt::format("the command used {:.2f} cores", *host.command_cores));
  } else if (host.busy_cores) {
    parts.push_back(fmt::format("{:.2f} cores of the host busy", *host.busy_cores));
  }
  std::string text = "Recorded for " + format_duration(summary.elapsed);
  if (!parts.empty()) text += fmt::format(": {}", fmt::join(parts, ", "));
  return wrap_text(text, "", "  ");
}

}  // namespace

std::string to_text(const RecordingSummary& summary, bool colours, SummaryDetail detail) {
  const auto bold = [&](const std::string& text) { return colours ? "\033[1m" + text + "\033[0m" : text; };
  std::vector<DeviceNumbers> gpus = device_numbers(summary.counters), virtual_devices;
  const auto first_virtual =
      std::stable_partition(gpus.begin(), gpus.end(), [](const DeviceNumbers& device) { return !device.is_virtual; });
  std::move(first_virtual, gpus.end(), std::back_inserter(virtual_devices));
  gpus.erase(first_virtual, gpus.end());
  const HostNumbers host = host_numbers(summary.counters);
  std::string out = detail == SummaryDetail::verbose ? counter_tables(summary, colours) + "\n" : "";
  out += device_rows(gpus, false);
  if (!virtual_devices.empty()) out += "[virtual] simulated on the CPU\n" + device_rows(virtual_devices, true);
  out += host_lines(host) + process_lines(gpu_processes(summary.counters));
  out += latency_lines(server_latencies(summary.counters));
  constexpr std::size_t phases_beside_few = 8, phases_beside_many = 2, few = 4;
  out += phase_lines(summary.phases, gpus.size() > few ? phases_beside_many : phases_beside_few);
  out += to_text(paper_views(summary.counters));
  return out + doubt_lines(summary) + bold(answer(summary, gpus, virtual_devices, host));
}

}  // namespace batchscope
