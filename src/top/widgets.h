// What a screen is made of: bars, graphs of one or more rows, numbers that say when they are unknown.
#pragma once

#include <optional>
#include <string>

#include "top/grid.h"
#include "top/track.h"

namespace batchscope::top {

// "-" when unknown.
std::string percent(std::optional<double> share);                            // "83 %"
std::string rate_text(std::optional<double> bytes_per_s);                    // "1.2 GiB/s"
std::string short_bytes(std::optional<double> bytes);                        // "60.1G", five columns at most
std::string number(std::optional<double> value, const char* unit);           // "412 W"
std::string used_of(std::optional<double> used, std::optional<double> all);  // bytes: "60.1 of 140.4 GiB"
std::string clock_text(Nanoseconds time);                                    // "0:12:05"

// A bar of shares of its width: used, and behind it what is reserved. Blank when unknown.
void draw_bar(const Area& area, std::size_t column, std::size_t row, std::size_t width, std::optional<double> used,
              std::optional<double> reserved, Style style);
// The last `width` values, `rows` high, against `top`; blank where unknown.
void draw_graph(const Area& area, std::size_t column, std::size_t row, std::size_t width, std::size_t rows,
                const History& values, double top, Style style);

double greatest(const History& values);  // 0 when all are unknown

}  // namespace batchscope::top
