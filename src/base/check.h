// Checks of what the program itself promises; a failed one is a defect, and its message reads as a sentence.
#pragma once

#include <fmt/format.h>

#include <stdexcept>

// CHECK_THAT(rows > 0, "a batch has rows, this one has {}", rows)
#define CHECK_THAT(condition, ...)                                                                               \
  do {                                                                                                           \
    if (!(condition))                                                                                            \
      throw std::logic_error(                                                                                    \
          fmt::format("{}:{}: {} does not hold: {}", __FILE__, __LINE__, #condition, fmt::format(__VA_ARGS__))); \
  } while (false)

// CHECK_EQUAL(x.rows(), out.rows(), "rms_norm keeps the number of rows"): prints both values.
#define CHECK_EQUAL(left, right, what)                                                                     \
  do {                                                                                                     \
    const auto& left_value_ = (left);                                                                      \
    const auto& right_value_ = (right);                                                                    \
    if (!(left_value_ == right_value_))                                                                    \
      throw std::logic_error(fmt::format("{}:{}: {}: {} is {}, {} is {}", __FILE__, __LINE__, what, #left, \
                                         left_value_, #right, right_value_));                              \
  } while (false)
