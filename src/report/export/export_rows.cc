// CSV and JSON lines (report/export/export_rows.h).
#include "report/export/export_rows.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "base/check.h"
#include "base/csv.h"

namespace batchscope {
namespace {

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void append(std::string& out, const ExportValue& value, RowFormat format) {
  const bool csv = format == RowFormat::csv;
  std::visit(
      [&](const auto& content) {
        using Content = std::decay_t<decltype(content)>;
        if constexpr (std::is_same_v<Content, std::monostate>) {
          if (!csv) out += "null";
        } else if constexpr (std::is_same_v<Content, std::string_view>) {
          csv ? append_csv_field(out, content) : static_cast<void>(out += json_text(content));
        } else if constexpr (std::is_same_v<Content, RawJson>) {
          csv ? append_csv_field(out, content.text) : static_cast<void>(out += content.text);
        } else if constexpr (std::is_same_v<Content, double>) {
          if (std::isfinite(content))
            fmt::format_to(std::back_inserter(out), "{}", content);
          else if (!csv)
            out += "null";
        } else {
          fmt::format_to(std::back_inserter(out), "{}", content);
        }
      },
      value.content());
}

}  // namespace

void BufferedOutput::flush() {
  if (!buffer_.empty()) sink_(buffer_);
  buffer_.clear();
}

RowWriter::RowWriter(RowFormat format, std::span<const std::string_view> columns, BufferedOutput& out)
    : format_(format), out_(out) {
  for (const std::string_view column : columns) {
    const bool first = before_.empty();
    if (format == RowFormat::csv) {
      before_.emplace_back(first ? "" : ",");
      out_.buffer() += before_.back();
      append_csv_field(out_.buffer(), column);
    } else {
      before_.push_back((first ? "{" : ",") + json_text(column) + ":");
    }
  }
  if (format == RowFormat::csv) out_.buffer() += '\n';
}

void RowWriter::row(std::span<const ExportValue> values) {
  CHECK_EQUAL(values.size(), before_.size(), "a row has a value for each column");
  for (std::size_t i = 0; i < values.size(); ++i) {
    out_.buffer() += before_[i];
    append(out_.buffer(), values[i], format_);
  }
  out_.buffer() += format_ == RowFormat::csv ? "\n" : "}\n";
  out_.written();
}

}  // namespace batchscope
