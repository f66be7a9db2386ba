// The summary's figures, table and JSON (telemetry/summary.h).
#include "telemetry/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/units.h"
#include "telemetry/paper_view.h"
#include "telemetry/text.h"

namespace batchscope {
namespace {

using nlohmann::json;

bool is_cumulative(const CounterSummary& summary) { return summary.counter.kind == CounterKind::cumulative; }

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
  if (is_cumulative(s)) {
    total = (s.total_is_complete() ? "" : ">= ") + with_unit(*s.total(), unit);
    if (const auto rate = s.rate_per_s()) mean = rate_with_unit(*rate, unit);
  } else {
    mean = with_unit(*s.mean(), unit);
    low = with_unit(s.min, unit);
    high = with_unit(s.max, unit);
  }
  std::string line = fmt::format("  {:<30} {:>11} {:>11} {:>11} {:>11}", s.counter.name, total, mean, low, high);
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

bool is_zero(const CounterSummary& s) {
  if (s.count == 0) return false;
  return is_cumulative(s) ? *s.total() == 0 && s.total_is_complete() : s.min == 0 && s.max == 0;
}

// Devices over which nothing went: disks and interfaces, as a rule.
std::set<std::string> still_devices(const std::vector<CounterSummary>& counters) {
  std::set<std::string> still, busy;
  for (const auto& s : counters)
    (is_cumulative(s) && is_zero(s) && !s.counter.is_virtual ? still : busy).insert(s.counter.device);
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
    if (f.stuck)
      notes += wrap_text(fmt::format("{}: a call had not returned after {}", f.source, format_duration(*f.stuck)), "  ",
                         "    ");
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
    notes += wrap_text(
        fmt::format("every {} was wanted, --cpu-budget did not allow it: {}", format_duration(wanted), kinds_wanted),
        "  ", "    ");
  return out + fmt::format("  in all {:.2f} % of a core\n", 100 * cpu) + notes;
}

std::string first_columns(const std::string& name) {
  const bool fits = fmt::format("{:.30}", name) == name;
  return fits ? name : fmt::format("{:.29}…", name);
}

std::string phase_lines(const std::vector<PhaseTotal>& phases) {
  constexpr std::size_t most = 20;
  std::string out;
  for (std::size_t i = 0; i < std::min(phases.size(), most); ++i) {
    const PhaseTotal& phase = phases[i];
    const bool is_points = phase.seconds == 0;
    const auto time = [&](double seconds) { return is_points ? "" : format_duration(from_seconds(seconds)); };
    std::string line =
        fmt::format("  {:<30} {:>11} {:>11} {:>11}", first_columns(phase.name), format_count(phase.count),
                    time(phase.seconds), time(phase.seconds / static_cast<double>(phase.count)));
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  if (phases.size() > most) out += fmt::format("  and {} more names (--json has them)\n", phases.size() - most);
  return out;
}

std::string mark_lines(const MarkCounts& marks) {
  std::string out;
  const auto add = [&](std::int64_t count, std::string_view what) {
    if (count > 0) out += wrap_text(fmt::format("{}: {}", what, format_count(count)), "  ", "    ");
  };
  add(marks.lost, "marks lost, which came faster than they could be taken");
  add(marks.refused, "messages refused (no marks, times of another clock, or too many phases under way)");
  add(marks.ends_without_begin, "ends of phases that had not begun");
  return out;
}

// "gpu_energy_joules_total ± 0.4 %", those that are known.
std::string error_lines(const RecordingSummary& summary) {
  std::map<std::string, std::set<std::string>> of_device;
  for (const CounterSummary& s : summary.counters) {
    const auto figure = s.total() ? s.total() : s.mean();
    if (s.error && figure && *figure != 0)
      of_device[s.counter.device].insert(
          fmt::format("{} ± {:.2g} %", s.counter.name, 100 * *s.error / std::abs(*figure)));
  }
  std::string out = lines_of(of_device, "");
  for (const std::string& line : summary.calibrations) out += wrap_text(line, "  ", "    ");
  return out;
}

json seconds_or_null(const std::optional<Nanoseconds>& time) { return time ? json(to_seconds(*time)) : json(); }
json or_null(const std::optional<double>& value) { return value ? json(*value) : json(); }

json to_json(const CounterSummary& s) {
  json gaps = json::array();
  for (const auto& gap : s.gaps)
    gaps.push_back(
        {{"reason", gap.reason}, {"readings", gap.readings}, {"times", gap.times}, {"seconds", to_seconds(gap.time)}});
  const bool values = s.count > 0;
  return {{"source", s.source},
          {"device", s.counter.device},
          {"virtual", s.counter.is_virtual},
          {"name", s.counter.name},
          {"unit", s.counter.unit},
          {"kind", name_of(s.counter.kind)},
          {"values", s.count},
          {"absent", s.absent},
          {"total", or_null(s.total())},
          {"total_is_complete", is_cumulative(s) ? json(s.total_is_complete()) : json()},
          {"rate_per_s", or_null(s.rate_per_s())},
          {"mean", or_null(s.mean())},
          {"error", or_null(s.error)},
          {"min", values ? json(s.min) : json()},
          {"max", values ? json(s.max) : json()},
          {"gaps", gaps}};
}

json to_json(const PhaseTotal& phase) {
  return {{"name", phase.name},
          {"count", phase.count},
          {"seconds", phase.seconds},
          {"mean_s", phase.seconds / static_cast<double>(phase.count)}};
}

json to_json(const MarkCounts& marks) {
  return {{"received", marks.received},
          {"lost", marks.lost},
          {"refused", marks.refused},
          {"ends_without_begin", marks.ends_without_begin}};
}

json to_json(const SamplerFigures& f) {
  return {{"source", f.source},
          {"period_s", to_seconds(f.period)},
          {"wanted_period_s", seconds_or_null(f.wanted)},
          {"readings", f.ticks},
          {"missed", f.missed},
          {"dropped", f.dropped},
          {"period_error_p50_s", seconds_or_null(f.period_error_p50)},
          {"period_error_p99_s", seconds_or_null(f.period_error_p99)},
          {"period_error_max_s", seconds_or_null(f.period_error_max)},
          {"call_p50_s", seconds_or_null(f.call_p50)},
          {"call_p99_s", seconds_or_null(f.call_p99)},
          {"call_max_s", seconds_or_null(f.call_max)},
          {"cpu_share", or_null(f.cpu_share)},
          {"stuck_s", seconds_or_null(f.stuck)}};
}

}  // namespace

void CounterSummary::add(double value, Nanoseconds when) {
  if (count == 0) {
    first = min = max = value;
    begin = when;
  }
  ++count;
  sum += value;
  min = std::min(min, value);
  max = std::max(max, value);
  last = value;
  end = when;
  absent_now = nullptr;
}

void CounterSummary::note_gap(const char* reason, std::int64_t readings, Nanoseconds time) {
  absent += readings;
  if (readings > 0) absent_now = reason;
  auto same = std::find_if(gaps.begin(), gaps.end(), [&](const Gap& gap) {
    return gap.reason == reason && (gap.readings > 0) == (readings > 0);
  });
  if (same == gaps.end()) same = gaps.insert(gaps.end(), Gap{.reason = reason});
  same->readings += readings;
  ++same->times;
  same->time += time;
}

std::optional<double> CounterSummary::total() const {
  if (count == 0 || counter.kind != CounterKind::cumulative) return std::nullopt;
  return last - first;
}

bool CounterSummary::total_is_complete() const {
  return std::none_of(gaps.begin(), gaps.end(), [](const Gap& gap) { return gap.readings == 0; });
}

std::optional<double> CounterSummary::rate_per_s() const {
  const auto increase = total();
  if (!increase || end <= begin) return std::nullopt;
  return *increase / to_seconds(end - begin);
}

std::optional<double> CounterSummary::mean() const {
  if (count == 0 || counter.kind == CounterKind::cumulative) return std::nullopt;
  return sum / static_cast<double>(count);
}

std::string to_text(const RecordingSummary& summary, bool colours) {
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
      out += bold(device) + (s.counter.is_virtual ? "  [virtual]" : "") + "\n";
    }
    out += row(s);
  }
  if (!still.empty()) out += wrap_text("nothing over: " + joined(still), "  ", "    ");
  out += zero_lines(summary.counters, still);
  const std::string phases = phase_lines(summary.phases) + (summary.marks ? mark_lines(*summary.marks) : "");
  if (!phases.empty())
    out += bold(fmt::format("{:<32} {:>11} {:>11} {:>11}", "Phases", "count", "total", "mean")) + "\n" + phases;
  const std::string paper = to_text(paper_views(summary.counters));
  if (!paper.empty()) out += bold(paper.substr(0, paper.find('\n'))) + paper.substr(paper.find('\n'));
  const std::string errors = error_lines(summary);
  if (!errors.empty()) out += bold("Errors (95 %)") + "\n" + errors;
  const std::string gaps = gap_lines(summary.counters);
  if (!gaps.empty()) out += bold("Absent") + "\n" + gaps;
  if (!summary.samplers.empty()) out += bold("Sampling") + "\n" + sampling(summary);
  return out;
}

json to_json(const RecordingSummary& summary) {
  json counters = json::array(), samplers = json::array(), phases = json::array();
  for (const auto& s : summary.counters) counters.push_back(to_json(s));
  for (const auto& f : summary.samplers) samplers.push_back(to_json(f));
  for (const auto& p : summary.phases) phases.push_back(to_json(p));
  return {{"seconds", to_seconds(summary.elapsed)},
          {"counters", counters},
          {"samplers", samplers},
          {"calibrations", summary.calibrations},
          {"paper", to_json(paper_views(summary.counters))},
          {"phases", phases},
          {"marks", summary.marks ? to_json(*summary.marks) : json()}};
}

}  // namespace batchscope
