// Printing of traces (report/trace_text.h).
#include "report/trace_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <variant>

#include "report/text.h"

namespace batchscope {
namespace {

using nlohmann::ordered_json;

ordered_json entry_json(const Work& work) {
  ordered_json json{{"kernel", std::string(work.op)}, {"dtype", std::string(name_of(work.dtype))}};
  if (work.n > 0) {
    json["m"] = work.m;
    json["n"] = work.n;
    json["k"] = work.k;
  } else {
    json["elements"] = work.m;
  }
  json["flop"] = work.flop;
  json["bytes"] = work.bytes;
  return json;
}

ordered_json entry_json(const CollectiveWork& work) {
  return {{"collective", work.collective},
          {"algorithm", work.algorithm},
          {"phase", work.phase},
          {"ranks", work.ranks},
          {"payload_bytes", work.payload_bytes},
          {"tx_bytes", work.tx_bytes},
          {"rx_bytes", work.rx_bytes},
          {"kernels", work.kernels}};
}

// Of all calls of one op, or of one collective in one phase.
struct Total {
  std::int64_t calls = 0, bytes = 0, link_bytes = 0;
  double flop = 0;
  std::optional<double> seconds = 0, least_seconds = 0;  // absent where one call's is not known
};

void add(std::optional<double>& sum, const std::optional<double>& value) {
  sum = sum && value ? std::optional(*sum + *value) : std::nullopt;
}

using Totals = std::map<std::string, Total>;

Total& add(const Work& work, Totals& totals) {
  Total& total = totals[std::string(work.op)];
  total.bytes += work.bytes;
  total.flop += work.flop;
  return total;
}

Total& add(const CollectiveWork& work, Totals& totals) {
  Total& total = totals[fmt::format("{} ({})", work.collective, work.phase)];
  total.link_bytes += work.tx_bytes;
  return total;
}

// The time of each entry; a collective's own kernels have none, since it is in the collective's.
std::vector<std::optional<double>> seconds_of(const Trace& trace, const PerformanceModel* model) {
  std::vector<std::optional<double>> seconds(trace.entries().size());
  if (model == nullptr) return seconds;
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    const TraceEntry& entry = trace.entries()[i];
    seconds[i] = std::visit([&](const auto& work) { return model->seconds(work); }, entry);
    if (const auto* collective = std::get_if<CollectiveWork>(&entry))
      std::fill_n(seconds.begin() + static_cast<std::ptrdiff_t>(i) - collective->kernels, collective->kernels, 0.0);
  }
  return seconds;
}

Totals totals_of(const Trace& trace, const PerformanceModel* model) {
  Totals totals;
  const auto seconds = seconds_of(trace, model);
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    Total& total = std::visit([&](const auto& work) -> Total& { return add(work, totals); }, trace.entries()[i]);
    ++total.calls;
    add(total.seconds, seconds[i]);
  }
  return totals;
}

// At the device's limits; absent where these are not known.
std::optional<double> least_seconds(const Work& work, const ObservedStep& step) {
  if (!step.limits) return std::nullopt;
  const double reading = static_cast<double>(work.bytes) / step.limits->bytes_per_second;
  if (work.n == 0) return reading;  // not a product, and not what such units are for
  const auto rate = step.limits->flop_per_second.find(work.dtype);
  if (rate == step.limits->flop_per_second.end()) return std::nullopt;
  return std::max(reading, work.flop / rate->second);
}
// Of a link nothing is known.
std::optional<double> least_seconds(const CollectiveWork&, const ObservedStep&) { return std::nullopt; }

std::optional<double> least_seconds(const TimedEntry& timed, const ObservedStep& step) {
  return std::visit([&](const auto& work) { return least_seconds(work, step); }, timed.entry);
}

// Where the time of a step went, in seconds.
struct SpentTime {
  double kernels = 0, collectives = 0, least = 0, product_flop = 0;
  bool has_least = true;
};

SpentTime spent_time(const ObservedStep& step) {
  SpentTime spent;
  for (const TimedEntry& timed : step.entries) {
    if (std::holds_alternative<CollectiveWork>(timed.entry)) {
      spent.collectives += timed.seconds;
      continue;
    }
    const Work& work = std::get<Work>(timed.entry);
    spent.kernels += timed.seconds;
    if (work.n > 0) spent.product_flop += work.flop;
    if (const auto least = least_seconds(work, step))
      spent.least += *least;
    else
      spent.has_least = false;
  }
  return spent;
}

TextTable::Field share(double part, double whole) {
  return {part > 0 ? percent_text(part / whole) : "", Colour::none, part};
}

}  // namespace

std::string trace_lines(const std::vector<Trace>& traces, const PerformanceModel* model) {
  std::string lines;
  for (std::size_t rank = 0; rank < traces.size(); ++rank) {
    const auto seconds = seconds_of(traces[rank], model);
    for (std::size_t i = 0; i < seconds.size(); ++i) {
      ordered_json json{{"rank", rank}};
      json.update(std::visit([](const auto& work) { return entry_json(work); }, traces[rank].entries()[i]));
      json["seconds"] = seconds[i] ? ordered_json(*seconds[i]) : ordered_json();
      lines += json.dump() + "\n";
    }
  }
  return lines;
}

