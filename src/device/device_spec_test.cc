// Tests of devices' names.
#include "device/device_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

std::string refusal(std::string_view text) {
  try {
    parse_device(text);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(DeviceSpec, IsReadBackAsItIsPrinted) {
  for (const char* text : {"cpu:1", "cpu:4", "cpu:1024", "cuda:0", "cuda:0,1", "cuda:3,1,2", "cuda:0,0"})
    EXPECT_EQ(to_string(parse_device(text)), text);
  EXPECT_EQ(to_string(parse_device("cpu")), "cpu:1");
  EXPECT_EQ(to_string(parse_device("cuda")), "cuda:0");
  EXPECT_EQ(parse_device("cpu:3").numbers, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(parse_device("cuda:3,1").count(), 2);
}

TEST(DeviceSpec, RanksThatShareAGpuHaveNamesOfTheirOwn) {
  const DeviceSpec shared = parse_device("cuda:0,1,0");
  EXPECT_EQ(shared.name(0), "cuda:0.0");
  EXPECT_EQ(shared.name(1), "cuda:1");
  EXPECT_EQ(shared.name(2), "cuda:0.1");
  EXPECT_EQ(shared.sharers(), 2);
  EXPECT_EQ(parse_device("cuda:0,1").sharers(), 1);
  EXPECT_EQ(parse_device("cpu:4").sharers(), 1);
}

TEST(DeviceSpec, WhatIsNotADeviceIsRefused) {
  for (const char* text : {"", "gpu:0", "cpu:0", "cpu:", "cpu:1025", "cpu:-1", "cpu:two", "cuda:", "cuda:0,",
                           "cuda:1024", "cpu:1,2", ":4"})
    EXPECT_THAT(refusal(text), HasSubstr("--device")) << text;
}

}  // namespace
}  // namespace batchscope
