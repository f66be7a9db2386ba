// Rows of named columns, written as CSV or JSON lines: values unrounded, unknown ones empty or null.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace batchscope {

// Takes the next bytes of an output.
using ByteSink = std::function<void(std::string_view)>;

// Collects small pieces and passes them on in large ones.
class BufferedOutput {
 public:
  explicit BufferedOutput(ByteSink sink) : sink_(std::move(sink)) {}
  std::string& buffer() { return buffer_; }  // append here, then call written()
  void written() {
    if (buffer_.size() >= piece) flush();
  }
  void flush();

 private:
  static constexpr std::size_t piece = 1 << 16;

  ByteSink sink_;
  std::string buffer_;
};

// JSON that is part of a row as it is.
struct RawJson {
  std::string_view text;
};

// One field; texts are the caller's until the row is written.
class ExportValue {
 public:
  ExportValue() = default;  // unknown
  ExportValue(bool value) : value_(value) {}
  ExportValue(std::int64_t value) : value_(value) {}
  ExportValue(double value) : value_(value) {}
  ExportValue(Nanoseconds value) : value_(static_cast<std::int64_t>(value.count())) {}
  ExportValue(std::string_view value) : value_(value) {}
  ExportValue(const std::string& value) : value_(std::string_view(value)) {}
  ExportValue(RawJson value) : value_(value) {}
  template <class Value>
  ExportValue(const std::optional<Value>& value) : ExportValue(value ? ExportValue(*value) : ExportValue()) {}
  ExportValue(const char*) = delete;  // would be a bool

  using Content = std::variant<std::monostate, bool, std::int64_t, double, std::string_view, RawJson>;
  const Content& content() const { return value_; }

 private:
  Content value_;
};

enum class RowFormat { csv, jsonl };

// CSV is quoted as RFC 4180 says, has a header, and lines that end with a line feed. JSON lines are an object each,
// with the columns as keys; bytes that are not UTF-8 are replaced there.
class RowWriter {
 public:
  RowWriter(RowFormat format, std::span<const std::string_view> columns, BufferedOutput& out);
  void row(std::span<const ExportValue> values);  // as many as there are columns
  void row(std::initializer_list<ExportValue> values) {
    row(std::span<const ExportValue>(values.begin(), values.size()));
  }

 private:
  RowFormat format_;
  std::vector<std::string> before_;  // [columns] what stands in front of each value
  BufferedOutput& out_;
};

}  // namespace batchscope
