// The table of all cells (report/page/cell_table.h).
#include "report/page/cell_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "report/page/html.h"
#include "report/text.h"
#include "study/axes.h"

namespace batchscope {
namespace {

using Field = TextTable::Field;
using nlohmann::json;

enum class Kind { text, status, validity, count, bytes, rate, seconds, milliseconds, share, closure, number, p };

struct Column {
  std::string title;
  const char* group;
  std::string path;
  Kind kind;
  bool is_shown = false;  // before anybody chose groups
  std::string help{};
};

const std::vector<Column> result_columns{
    {"status", "validity", "status", Kind::status, true},
    {"valid", "validity", "valid", Kind::validity, true, "whether the times can be trusted"},
    {"reason", "validity", "reason", Kind::text, false, "why it is not ok, or not valid"},
    {"repeats", "validity", "repeats", Kind::count},
    {"seconds", "time", "time.mean", Kind::seconds, true, "wall clock of scoring everything, mean of the repeats"},
    {"low", "time", "time.low", Kind::seconds, false, "95 % interval of the mean"},
    {"high", "time", "time.high", Kind::seconds, false, "95 % interval of the mean"},
    {"estimated", "time", "estimated_seconds", Kind::seconds, false, "by the performance model, before the cell ran"},
    {"measured / estimated", "time", "measured_to_estimated", Kind::number, true,
     "seconds / what the performance model had said"},
    {"tokens/s", "time", "result.tokens_per_s", Kind::number, true, "(requested - truncated) / seconds"},
    {"batch p50", "time", "result.batch_ms.p50", Kind::milliseconds, true, "time of a batch"},
    {"batch p90", "time", "result.batch_ms.p90", Kind::milliseconds},
    {"batch p99", "time", "result.batch_ms.p99", Kind::milliseconds, true},
    {"request p50", "time", "result.served.request_ms.p50", Kind::milliseconds, false,
     "of a server: from sending to the answer's end"},
    {"request p99", "time", "result.served.request_ms.p99", Kind::milliseconds, false,
     "of a server: from sending to the answer's end"},
    {"load", "time", "result.load_seconds", Kind::seconds, false, "seconds to load the model"},
    {"batches", "time", "result.batches", Kind::count},
    {"requests", "generation", "result.requests", Kind::count, true, "prompts that were continued"},
    {"output tokens/s", "generation", "result.output_tokens_per_s", Kind::number, true, "generated tokens / seconds"},
    {"TTFT p50", "generation", "result.ttft_ms.p50", Kind::milliseconds, true, "from arrival to the first token"},
    {"TTFT p90", "generation", "result.ttft_ms.p90", Kind::milliseconds},
    {"TTFT p99", "generation", "result.ttft_ms.p99", Kind::milliseconds, true, "from arrival to the first token"},
    {"TPOT p50", "generation", "result.tpot_ms.p50", Kind::milliseconds, true, "time per output token after the first"},
    {"TPOT p90", "generation", "result.tpot_ms.p90", Kind::milliseconds},
    {"TPOT p99", "generation", "result.tpot_ms.p99", Kind::milliseconds, true, "time per output token after the first"},
    {"queue p50", "generation", "result.queue_ms.p50", Kind::milliseconds, false, "from arrival until served"},
    {"queue p99", "generation", "result.queue_ms.p99", Kind::milliseconds, false, "from arrival until served"},
    {"latency p50", "generation", "result.latency_ms.p50", Kind::milliseconds, false, "from arrival to the last token"},
    {"latency p99", "generation", "result.latency_ms.p99", Kind::milliseconds, false, "from arrival to the last token"},
    {"output tokens", "generation", "result.output_tokens", Kind::count},
    {"accuracy", "accuracy", "result.acc_norm", Kind::share, true, "by acc_norm: log-likelihood per character"},
    {"accuracy, low", "accuracy", "result.acc_norm_low", Kind::share, false, "95 % Wilson interval"},
    {"accuracy, high", "accuracy", "result.acc_norm_high", Kind::share, false, "95 % Wilson interval"},
    {"acc", "accuracy", "result.acc", Kind::share, false, "accuracy by log-likelihood"},
    {"items", "accuracy", "result.items", Kind::count},
    {"changed", "accuracy", "against_reference.changed", Kind::count, true,
     "items answered differently from the reference"},
    {"lost", "accuracy", "against_reference.lost", Kind::count, false, "right in the reference, wrong here"},
    {"gained", "accuracy", "against_reference.gained", Kind::count, false, "wrong in the reference, right here"},
    {"p", "accuracy", "against_reference.mcnemar_mid_p", Kind::p, false, "McNemar's test, exact, mid-p"},
    {"TX", "traffic", "sum(result.devices[].links[].counted_tx_bytes)", Kind::bytes, false, "sent by all devices"},
    {"RX", "traffic", "sum(result.devices[].links[].counted_rx_bytes)", Kind::bytes, false, "received by all devices"},
    {"TX/s", "traffic", "sum(result.devices[].links[].counted_tx_bytes) / result.seconds", Kind::rate, true,
     "sent by all devices per second"},
    {"RX/s", "traffic", "sum(result.devices[].links[].counted_rx_bytes) / result.seconds", Kind::rate, false,
     "received by all devices per second"},
    {"TX closure", "traffic", "worst(closure[].tx_closure_link)", Kind::closure, false,
     "the link's own counter / predicted, of the device farthest from 100 %"},
    {"RX closure", "traffic", "worst(closure[].rx_closure_link)", Kind::closure, false,
     "the link's own counter / predicted, of the device farthest from 100 %"},
    {"peak", "memory", "max(result.devices[].memory.peak_bytes)", Kind::bytes, true, "of the fullest device"},
    {"planned", "memory", "max(result.devices[].memory.planned_bytes)", Kind::bytes, true,
     "of the fullest device, by the plan"},
    {"capacity", "memory", "max(result.devices[].memory.capacity_bytes)", Kind::bytes, false, "of a device"},
    {"computing", "utilisation", "mean(result.devices[].busy.compute)", Kind::share, true,
     "share of the time, mean of the devices"},
    {"communicating", "utilisation", "mean(result.devices[].busy.communicate)", Kind::share, false,
     "share of the time, mean of the devices"},
    {"idle", "utilisation", "mean(result.devices[].busy.idle)", Kind::share, false,
     "share of the time, mean of the devices"},
    {"in use", "utilisation", "mean(result.devices[].utilisation)", Kind::share, false,
     "as the driver counts, mean of the devices"},
    {"SMs active", "utilisation", "mean(result.devices[].sm_active)", Kind::share, false,
     "share of multiprocessors with work, mean over time and devices"},
    {"energy", "utilisation", "sum(result.devices[].energy_j)", Kind::number, false, "joules"},
    {"requested", "tokens", "result.tokens.requested", Kind::count, false, "tokens that the task asks for"},
    {"computed", "tokens", "result.tokens.computed", Kind::count, false, "real tokens that went through the model"},
    {"padding", "tokens", "result.tokens.padding", Kind::count, false, "tokens computed only to fill batches"},
    {"truncated", "tokens", "result.tokens.truncated", Kind::count, false, "tokens cut away before the model saw them"},
};

// A setting's kind of value; a text or "auto" in place of a number shows as none.
Kind kind_of(const Axis& axis) {
  switch (axis.kind) {
    case AxisKind::text:
      return Kind::text;
    case AxisKind::size:
      return Kind::bytes;
    case AxisKind::number:
      return Kind::number;
    case AxisKind::whole_number:
    case AxisKind::count_or_word:
      return Kind::count;
  }
  return Kind::text;
}

// The axes, in the order of strategies' names. What is in no name, the batch, is always worth a place.
std::vector<Column> setting_columns() {
  std::vector<Column> columns;
  for (const Axis* axis : axes_by_name()) {
    std::string path = "spec" + axis->json;
    std::replace(path.begin(), path.end(), '/', '.');
    if (axis->parts.empty())
      columns.push_back(
          {axis->title, "settings", path, kind_of(*axis), axis->name.naming == Naming::never, axis->hint});
    for (const std::string part : axis->parts)
      columns.push_back({axis->title + " " + part, "settings", path + "." + part,
                         part == "kind" ? Kind::text : Kind::number, false, axis->hint});
  }
  return columns;
}

// All values to which a path leads; null where one is unknown.
void collect(const json& from, std::string_view path, std::vector<json>& out) {
  if (path.empty()) {
    out.push_back(from);
    return;
  }
  const std::size_t end = std::min(path.find('.'), path.size());
  std::string key(path.substr(0, end));
  const std::string_view rest = path.substr(std::min(end + 1, path.size()));
  const bool is_array = key.ends_with("[]");
  if (is_array) key.resize(key.size() - 2);
  if (!from.is_object() || !from.contains(key)) {
    out.emplace_back();
    return;
  }
  const json& value = from.at(key);
  if (!is_array) return collect(value, rest, out);
  for (const json& element : value) collect(element, rest, out);
}

std::optional<double> reduce(std::string_view how, const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  double sum = 0;
  for (const double value : values) sum += value;
  if (how == "sum") return sum;
  if (how == "mean") return sum / static_cast<double>(values.size());
  const auto by = [&](const auto& less) { return *std::max_element(values.begin(), values.end(), less); };
  if (how == "max") return by(std::less<>());
  return by([](double a, double b) { return std::abs(a - 1) < std::abs(b - 1); });
}

std::optional<double> number_at(const json& cell, std::string_view path) {
  if (const std::size_t slash = path.find(" / "); slash != path.npos) {
    const auto above = number_at(cell, path.substr(0, slash)), below = number_at(cell, path.substr(slash + 3));
    return above && below && *below > 0 ? std::optional(*above / *below) : std::nullopt;
  }
  const std::size_t bracket = path.find('(');
  const std::string_view how = bracket == path.npos ? "sum" : path.substr(0, bracket);
  if (bracket != path.npos) path = path.substr(bracket + 1, path.size() - bracket - 2);
  std::vector<json> found;
  collect(cell, path, found);
  std::vector<double> values;
  for (const json& value : found) {
    if (value.is_number())
      values.push_back(value.get<double>());
    else if (how != "worst")  // where nothing was predicted there is no closure
      return std::nullopt;
  }
  return reduce(how, values);
}

Field status_text(const std::string& status) {
  if (status == "ok") return {"ok"};
  return {status_words(status), status == "not run"         ? Colour::dim
                                : status == "out_of_memory" ? Colour::yellow
                                                            : Colour::red};
}

Field text_field(const json& cell, const Column& column) {
  std::vector<json> found;
  collect(cell, column.path, found);
  const json& value = found.front();
  if (column.kind == Kind::validity) {
    if (value.is_null()) return {"unknown", Colour::dim};
    return value.get<bool>() ? Field{"valid"} : Field{"not valid", Colour::yellow};
  }
  if (!value.is_string()) return {""};
  return column.kind == Kind::status ? status_text(value.get<std::string>()) : Field{value.get<std::string>()};
}

std::string whole_number_text(double value) {
  return std::abs(value) < 1e15 ? format_count(std::llround(value)) : fmt::format("{:.6g}", value);
}

std::string number_text(double value, Kind kind) {
  switch (kind) {
    case Kind::count:
      return whole_number_text(value);
    case Kind::bytes:
      return format_bytes(value);
    case Kind::rate:
      return format_bytes(value) + "/s";
    case Kind::seconds:
      return seconds_text(value);
    case Kind::milliseconds:
      return fmt::format("{:.{}f} ms", value, value < 10 ? 2 : value < 100 ? 1 : 0);
    case Kind::share:
      return fmt::format("{:.1f} %", value * 100);
    case Kind::closure:
      return fmt::format("{:.1f} %", value * 100);
    case Kind::p:
      return value < 0.0001 ? "<0.0001" : fmt::format("{:.4f}", value);
    default:
      return value >= 100 ? whole_number_text(value) : fmt::format("{:.3g}", value);
  }
}

bool is_text(const Column& column) { return column.kind <= Kind::validity; }

Field value_field(const json& cell, const Column& column) {
  if (is_text(column)) return text_field(cell, column);
  const auto value = number_at(cell, column.path);
  if (!value || !std::isfinite(*value)) return {""};
  const bool is_open = column.kind == Kind::closure && std::abs(*value - 1) > 0.01;
  return {number_text(*value, column.kind), is_open ? Colour::red : Colour::none, value};
}

// Settings that differ between cells are worth a place on the screen, others are a click away.
bool varies(const json& cells, const Column& column) {
  std::set<std::string> seen;
  for (const json& cell : cells) {
    std::vector<json> found;
    collect(cell, column.path, found);
    seen.insert(found.front().dump(-1, ' ', false, json::error_handler_t::replace));
  }
  return seen.size() > 1;
}

// Accuracy of cells that generate, say, is no column worth a place.
bool is_known(const json& cells, const Column& column) {
  return std::any_of(cells.begin(), cells.end(),
                     [&](const json& cell) { return !value_field(cell, column).text.empty(); });
}

std::string header_html(const Column& column, bool is_shown) {
  std::string attributes = fmt::format(" scope=\"col\" data-group=\"{}\" data-path=\"{}\" class=\"{}{}\"", column.group,
                                       column.path, is_text(column) ? "text" : "", is_shown ? "" : " more");
  if (!column.help.empty()) attributes += fmt::format(" title=\"{}\"", column.help);
  return fmt::format("<th{}>{}</th>", attributes, html_text(column.title));
}

// Printed, and until a script lets choose, the table has its most important columns.
std::string hiding_style(const std::vector<bool>& shown) {
  std::string selectors;
  for (std::size_t column = 0; column < shown.size(); ++column)
    if (!shown[column])
      selectors += fmt::format("{}.cells tr>:nth-child({})", selectors.empty() ? "" : ",", column + 2);
  return fmt::format("<style id=\"hidden-columns\">@media print{{{}{{display:none}}}}</style>\n", selectors);
}

}  // namespace

std::string cell_anchor(std::size_t cell) { return fmt::format("cell-{}", cell + 1); }

std::string cell_table_html(const StudyReport& report, const json& all) {
  const json& cells = all.at("cells");
  std::string out =
      "<div class=\"scroll tall\" tabindex=\"0\" role=\"region\" aria-label=\"All cells\">"
      "<table class=\"data cells\">\n<thead><tr><th scope=\"col\" class=\"text\" data-path=\"key\">cell</th>";
  // Settings of which no cell knows anything need no column.
  std::vector<Column> columns = setting_columns();
  std::erase_if(columns, [&](const Column& column) { return !is_known(cells, column); });
  columns.insert(columns.end(), result_columns.begin(), result_columns.end());
  std::vector<bool> shown;
  for (const Column& column : columns) {
    const bool is_setting = std::string_view(column.group) == "settings";
    shown.push_back(column.is_shown ? is_known(cells, column) : is_setting && varies(cells, column));
    out += header_html(column, shown.back());
  }
  out += "</tr></thead>\n<tbody>\n";
  for (std::size_t i = 0; i < report.cells.size(); ++i) {
    const CellSummary& cell = report.cells[i];
    out += fmt::format("<tr><th scope=\"row\" class=\"text\" data-key=\"{}\"><a href=\"#{}\">{}, batch {}</a></th>",
                       html_text(cells[i].at("key").get<std::string>()), cell_anchor(i), html_text(report.label(cell)),
                       cell.spec.run.batch);
    for (const Column& column : columns) out += html_field(value_field(cells[i], column), is_text(column));
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n" + hiding_style(shown);
}

}  // namespace batchscope
