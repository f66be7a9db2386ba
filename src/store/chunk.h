// Samples as bytes: one column of a block, delta-coded, cut into byte planes, each plane compressed by zstd.
// docs/formats.md describes the bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace batchscope {

// Bound of one chunk, so that a hostile file cannot ask for memory without end.
constexpr std::size_t max_chunk_ticks = 1 << 16;

// Instants around each reading.
std::string encode_ticks(std::span<const Nanoseconds> before, std::span<const Nanoseconds> after);
// Values at the ticks; `present` is empty (all are) or has a byte a tick, 0 where the value is absent.
std::string encode_integers(std::span<const std::int64_t> values, std::span<const std::uint8_t> present);
std::string encode_reals(std::span<const double> values, std::span<const std::uint8_t> present);

struct DecodedTicks {
  std::vector<Nanoseconds> before, after;
};
struct DecodedColumn {
  std::vector<std::int64_t> integers;  // [ticks], or empty
  std::vector<double> reals;           // [ticks], or empty
  std::vector<std::uint8_t> present;   // [ticks]; values of absent ticks are 0
};
// InputError that begins with "damaged" when the bytes are not what the encoders make.
DecodedTicks decode_ticks(std::string_view bytes);
DecodedColumn decode_column(std::string_view bytes);

}  // namespace batchscope
