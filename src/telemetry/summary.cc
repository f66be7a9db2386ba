// The summary's figures, table and JSON (telemetry/summary.h).
#include "telemetry/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/units.h"
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
  if (s.count == 0) {
    total = "absent";
  } else if (is_cumulative(s)) {
    total = (s.total_is_complete() ? "" : ">= ") + with_unit(*s.total(), unit);
    if (const auto rate = s.rate_per_s()) mean = rate_with_unit(*rate, unit);
  } else {
    mean = with_unit(*s.mean(), unit);
    low = with_unit(s.min, unit);
    high = with_unit(s.max, unit);
  }
  std::string line = fmt::format("  {:<30}{:>12}{:>14}{:>11}{:>11}", s.counter.name, total, mean, low, high);
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

bool moved(const CounterSummary& s) { return !is_cumulative(s) || s.total().value_or(1) != 0 || s.count == 0; }

// What a summary need not list one by one: disks and interfaces over which nothing went.
std::set<std::string> still_devices(const std::vector<CounterSummary>& counters) {
  std::set<std::string> still, busy;
  for (const auto& s : counters) (moved(s) || s.counter.is_virtual ? busy : still).insert(s.counter.device);
  for (const auto& device : busy) still.erase(device);
  return still;
}

std::string joined(const std::set<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

std::string gap_lines(const std::vector<CounterSummary>& counters) {
  std::map<std::string, std::set<std::string>> by_reason;
  for (const auto& s : counters)
    for (const auto& gap : s.gaps) {
      const std::string how = gap.readings > 0
                                  ? fmt::format("absent in {} of {} readings", gap.readings, s.count + s.absent)
                                  : fmt::format("increase of {} unknown", format_duration(gap.time));
      by_reason[fmt::format("{} ({}): {}", s.counter.name, gap.reason, how)].insert(s.counter.device);
    }
  std::string out;
  for (const auto& [what, devices] : by_reason) out += wrap_text(what + "; " + joined(devices), "  ", "    ");
  return out;
}

std::string sampler_lines(const SamplerFigures& f) {
  std::string line = fmt::format("{}: {} readings, {} missed", f.source, format_count(f.ticks), format_count(f.missed));
  if (f.dropped > 0) line += fmt::format(", {} lost", format_count(f.dropped));
  line += fmt::format("; every {}", format_duration(f.period));
  if (f.period > f.wanted)
    line += fmt::format(" instead of {}, so as not to cost more (--cpu-budget)", format_duration(f.wanted));
  if (f.period_error_p50)
    line += fmt::format(", late p50 {} p99 {} max {}", format_duration(*f.period_error_p50),
                        format_duration(*f.period_error_p99), format_duration(*f.period_error_max));
  if (f.call_p50)
    line += fmt::format("; a call p50 {} p99 {} max {}", format_duration(*f.call_p50), format_duration(*f.call_p99),
                        format_duration(*f.call_max));
  if (f.cpu_share) line += fmt::format("; {:.2f} % of a core", 100 * *f.cpu_share);
  if (f.stuck) line += fmt::format("; its last call had not returned after {}", format_duration(*f.stuck));
  return wrap_text(line, "  ", "    ");
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
          {"min", values ? json(s.min) : json()},
          {"max", values ? json(s.max) : json()},
          {"gaps", gaps}};
}

json to_json(const SamplerFigures& f) {
  return {{"source", f.source},
          {"period_s", to_seconds(f.period)},
          {"wanted_period_s", to_seconds(f.wanted)},
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
}

void CounterSummary::note_gap(const char* reason, std::int64_t readings, Nanoseconds time) {
  absent += readings;
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
    out += fmt::format("{:<32}{:>12}{:>14}{:>11}{:>11}\n", "", "total", "rate or mean", "min", "max");
  const auto still = still_devices(summary.counters);
  std::string device;
  for (const CounterSummary& s : summary.counters) {
    if (still.contains(s.counter.device)) continue;
    if (s.counter.device != device) {
      device = s.counter.device;
      out += bold(device) + (s.counter.is_virtual ? "  [virtual]" : "") + "\n";
    }
    out += row(s);
  }
  if (!still.empty()) out += wrap_text("nothing over: " + joined(still), "", "  ");
  const std::string gaps = gap_lines(summary.counters);
  if (!gaps.empty()) out += bold("Absent") + "\n" + gaps;
  if (!summary.samplers.empty()) out += bold("Sampling") + "\n";
  for (const SamplerFigures& figures : summary.samplers) out += sampler_lines(figures);
  return out;
}

json to_json(const RecordingSummary& summary) {
  json counters = json::array(), samplers = json::array();
  for (const auto& s : summary.counters) counters.push_back(to_json(s));
  for (const auto& f : summary.samplers) samplers.push_back(to_json(f));
  return {{"seconds", to_seconds(summary.elapsed)}, {"counters", counters}, {"samplers", samplers}};
}

}  // namespace batchscope
