// Tests of --link: what is printed is read back the same.
#include "device/link.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"

namespace batchscope {
namespace {

TEST(Link, IsReadAsPeopleWriteIt) {
  EXPECT_EQ(parse_link("12GB/s,5us"), (LinkSpec{.bytes_per_second = 12e9, .latency = std::chrono::microseconds(5)}));
  EXPECT_EQ(parse_link("1GiB/s").bytes_per_second, 1024.0 * 1024 * 1024);
  EXPECT_EQ(parse_link("pcie").kind, LinkKind::pcie);
  EXPECT_EQ(parse_link("nvlink").kind, LinkKind::nvlink);
  EXPECT_EQ(parse_link("unpaced"), LinkSpec{});
  EXPECT_EQ(parse_link(""), LinkSpec{});
}

TEST(Link, IsReadBackAsItIsPrinted) {
  for (const char* text :
       {"unpaced", "nvlink", "pcie", "12GB/s,5us", "0.5GB/s,0us", "900GB/s,1.5us", "1.073741824GB/s,0us"})
    EXPECT_EQ(to_string(parse_link(text)), text);
}

RC_GTEST_PROP(Link, EveryPaceIsReadBackTheSame, ()) {
  const LinkSpec link{.bytes_per_second = static_cast<double>(*rc::gen::inRange<std::int64_t>(1, 2'000'000'000'000)),
                      .latency = Nanoseconds(*rc::gen::inRange<std::int64_t>(0, 10'000'000'000))};
  RC_ASSERT(parse_link(to_string(link)) == link);
}

TEST(Link, WhatIsNoLinkIsRefused) {
  for (const char* text :
       {"fast", "12GB", "0GB/s", "-1GB/s", "12GB/s,", "12GB/s,5", "12GB/s,-5us", "12GB/s,5us,6us", ",5us", "infGB/s"})
    EXPECT_THROW(parse_link(text), InputError) << text;
}

}  // namespace
}  // namespace batchscope
