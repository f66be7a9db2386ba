// The chunk codec: what is encoded comes back, whatever the values; foreign bytes are refused; sizes are as promised.
#include "store/chunk.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <limits>
#include <random>

#include "base/error.h"

namespace batchscope {
namespace {

// Values of all magnitudes, the extremes among them.
rc::Gen<std::int64_t> any_integer() {
  return rc::gen::oneOf(
      rc::gen::arbitrary<std::int64_t>(), rc::gen::inRange<std::int64_t>(-9, 9),
      rc::gen::element(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()));
}

std::vector<std::uint8_t> marks(std::size_t count, const std::vector<bool>& some) {
  std::vector<std::uint8_t> present(count, 1);
  for (std::size_t i = 0; i < count && !some.empty(); ++i) present[i] = some[i % some.size()] ? 1 : 0;
  return present;
}

RC_GTEST_PROP(Chunk, IntegersComeBack, (const std::vector<bool>& some)) {
  const auto values = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::int64_t>>(any_integer()));
  const auto present = marks(values.size(), some);
  const auto back = decode_column(encode_integers(values, present));
  RC_ASSERT(back.present == present);
  for (std::size_t i = 0; i < values.size(); ++i) RC_ASSERT(back.integers[i] == (present[i] ? values[i] : 0));
}

RC_GTEST_PROP(Chunk, RealsComeBackBitByBit, (const std::vector<bool>& some)) {
  const auto bits = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::uint64_t>>(
      rc::gen::oneOf(rc::gen::arbitrary<std::uint64_t>(), rc::gen::just(std::uint64_t{0x7ff8000000000001}))));
  std::vector<double> values;
  for (const std::uint64_t word : bits) values.push_back(std::bit_cast<double>(word));
  const auto present = marks(values.size(), some);
  const auto back = decode_column(encode_reals(values, present));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (present[i]) RC_ASSERT(std::bit_cast<std::uint64_t>(back.reals[i]) == bits[i]);
}

RC_GTEST_PROP(Chunk, TicksComeBack, ()) {
  const auto instants = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::int64_t>>(any_integer()));
  std::vector<Nanoseconds> before, after;
  for (const std::int64_t instant : instants) {
    before.push_back(Nanoseconds(instant));
    after.push_back(Nanoseconds(instant / 2));
  }
  const auto back = decode_ticks(encode_ticks(before, after));
  RC_ASSERT(back.before == before);
  RC_ASSERT(back.after == after);
}

RC_GTEST_PROP(Chunk, DamagedBytesAreRefusedOrDecode, (std::uint32_t at, std::uint8_t with)) {
  const std::vector<std::int64_t> values{1, 5, -7, 1000000, 3, 3, 3};
  std::string bytes = encode_integers(values, {});
  bytes[at % bytes.size()] = static_cast<char>(with);
  try {
    decode_column(bytes);
  } catch (const InputError&) {
  }
}

TEST(Chunk, EveryTruncationIsRefused) {
  const std::vector<std::int64_t> values{1, 5, -7, 1000000};
  const std::string bytes = encode_integers(values, {});
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_THROW(decode_column(bytes.substr(0, size)), InputError) << size;
  EXPECT_THROW(decode_column(bytes + "x"), InputError);
  EXPECT_THROW(decode_ticks(bytes), InputError);
}

// 8 devices x 8 counters x 200 Hz x 8 h are 369 million values: 1.5 GB allow 4 bytes for each. Counters whose every
// increase is noise of 20 bits are about the worst there is; ticks are shared by the eight counters of a device.
TEST(Chunk, NoisyCountersFitTheBudget) {
  std::mt19937_64 random(1);
  std::vector<std::int64_t> values;
  std::vector<Nanoseconds> before, after;
  std::int64_t total = 123456789012345;
  for (std::int64_t i = 0; i < 12800; ++i) {
    values.push_back(total += static_cast<std::int64_t>(random() % (1 << 20)));
    before.push_back(Nanoseconds(5'000'000 * i + static_cast<std::int64_t>(random() % 100'000)));
    after.push_back(before.back() + Nanoseconds(20'000 + static_cast<std::int64_t>(random() % 4096)));
  }
  const double bytes_a_value = static_cast<double>(encode_integers(values, {}).size()) / 12800 +
                               static_cast<double>(encode_ticks(before, after).size()) / 12800 / 8;
  RecordProperty("bytes_a_value_x1000", static_cast<int>(bytes_a_value * 1000));
  EXPECT_LT(bytes_a_value, 3.7);
}

}  // namespace
}  // namespace batchscope
