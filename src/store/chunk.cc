// The chunk codec (store/chunk.h). Neighbouring readings differ little, so the high byte planes of their differences
// are zero, and the low ones, which hold the noise, cost what their entropy costs.
#include "store/chunk.h"

#include <zstd.h>

#include <bit>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "base/error.h"

namespace batchscope {
namespace {

constexpr std::uint8_t codec = 1;
constexpr int planes = 8;
constexpr int zstd_level = 3;
enum Kind : std::uint8_t { kind_ticks = 1, kind_integers = 2, kind_reals = 3 };

// Differences wrap around like unsigned numbers do: every pair of values has one, without overflow.
std::uint64_t zigzag(std::uint64_t difference) { return (difference << 1) ^ (0 - (difference >> 63)); }
std::uint64_t unzigzag(std::uint64_t code) { return (code >> 1) ^ (0 - (code & 1)); }

void put_u32(std::string& out, std::size_t value) {
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

void put_u64(std::string& out, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// A context for each thread. Making one asks the CPU for its features, which a hypervisor answers in its own time (30
// us were seen): for planes of a few bytes that was most of what writing cost.
ZSTD_CCtx* compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  CHECK_THAT(context != nullptr, "zstd has memory for a context");
  return context.get();
}
ZSTD_DCtx* decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
  CHECK_THAT(context != nullptr, "zstd has memory for a context");
  return context.get();
}

// Length (u32), then the bytes: 0 when all are zero, as they are when zstd does not help, a zstd frame otherwise.
void put_packed(std::string& out, const std::string& bytes) {
  if (bytes.find_first_not_of('\0') == std::string::npos) return put_u32(out, 0);
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size =
      ZSTD_compressCCtx(compressor(), packed.data(), packed.size(), bytes.data(), bytes.size(), zstd_level);
  CHECK_THAT(!ZSTD_isError(size), "zstd compresses a plane, it said {}", ZSTD_getErrorName(size));
  if (size >= bytes.size()) {
    put_u32(out, bytes.size());
    out += bytes;
  } else {
    put_u32(out, size);
    out.append(packed, 0, size);
  }
}

void put_planes(std::string& out, const std::vector<std::uint64_t>& words) {
  std::string plane(words.size(), '\0');
  for (int p = 0; p < planes; ++p) {
    for (std::size_t i = 0; i < words.size(); ++i) plane[i] = static_cast<char>(words[i] >> (8 * p));
    put_packed(out, plane);
  }
}

std::string header(Kind kind, std::size_t ticks) {
  CHECK_THAT(ticks > 0 && ticks <= max_chunk_ticks, "a chunk has 1 to {} ticks, this one {}", max_chunk_ticks, ticks);
  std::string out{static_cast<char>(codec), static_cast<char>(kind)};
  put_u32(out, ticks);
  return out;
}

// What all columns share: which ticks are present, then the words of those that are.
template <class Value, class Code>
std::string encode_column(Kind kind, std::span<const Value> values, std::span<const std::uint8_t> present, Code code) {
  CHECK_THAT(present.empty() || present.size() == values.size(), "a column of {} values has {} marks", values.size(),
             present.size());
  std::string out = header(kind, values.size());
  std::string absent((values.size() + 7) / 8, '\0');
  std::vector<std::uint64_t> words;
  words.reserve(values.size());
  std::uint64_t previous = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!present.empty() && present[i] == 0) {
      absent[i / 8] = static_cast<char>(absent[i / 8] | (1 << (i % 8)));
      continue;
    }
    const auto bits = std::bit_cast<std::uint64_t>(values[i]);
    words.push_back(code(bits, previous));
    previous = bits;
  }
  put_packed(out, absent);
  put_planes(out, words);
  return out;
}

[[noreturn]] void damaged(const char* what) { throw InputError("damaged samples: {}", what); }