std::string trace_table(const Trace& trace, const PerformanceModel* model, bool colour) {
  const Totals totals = totals_of(trace, model);
  Total all;
  double seconds = 0;
  for (const auto& [name, total] : totals) {
    all.flop += total.flop;
    all.bytes += total.bytes;
    all.link_bytes += total.link_bytes;
    seconds += total.seconds.value_or(0);
  }
  std::vector<std::string> header{"op", "calls", "GFLOP", "share", "memory", "share", "link TX", "share"};
  if (model != nullptr) header.insert(header.end(), {"time", "share"});
  TextTable table(header);
  for (const auto& [name, total] : totals) {
    std::vector<TextTable::Field> row{
        {name},
        {fmt::format("{}", total.calls)},
        {total.flop > 0 ? fmt::format("{:.3g}", total.flop / 1e9) : ""},
        share(total.flop, all.flop),
        {total.bytes > 0 ? bytes_text(static_cast<double>(total.bytes)) : ""},
        share(static_cast<double>(total.bytes), static_cast<double>(all.bytes)),
        {total.link_bytes > 0 ? bytes_text(static_cast<double>(total.link_bytes)) : ""},
        share(static_cast<double>(total.link_bytes), static_cast<double>(all.link_bytes))};
    if (model != nullptr) {
      row.push_back({total.seconds ? fmt::format("{:.3g} ms", *total.seconds * 1e3) : "?"});
      row.push_back(share(total.seconds.value_or(0), seconds));
    }
    table.add(std::move(row));
  }
  return table.print(colour);
}

std::string trace_lines(std::span<const ObservedStep> steps) {
  std::string lines;
  for (const ObservedStep& step : steps)
    for (const TimedEntry& timed : step.entries) {
      ordered_json json{{"rank", step.rank}, {"step", step.kind}};
      json.update(std::visit([](const auto& work) { return entry_json(work); }, timed.entry));
      json["seconds"] = timed.seconds;
      const auto least = least_seconds(timed, step);
      json["least_seconds"] = least ? ordered_json(*least) : ordered_json();
      lines += json.dump() + "\n";
    }
  return lines;
}

std::string trace_table(const ObservedStep& step, bool colour) {
  Totals totals;
  for (const TimedEntry& timed : step.entries) {
    Total& total = std::visit([&](const auto& work) -> Total& { return add(work, totals); }, timed.entry);
    ++total.calls;
    add(total.seconds, timed.seconds);
    add(total.least_seconds, least_seconds(timed, step));
  }
  const SpentTime spent = spent_time(step);
  TextTable table({"op", "calls", "time", "share", "TFLOP/s", "GB/s", "of limit"});
  const auto rate = [](double amount, double seconds, double unit) -> TextTable::Field {
    return {amount > 0 && seconds > 0 ? fmt::format("{:.3g}", amount / seconds / unit) : ""};
  };
  for (const auto& [name, total] : totals) {
    const double seconds = total.seconds.value_or(0);
    table.add({{name},
               {fmt::format("{}", total.calls)},
               {fmt::format("{:.3g} ms", seconds * 1e3), Colour::none, seconds},
               share(seconds, spent.kernels + spent.collectives),
               rate(total.flop, seconds, 1e12),
               rate(static_cast<double>(total.bytes + total.link_bytes), seconds, 1e9),
               {total.least_seconds && seconds > 0 ? percent_text(*total.least_seconds / seconds) : ""}});
  }
  std::string text = table.print(colour);
  const auto line = [&](const char* what, double seconds, const char* note = "") {
    text += fmt::format("{:<28}{:>10.3f} ms  {:>6}{}\n", what, seconds * 1e3, percent_text(seconds / step.seconds), note);
  };
  line("the step, not observed", step.seconds);
  if (spent.has_least) line("  at the device's limits", spent.least);
  if (spent.has_least) line("  kernels beyond them", spent.kernels - spent.least);
  if (!spent.has_least) line("  kernels", spent.kernels);
  if (spent.collectives > 0) line("  communication", spent.collectives, "  (waiting for others included)");
  line("  the rest", step.seconds - spent.kernels - spent.collectives,
       "  (launches and gaps; below 0: what observing costs, and what else goes on at a time)");
  if (step.padding_share > 0)
    text += fmt::format("padding is {} of the tokens\n", percent_text(step.padding_share));
  if (step.limits)
    if (const auto peak = step.limits->flop_per_second.find(DType::bf16); peak != step.limits->flop_per_second.end())
      text += fmt::format("MFU {}: {:.0f} of {:.0f} TFLOP/s of 16-bit products\n",
                          percent_text(spent.product_flop / step.seconds / peak->second),
                          spent.product_flop / step.seconds / 1e12, peak->second / 1e12);
  return text;
}

}  // namespace batchscope
