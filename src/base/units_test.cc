// Quantities: what is accepted, what is refused, and the way back.
#include "base/units.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/error.h"

namespace batchscope {
namespace {

TEST(Units, BytesTakeDecimalAndBinaryUnits) {
  EXPECT_EQ(parse_bytes("512", "m"), 512);
  EXPECT_EQ(parse_bytes("64MiB", "m"), 64 << 20);
  EXPECT_EQ(parse_bytes("1.5GB", "m"), 1'500'000'000);
  EXPECT_EQ(parse_bytes("2 KiB", "m"), 2048);
}

TEST(Units, BadQuantitiesAreRefusedByName) {
  for (const char* bad : {"", "0", "-1", "64MB/s", "MiB", "1e99", "nan", "64Mib", "99999999TiB"})
    EXPECT_THROW(parse_bytes(bad, "--device-memory"), InputError) << bad;
  for (const char* bad : {"", "12", "12GB", "0GB/s", "/s"})
    EXPECT_THROW(parse_bandwidth(bad, "--link"), InputError) << bad;
  for (const char* bad : {"", "5", "1/0s", "-1s", "s"})
    EXPECT_THROW(parse_duration(bad, "--period"), InputError) << bad;
  for (const char* bad : {"", "1.5", "0", "11", "x", "1 "})
    EXPECT_THROW(parse_integer(bad, 1, 10, "--batch"), InputError) << bad;
}

TEST(Units, DurationsTakeFractions) {
  EXPECT_EQ(parse_duration("1/6s", "p"), Nanoseconds(166'666'667));
  EXPECT_EQ(parse_duration("5us", "p"), Nanoseconds(5000));
  EXPECT_EQ(parse_duration("0s", "p"), Nanoseconds(0));
}

TEST(Units, PrintsShortForms) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1 << 20), "1.0 MiB");
  EXPECT_EQ(format_count(-1234567), "-1 234 567");
  EXPECT_EQ(format_duration(Nanoseconds(125'000'000'000)), "2 min 05 s");
  EXPECT_EQ(format_duration(Nanoseconds(28'799'900'000'000)), "7 h 59 min");
}

TEST(Units, NearestFindsTheTypo) {
  const std::array<std::string, 3> keys{"batch", "fusion", "parallel"};
  EXPECT_EQ(nearest("btach", keys), "batch");
  EXPECT_EQ(nearest("zzzzzzzz", keys), "");
}

}  // namespace
}  // namespace batchscope