// Takes bytes from the front; never reads behind the end.
class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}

  std::string_view take(std::size_t size) {
    if (size > rest_.size()) damaged("a chunk ends too early");
    const auto taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::uint64_t number(int bytes) {
    const auto taken = take(static_cast<std::size_t>(bytes));
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i)
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(taken[static_cast<std::size_t>(i)])) << (8 * i);
    return value;
  }
  std::string packed(std::size_t size) {
    std::string bytes(size, '\0');
    const auto taken = take(number(4));
    if (taken.empty()) return bytes;
    if (taken.size() == size) return std::string(taken);
    if (ZSTD_decompressDCtx(decompressor(), bytes.data(), size, taken.data(), taken.size()) != size)
      damaged("a plane does not unpack");
    return bytes;
  }
  std::vector<std::uint64_t> words(std::size_t count) {
    std::vector<std::uint64_t> words(count, 0);
    for (int p = 0; p < planes; ++p) {
      const std::string plane = packed(count);
      for (std::size_t i = 0; i < count; ++i)
        words[i] |= static_cast<std::uint64_t>(static_cast<unsigned char>(plane[i])) << (8 * p);
    }
    return words;
  }
  void end() const {
    if (!rest_.empty()) damaged("a chunk has bytes after its end");
  }
  // Kind and number of ticks.
  std::pair<std::uint64_t, std::size_t> header() {
    if (number(1) != codec) damaged("a chunk has a codec that this version does not know");
    const auto kind = number(1);
    const auto ticks = static_cast<std::size_t>(number(4));
    if (ticks == 0 || ticks > max_chunk_ticks) damaged("a chunk has an impossible number of ticks");
    return {kind, ticks};
  }

 private:
  std::string_view rest_;
};

std::int64_t as_signed(std::uint64_t bits) { return std::bit_cast<std::int64_t>(bits); }
std::uint64_t as_unsigned(Nanoseconds time) { return std::bit_cast<std::uint64_t>(std::int64_t{time.count()}); }

}  // namespace

std::string encode_ticks(std::span<const Nanoseconds> before, std::span<const Nanoseconds> after) {
  CHECK_EQUAL(before.size(), after.size(), "every reading has two instants");
  std::string out = header(kind_ticks, before.size());
  const std::uint64_t first = as_unsigned(before.front());
  // Ticks come at a period: what is left beside the mean step is jitter.
  const std::uint64_t step = (as_unsigned(before.back()) - first) / before.size();
  put_u64(out, first);
  put_u64(out, step);
  std::vector<std::uint64_t> steps, durations;
  for (std::size_t i = 0; i < before.size(); ++i) {
    steps.push_back(i == 0 ? 0 : zigzag(as_unsigned(before[i]) - as_unsigned(before[i - 1]) - step));
    durations.push_back(zigzag(as_unsigned(after[i]) - as_unsigned(before[i])));
  }
  put_planes(out, steps);
  put_planes(out, durations);
  return out;
}

std::string encode_integers(std::span<const std::int64_t> values, std::span<const std::uint8_t> present) {
  return encode_column(kind_integers, values, present,
                       [](std::uint64_t bits, std::uint64_t previous) { return zigzag(bits - previous); });
}

std::string encode_reals(std::span<const double> values, std::span<const std::uint8_t> present) {
  return encode_column(kind_reals, values, present,
                       [](std::uint64_t bits, std::uint64_t previous) { return bits ^ previous; });
}

DecodedTicks decode_ticks(std::string_view bytes) {
  Input input(bytes);
  const auto [kind, ticks] = input.header();
  if (kind != kind_ticks) damaged("a chunk of values stands where instants should");
  std::uint64_t instant = input.number(8);
  const std::uint64_t step = input.number(8);
  const auto steps = input.words(ticks);
  const auto durations = input.words(ticks);
  input.end();
  DecodedTicks out;
  for (std::size_t i = 0; i < ticks; ++i) {
    if (i > 0) instant += unzigzag(steps[i]) + step;
    out.before.push_back(Nanoseconds(as_signed(instant)));
    out.after.push_back(Nanoseconds(as_signed(instant + unzigzag(durations[i]))));
  }
  return out;
}

DecodedColumn decode_column(std::string_view bytes) {
  Input input(bytes);
  const auto [kind, ticks] = input.header();
  if (kind != kind_integers && kind != kind_reals) damaged("a chunk of instants stands where values should");
  const std::string absent = input.packed((ticks + 7) / 8);
  DecodedColumn out;
  out.present.resize(ticks);
  std::size_t count = 0;
  for (std::size_t i = 0; i < ticks; ++i) {
    out.present[i] = static_cast<std::uint8_t>(((static_cast<unsigned char>(absent[i / 8]) >> (i % 8)) & 1) ^ 1);
    count += out.present[i];
  }
  const auto words = input.words(count);
  input.end();
  if (kind == kind_integers)
    out.integers.resize(ticks);
  else
    out.reals.resize(ticks);
  std::uint64_t value = 0;
  for (std::size_t i = 0, next = 0; i < ticks; ++i) {
    if (out.present[i] == 0) continue;
    value = kind == kind_integers ? value + unzigzag(words[next]) : value ^ words[next];
    ++next;
    if (kind == kind_integers)
      out.integers[i] = as_signed(value);
    else
      out.reals[i] = std::bit_cast<double>(value);
  }
  return out;
}

}  // namespace batchscope
