// Fields that several tables have (report/table_fields.h).
#include "report/table_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"

namespace batchscope {
namespace {

using Field = TextTable::Field;

bool same_links(const DeviceRecord& a, const DeviceRecord& b) {
  return std::equal(a.links.begin(), a.links.end(), b.links.begin(), b.links.end(),
                    [](const LinkRecord& x, const LinkRecord& y) {
                      return x.kind == y.kind && x.predicted_tx_bytes == y.predicted_tx_bytes &&
                             x.predicted_rx_bytes == y.predicted_rx_bytes && x.counted_tx_bytes == y.counted_tx_bytes &&
                             x.counted_rx_bytes == y.counted_rx_bytes && x.link_tx_bytes == y.link_tx_bytes &&
                             x.link_rx_bytes == y.link_rx_bytes;
                    });
}

}  // namespace

std::optional<double> as_double(const std::optional<std::int64_t>& value) {
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

Field count_field(std::int64_t count) { return {std::to_string(count), Colour::none, static_cast<double>(count)}; }

Field bytes_field(const std::optional<double>& bytes, const char* unknown) {
  return {bytes ? format_bytes(*bytes) : unknown, Colour::none, bytes};
}

Field share_field(const std::optional<double>& share, int digits) {
  return {percent_text(share, digits), Colour::none, share};
}

Field seconds_field(const std::optional<double>& seconds) { return {seconds_text(seconds), Colour::none, seconds}; }

std::vector<Field> closing_fields(const std::optional<double>& predicted, const std::optional<double>& counted,
                                  const std::optional<double>& links_own) {
  const auto closed = closure(links_own ? links_own : counted, predicted);
  const bool open =
      closed ? std::abs(*closed - 1) > 0.01 : predicted == 0.0 && (links_own.value_or(counted.value_or(0)) > 0);
  const std::string share = closed ? fmt::format("{:.1f} %", *closed * 100) : open ? "unexplained" : "-";
  return {bytes_field(predicted),
          bytes_field(counted),
          bytes_field(links_own),
          {share, open ? Colour::red : Colour::none, closed}};
}

std::vector<std::vector<Field>> traffic_rows(const CellSummary& cell) {
  std::vector<std::vector<Field>> rows;
  for (std::size_t begin = 0; begin < cell.devices.size();) {
    std::size_t end = begin + 1;
    while (end < cell.devices.size() && same_links(cell.devices[begin], cell.devices[end])) ++end;
    std::string devices = cell.devices[begin].name;
    if (end - begin > 1) devices += "…" + cell.devices[end - 1].name.substr(devices.find(':') + 1);
    for (const LinkRecord& link : cell.devices[begin].links)
      for (const bool tx : {true, false}) {
        std::vector<Field> row = closing_fields(as_double(tx ? link.predicted_tx_bytes : link.predicted_rx_bytes),
                                                as_double(tx ? link.counted_tx_bytes : link.counted_rx_bytes),
                                                as_double(tx ? link.link_tx_bytes : link.link_rx_bytes));
        row.insert(row.begin(), {Field{devices}, Field{link.kind + (tx ? " TX" : " RX")}});
        rows.push_back(std::move(row));
      }
    begin = end;
  }
  return rows;
}

}  // namespace batchscope
