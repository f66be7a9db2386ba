// Printing of traces (report/trace_text.h).
#include "report/trace_text.h"

#include <fmt/format.h>

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
  std::optional<double> seconds = 0;  // absent where one call's is not known
};

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
    total.seconds = total.seconds && seconds[i] ? std::optional(*total.seconds + *seconds[i]) : std::nullopt;
  }
  return totals;
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

}  // namespace batchscope
