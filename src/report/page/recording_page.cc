// The page of a recording (report/page/study_page.h).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/units.h"
#include "report/page/html.h"
#include "report/page/page_series.h"
#include "report/page/page_tables.h"
#include "report/page/study_page.h"
#include "report/recording/device_numbers.h"
#include "report/recording/server_latencies.h"
#include "report/table_fields.h"

namespace batchscope {
namespace {

using Field = TextTable::Field;

Field unit_field(const std::optional<double>& value, const std::string& unit, bool a_second = false) {
  if (!value) return {""};
  if (unit == "bytes") return {format_bytes(*value) + (a_second ? "/s" : ""), Colour::none, value};
  if (unit == "bytes per second") return {format_bytes(*value) + "/s", Colour::none, value};
  if (unit == "ratio" || (unit == "seconds" && a_second)) return share_field(value);
  if (unit == "watts" || (unit == "joules" && a_second)) return {fmt::format("{:.1f} W", *value), Colour::none, value};
  if (unit == "joules") return {fmt::format("{:.1f} J", *value), Colour::none, value};
  if (unit == "hertz") return {fmt::format("{:.3f} GHz", *value * 1e-9), Colour::none, value};
  if (unit == "celsius") return {fmt::format("{:.1f} °C", *value), Colour::none, value};
  if (unit == "seconds") return {seconds_text(value) + " s", Colour::none, value};
  return {fmt::format("{:.6g}{}", *value, a_second ? "/s" : ""), Colour::none, value};
}

std::string gaps_text(const CounterSummary& counter) {
  std::string text;
  for (const CounterSummary::Gap& gap : counter.gaps)
    text += fmt::format("{}{}: {} in {}", text.empty() ? "" : "; ", gap.reason,
                        gap.readings > 0 ? fmt::format("{} readings absent", gap.readings) : "increase unknown",
                        format_duration(gap.time));
  return text;
}

Field total_field(const std::optional<KnownTotal>& total) {
  if (!total) return {""};
  return {(total->is_complete ? "" : ">= ") + format_bytes(total->value),
          total->is_complete ? Colour::none : Colour::yellow, total->value};
}

// A row a GPU.
Section devices_section(const RecordedSession& session, std::span<const DeviceNumbers> devices) {
  TextTable table({"device", "utilisation", "SM activity", "tensor cores", "memory bandwidth", "power", "energy",
                   "peak memory", "of", "PCIe in", "PCIe out", "link in", "link out", "power-capped"});
  for (const DeviceNumbers& device : devices) {
    Field energy = unit_field(device.energy_j ? std::optional(device.energy_j->value) : std::nullopt, "joules");
    if (device.energy_j && !device.energy_j->is_complete) energy.text = ">= " + energy.text;
    table.add({{device.label + (device.is_virtual ? " (VIRTUAL)" : "")},
               unit_field(device.utilisation, "ratio"),
               unit_field(device.sm_active, "ratio"),
               unit_field(device.tensor_active, "ratio"),
               unit_field(device.dram_active, "ratio"),
               unit_field(device.power_w, "watts"),
               energy,
               unit_field(device.peak_memory_bytes, "bytes"),
               unit_field(device.capacity_bytes, "bytes"),
               total_field(device.pcie_in),
               total_field(device.pcie_out),
               total_field(device.link_in),
               total_field(device.link_out),
               unit_field(device.power_capped, "ratio")});
  }
  return {fmt::format("devices-{}", session.session.id), "Each device, over the whole recording", std::move(table)};
}

Section latencies_section(const RecordedSession& session, std::span<const ServerLatency> latencies) {
  TextTable table({"latency", "server", "requests", "mean", "p50", "p99"});
  const auto time_field = [](const std::optional<double>& seconds) -> Field {
    if (!seconds) return {""};
    return {format_duration(from_seconds(*seconds)), Colour::none, seconds};
  };
  for (const ServerLatency& one : latencies)
    table.add({{one.kind},
               {one.server},
               count_field(one.count),
               time_field(one.mean_s),
               time_field(one.p50_s),
               time_field(one.p99_s)});
  return {fmt::format("latencies-{}", session.session.id), "What the server says of its requests", std::move(table)};
}

std::string both_ways(const std::optional<KnownTotal>& in, const std::optional<KnownTotal>& out) {
  const auto text = [](const std::optional<KnownTotal>& total) {
    return total ? (total->is_complete ? "" : ">= ") + format_bytes(total->value) : std::string("?");
  };
  return fmt::format("{} in, {} out", text(in), text(out));
}

// What came of it, in a few numbers.
std::vector<PageFact> facts_of(const RecordedSession& session, std::span<const DeviceNumbers> devices) {
  const RecordingSummary& summary = session.summary;
  std::vector<PageFact> facts{{.label = "Duration", .value = format_duration(summary.elapsed)}};
  const auto percent = [](double share) { return fmt::format("{:.0f} %", 100 * share); };
  const auto range = [&](std::optional<double> DeviceNumbers::*number, const auto& text) {
    std::optional<double> least, most;
    for (const DeviceNumbers& device : devices)
      if (device.*number) {
        least = std::min(least.value_or(*(device.*number)), *(device.*number));
        most = std::max(most.value_or(*(device.*number)), *(device.*number));
      }
    return devices.size() > 1 && least && text(*least) != text(*most)
               ? fmt::format("from {} to {}", text(*least), text(*most))
               : std::string();
  };
  const std::size_t count = count_wholes(devices);
  if (const auto use = mean_of(devices, &DeviceNumbers::utilisation))
    facts.push_back({.label = fmt::format("Utilisation of {} device{}", count, count == 1 ? "" : "s"),
                     .value = percent(*use),
                     .detail = range(&DeviceNumbers::utilisation, percent)});
  if (const auto sm = mean_of(devices, &DeviceNumbers::sm_active)) {
    const auto tensor = mean_of(devices, &DeviceNumbers::tensor_active);
    facts.push_back({.label = "SM activity",
                     .value = percent(*sm),
                     .detail = tensor ? "tensor cores " + percent(*tensor) : std::string()});
  }
  if (const auto power = sum_of(devices, &DeviceNumbers::power_w)) {
    const auto energy = sum_of(devices, &DeviceNumbers::energy_j);
    const auto watts = [](double value) { return fmt::format("{:.0f} W", value); };
    facts.push_back({.label = "Power of all devices",
                     .value = watts(*power),
                     .detail = energy
                                   ? fmt::format("{}{:.1f} kJ", energy->is_complete ? "" : ">= ", energy->value / 1e3)
                                   : std::string()});
  }
  if (const auto memory = most_of(devices, &DeviceNumbers::peak_memory_bytes)) {
    const auto capacity = most_of(devices, &DeviceNumbers::capacity_bytes);
    facts.push_back({.label = "Peak memory of the fullest device",
                     .value = format_bytes(*memory),
                     .detail = capacity ? "of " + format_bytes(*capacity) : std::string()});
  }
  const auto add_traffic = [&](const char* label, std::optional<KnownTotal> DeviceNumbers::*in,
                               std::optional<KnownTotal> DeviceNumbers::*out) {
    const auto received = sum_of(devices, in), sent = sum_of(devices, out);
    if (received || sent) facts.push_back({.label = label, .value = both_ways(received, sent)});
  };
  add_traffic("PCIe", &DeviceNumbers::pcie_in, &DeviceNumbers::pcie_out);
  const bool are_virtual = !devices.empty() && devices[0].is_virtual;
  add_traffic(are_virtual ? "Links" : "NVLink", &DeviceNumbers::link_in, &DeviceNumbers::link_out);
  const HostNumbers host = host_numbers(summary.counters);
  if (host.command_cpu_s)
    facts.push_back({.label = "The command's CPU time",
                     .value = format_duration(from_seconds(*host.command_cpu_s)),
                     .detail = fmt::format("{:.2f} cores", host.command_cores.value_or(0))});
  for (const ServerLatency& latency : server_latencies(summary.counters))
    if (latency.mean_s)
      facts.push_back(
          {.label = "Mean " + latency.kind,
           .value = format_duration(from_seconds(*latency.mean_s)),
           .detail = latency.p99_s ? "p99 " + format_duration(from_seconds(*latency.p99_s)) : std::string()});
  std::size_t incomplete = 0;
  for (const CounterSummary& counter : summary.counters) incomplete += counter.total_is_complete() ? 0 : 1;
  if (incomplete > 0)
    facts.push_back({.label = "Totals with an unknown part",
                     .value = fmt::format("{}", incomplete),
                     .detail = "they begin with >=",
                     .is_bad = true});
  return facts;
}

Section counters_section(const RecordedSession& session, bool is_only_one) {
  TextTable table({"counter", "of", "total", "rate or mean", "min", "max", "values", "absent", "gaps"});
  for (const CounterSummary& counter : session.summary.counters) {
    const std::string& unit = counter.counter.unit;
    const bool is_level = counter.counter.kind != CounterKind::cumulative && counter.count > 0;
    Field total = counter.count == 0 ? Field{"absent", Colour::yellow} : unit_field(counter.total(), unit);
    if (counter.total() && !counter.total_is_complete()) total.text = ">= " + total.text;
    table.add({{counter.counter.name},
               {counter.counter.device + (counter.counter.is_virtual ? " (VIRTUAL)" : "")},
               total,
               counter.mean() ? unit_field(counter.mean(), unit) : unit_field(counter.rate_per_s(), unit, true),
               is_level ? unit_field(counter.min, unit) : Field{""},
               is_level ? unit_field(counter.max, unit) : Field{""},
               count_field(counter.count),
               count_field(counter.absent),
               {gaps_text(counter), Colour::yellow}});
  }
  if (is_only_one) return {"counters", "Every counter over the whole recording", std::move(table)};
  return {fmt::format("counters-{}", session.session.id), session.title(), std::move(table)};
}

// One stack of charts a session, from its first reading to its last; of a part what lies in it.
std::string session_series_html(const StoreReader& reader, const SessionRecord& session,
                                const std::optional<RecordingInterval>& part, SeriesNames& names) {
  const std::vector<SeriesRecord> series = reader.series(session.id);
  const auto whole = reading_span(reader, series);
  if (!whole) return "";
  const Nanoseconds begin = part ? std::max(whole->begin, part->begin) : whole->begin,
                    end = part ? std::min(whole->end, part->end) : whole->end;
  if (end <= begin) return "";
  const std::vector<Phase> phases = reader.session_phases(session.id);
  SeriesBudget budget = series_budget(1, static_cast<std::int64_t>(series.size()));
  const std::string id = fmt::format("series-session-{}", session.id);
  nlohmann::json json = interval_json(reader, series, phases, begin, end, budget, names);
  if (begin > whole->begin) json["since"] = to_seconds(begin - whole->begin);
  return fmt::format("<h3>Session {}: {}</h3>\n<div class=\"series at-once\" data-series=\"{}\"></div>\n", session.id,
                     html_text(session.verb), id) +
         script_json(id, json);
}

bool has_virtual_devices(const RecordedSession& session) {
  const auto& counters = session.summary.counters;
  return std::any_of(counters.begin(), counters.end(), [](const auto& counter) { return counter.counter.is_virtual; });
}

}  // namespace

Page recording_page(std::span<const RecordedSession> sessions, const StoreReader& reader, const RecordingPart& part) {
  const bool is_one = sessions.size() == 1;
  Page page{.title = is_one ? "recording of " + format_duration(sessions[0].summary.elapsed)
                            : fmt::format("{} recordings", sessions.size())};
  std::vector<SessionRecord> records;
  for (const RecordedSession& recorded : sessions) records.push_back(recorded.session);
  page.subtitle =
      origin_text(records.empty() ? std::map<std::string, std::string>{} : records.back().environment, records);
  if (std::any_of(sessions.begin(), sessions.end(), has_virtual_devices)) page.badges.push_back("VIRTUAL DEVICES");
  PagePart devices{.id = "devices", .title = "Devices"};
  for (const RecordedSession& recorded : sessions) {
    const std::vector<DeviceNumbers> numbers = device_numbers(recorded.summary.counters);
    if (is_one) page.facts = facts_of(recorded, numbers);
    if (!numbers.empty()) devices.sections.push_back(devices_section(recorded, numbers));
    const std::vector<ServerLatency> latencies = server_latencies(recorded.summary.counters);
    if (!latencies.empty()) devices.sections.push_back(latencies_section(recorded, latencies));
    if (!is_one && !devices.sections.empty()) devices.sections.back().title += ": " + recorded.title();
  }
  PagePart series{.id = "series", .title = "Over time"};
  SeriesNames names;
  const auto interval = part.is_whole() || !is_one ? std::nullopt : recording_interval(reader, records[0].id, part);
  if (interval)
    series.title += fmt::format(", from {} to {}", format_duration(interval->begin - interval->zero),
                                format_duration(interval->end - interval->zero));
  for (const SessionRecord& session : records) series.html += session_series_html(reader, session, interval, names);
  if (!series.html.empty()) {
    series.html += script_json("series-names", names.json());
    page.parts.push_back(std::move(series));
  }
  if (!devices.sections.empty()) page.parts.push_back(std::move(devices));
  PagePart counters{.id = "counters", .title = "Counters"};
  for (const RecordedSession& recorded : sessions) counters.sections.push_back(counters_section(recorded, is_one));
  page.parts.push_back(std::move(counters));
  page.parts.push_back(origin_part(reader));
  return page;
}

}  // namespace batchscope
