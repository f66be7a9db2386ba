// A counter and what one reading of it gives: a value, or absent with a reason. Absent is never 0.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace batchscope {

enum class CounterKind {
  gauge,       // a level: memory in use
  cumulative,  // only grows: bytes sent
  window,      // a mean over the last refresh period: a driver's utilisation
};
constexpr std::string_view name_of(CounterKind kind) {
  return kind == CounterKind::gauge ? "gauge" : kind == CounterKind::cumulative ? "cumulative" : "window";
}

// One of the facts that tell a counter from others of its name, for programs: {"gpu", "0"}, {"pid", "42"}.
struct Label {
  std::string name{}, value{};
  bool operator==(const Label&) const = default;
};

struct Counter {
  std::string name{};           // OpenMetrics style, the unit as suffix: "gpu_pcie_tx_bytes_total"
  std::string unit{};           // "bytes", "seconds", "ratio"
  std::string device{};         // "cpu:0 (pid 123)", "host", "eth0"
  std::vector<Label> labels{};  // the same as `device`, in parts; names as docs/exporter.md has them
  CounterKind kind = CounterKind::gauge;
  bool is_virtual = false;
  bool is_integer = true;                  // values are int64, otherwise double
  std::optional<std::int64_t> modulus{};   // a cumulative counter's raw value wraps at this
  std::optional<Nanoseconds> wrap_time{};  // the shortest time in which it can; an increase over more is unknown
  std::optional<Nanoseconds> refresh{};    // how often its value changes, where that is coarser than a read
  std::optional<Nanoseconds> read_cost{};  // of one read, as far as known beforehand
  std::string help{};                      // one line for people
};

// One reading. The reason is text of static lifetime, so that a reading is copied without allocation.
struct Reading {
  std::int64_t integer = 0;
  double real = 0;
  const char* absent = "not read";  // null: there is a value, in `integer` or `real` as the counter says
  const char* lost = nullptr;       // why a total lacks part of what was counted since the last reading; null: nothing

  static Reading of(std::int64_t value) { return {.integer = value, .absent = nullptr}; }
  static Reading of(double value) { return {.real = value, .absent = nullptr}; }
  static Reading none(const char* reason) { return {.absent = reason}; }
  bool operator==(const Reading&) const = default;
};

// Why an increase is unknown.
constexpr const char* counter_went_back = "the counter went back: it was reset";

}  // namespace batchscope
