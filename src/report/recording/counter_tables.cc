// Every counter of a recording as text (report/recording/counter_tables.h).
#include "report/recording/counter_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/json.h"
#include "base/units.h"
#include "report/wrap_text.h"

namespace batchscope {
namespace {

std::string with_unit(double value, const std::string& unit) {
  if (unit == "bytes") return format_bytes(value);
  if (unit == "seconds") return value == 0 ? "0 s" : format_duration(from_seconds(value));
  if (unit == "ratio") return fmt::format("{:.1f} %", 100 * value);
  if (unit == "bytes per second") return format_bytes(value) + "/s";
  if (unit == "watts") return fmt::format("{:.1f} W", value);
  if (unit == "joules") return value < 10'000 ? fmt::format("{:.1f} J", value) : fmt::format("{:.2f} kJ", value / 1000);
  if (unit == "hertz") return fmt::format("{:.0f} MHz", value * 1e-6);
  if (unit == "celsius") return fmt::format("{:.0f} °C", value);
  return fmt::format("{:.6g}", value);
}

// Seconds a second are a share, joules a second watts.
std::string rate_with_unit(double rate, const std::string& unit) {
  if (unit == "seconds") return fmt::format("{:.1f} %", 100 * rate);
  if (unit == "joules") return with_unit(rate, "watts");
  return with_unit(rate, unit) + "/s";
}

std::string row(const CounterSummary& s) {
  const std::string& unit = s.counter.unit;
  std::string total, mean, low, high;
  if (s.is_cumulative()) {
    total = (s.total_is_complete() ? "" : ">= ") + with_unit(*s.total(), unit);
    if (const auto rate = s.rate_per_s()) mean = rate_with_unit(*rate, unit);
  } else {
    mean = with_unit(*s.mean(), unit);
    low = with_unit(s.min, unit);
    high = with_unit(s.max, unit);
  }
  std::string line =
      fmt::format("  {:<30} {:>11} {:>11} {:>11} {:>11}", visible(s.counter.name), total, mean, low, high);
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

bool is_zero(const CounterSummary& s) {
  if (s.count == 0) return false;
  return s.is_cumulative() ? *s.total() == 0 && s.total_is_complete() : s.min == 0 && s.max == 0;
}

// Devices over which nothing went: disks and interfaces, as a rule.
std::set<std::string> still_devices(const std::vector<CounterSummary>& counters) {
  std::set<std::string> still, busy;
  for (const auto& s : counters)
    (s.is_cumulative() && is_zero(s) && !s.counter.is_virtual ? still : busy).insert(s.counter.device);
  for (const auto& device : busy) still.erase(device);
  return still;
}

// What has a line in the table; of a virtual device zeros too.
bool is_shown(const CounterSummary& s) { return s.count > 0 && (s.counter.is_virtual || !is_zero(s)); }

std::string joined(const std::set<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// Counters by device, as one line for all devices that have the same.
std::string lines_of(const std::map<std::string, std::set<std::string>>& counters_of_device, const std::string& begin) {
  std::map<std::set<std::string>, std::set<std::string>> devices_of;
  for (const auto& [device, counters] : counters_of_device) devices_of[counters].insert(device);
  std::string out;
  for (const auto& [counters, devices] : devices_of)
    out += wrap_text(begin + joined(counters) + "; " + joined(devices), "  ", "    ");
  return out;
}

std::string zero_lines(const std::vector<CounterSummary>& counters, const std::set<std::string>& still) {
  std::map<std::string, std::set<std::string>> of_device;
  for (const auto& s : counters)
    if (is_zero(s) && !is_shown(s) && !still.contains(s.counter.device))
      of_device[s.counter.device].insert(s.counter.name);
  return lines_of(of_device, "zero: ");
}

std::string gap_lines(const std::vector<CounterSummary>& counters) {
  std::map<std::string, std::map<std::string, std::set<std::string>>> by_reason;
  for (const auto& s : counters)
    for (const auto& gap : s.gaps) {
      const std::string how = gap.readings == 0 ? fmt::format(" (increase of {} unknown)", format_duration(gap.time))
                              : s.count > 0     ? fmt::format(" ({} of {} readings)", gap.readings, s.count + s.absent)
                                                : std::string();
      by_reason[gap.reason][s.counter.device].insert(s.counter.name + how);
    }
  std::string out;
  for (const auto& [reason, of_device] : by_reason) out += lines_of(of_device, reason + ": ");
  return out;
}

// Sources of one kind, as a rule of several GPUs: times are the worst of any, counts and costs are added up.
SamplerFigures added(const SamplerFigures& a, const SamplerFigures& b) {
  const auto worst = [](const auto& x, const auto& y) { return x && y ? std::max(*x, *y) : x ? x : y; };
  SamplerFigures out = a;
  out.period = std::max(a.period, b.period);
  out.ticks += b.ticks;
  out.missed += b.missed;
  out.dropped += b.dropped;
  out.period_error_p50 = worst(a.period_error_p50, b.period_error_p50);
  out.period_error_p99 = worst(a.period_error_p99, b.period_error_p99);
  out.period_error_max = worst(a.period_error_max, b.period_error_max);
  out.call_p50 = worst(a.call_p50, b.call_p50);
  out.call_p99 = worst(a.call_p99, b.call_p99);
  out.call_max = worst(a.call_max, b.call_max);
  if (b.cpu_share) out.cpu_share = out.cpu_share.value_or(0) + *b.cpu_share;
  return out;
}

constexpr const char* sampling_row = "  {:<11}{:>9}{:>9}{:>7}{:>9}{:>8}{:>9}{:>9}{:>7}\n";

std::string sampler_row(const std::string& kind, const SamplerFigures& f) {
  const auto time = [](const std::optional<Nanoseconds>& value) {
    return value ? format_duration(*value) : std::string("-");
  };
  return fmt::format(fmt::runtime(sampling_row), kind, format_duration(f.period), format_count(f.ticks),
                     format_count(f.missed + f.dropped), time(f.period_error_p50), time(f.period_error_p99),
                     time(f.period_error_max), time(f.call_p50),
                     f.cpu_share ? fmt::format("{:.{}f} %", 100 * *f.cpu_share, *f.cpu_share < 0.1 ? 2 : 1) : "-");
}

std::string sampling(const RecordingSummary& summary) {
  std::vector<std::string> kinds;
  std::map<std::string, SamplerFigures> of_kind;
  std::string notes;
  double cpu = 0;
  std::map<Nanoseconds, std::string> not_allowed;  // kinds by the period that was wanted
  for (const SamplerFigures& f : summary.samplers) {
    const std::string kind = f.source.substr(0, f.source.find(' '));
    const auto [found, is_new] = of_kind.emplace(kind, f);
    if (is_new)
      kinds.push_back(kind);
    else
      found->second = added(found->second, f);
    cpu += f.cpu_share.value_or(0);
  }
  std::string out = fmt::format(fmt::runtime(sampling_row), "", "every", "readings", "missed", "late p50", "p99", "max",
                                "call p50", "CPU");
  for (const std::string& kind : kinds) {
    const SamplerFigures& f = of_kind.at(kind);
    out += sampler_row(kind, f);
    if (!f.wanted || f.period <= *f.wanted) continue;
    std::string& kinds_wanted = not_allowed[*f.wanted];
    kinds_wanted += (kinds_wanted.empty() ? "" : ", ") + kind;
  }
  for (const auto& [wanted, kinds_wanted] : not_allowed)
    notes +=
        wrap_text(fmt::format("requested every {}, slowed by --cpu-budget: {}", format_duration(wanted), kinds_wanted),
                  "  ", "    ");
  return out + fmt::format("  total: {:.2f} % of one core\n", 100 * cpu) + notes;
}

std::string first_columns(const std::string& name) {
  const bool fits = fmt::format("{:.30}", name) == name;
  return fits ? name : fmt::format("{:.29}…", name);
}

std::string phase_lines(const std::vector<PhaseTotal>& phases) {
  constexpr std::size_t most = 20;
  std::string out, not_ended;
  for (std::size_t i = 0; i < std::min(phases.size(), most); ++i) {
    const PhaseTotal& phase = phases[i];
    if (phase.not_ended > 0)
      not_ended += wrap_text(fmt::format("{}: {} not ended, not counted", phase.name, format_count(phase.not_ended)),
                             "  ", "    ");
    if (phase.count == 0) continue;
    const bool is_points = phase.seconds == 0;
    const auto time = [&](double seconds) { return is_points ? "" : format_duration(from_seconds(seconds)); };
    std::string line =
        fmt::format("  {:<30} {:>11} {:>11} {:>11}", first_columns(phase.name), format_count(phase.count),
                    time(phase.seconds), time(phase.seconds / static_cast<double>(phase.count)));
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  if (phases.size() > most) out += fmt::format("  and {} more names (--json has them)\n", phases.size() - most);
  return out + not_ended;
}

// "gpu_energy_joules_total ± 0.4 %", those that are known.
std::string error_lines(const RecordingSummary& summary) {
  std::map<std::string, std::set<std::string>> of_device;
  for (const CounterSummary& s : summary.counters) {
    const auto number = s.total() ? s.total() : s.mean();
    if (s.error && number && *number != 0)
      of_device[s.counter.device].insert(
          fmt::format("{} ± {:.2g} %", s.counter.name, 100 * *s.error / std::abs(*number)));
  }
  std::string out = lines_of(of_device, "");
  for (const std::string& line : summary.calibrations) out += wrap_text(line, "  ", "    ");
  return out;
}

}  // namespace

std::string counter_tables(const RecordingSummary& summary, bool colours) {
  const auto bold = [&](const std::string& text) { return colours ? "\033[1m" + text + "\033[0m" : text; };
  std::string out = fmt::format("{}\n", bold(fmt::format("Recorded for {}", format_duration(summary.elapsed))));
  if (!summary.counters.empty())
    out += fmt::format("  {:<30} {:>11} {:>11} {:>11} {:>11}\n", "", "total", "mean", "min", "max");
  const auto still = still_devices(summary.counters);
  std::string device;
  for (const CounterSummary& s : summary.counters) {
    if (still.contains(s.counter.device) || !is_shown(s)) continue;
    if (s.counter.device != device) {
      device = s.counter.device;
      out += bold(visible(device)) + (s.counter.is_virtual ? "  [virtual]" : "") + "\n";
    }
    out += row(s);
  }
  if (!still.empty()) out += wrap_text("no traffic: " + joined(still), "  ", "    ");
  out += zero_lines(summary.counters, still);
  const std::string phases = phase_lines(summary.phases);
  if (!phases.empty())
    out += bold(fmt::format("{:<32} {:>11} {:>11} {:>11}", "Phases", "count", "total", "mean")) + "\n" + phases;
  const std::string errors = error_lines(summary);
  if (!errors.empty()) out += bold("Errors (95 %)") + "\n" + errors;
  const std::string gaps = gap_lines(summary.counters);
  if (!gaps.empty()) out += bold("Absent") + "\n" + gaps;
  if (!summary.samplers.empty()) out += bold("Sampling") + "\n" + sampling(summary);
  return out;
}

}  // namespace batchscope
