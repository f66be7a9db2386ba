// Tests of settings: what is printed is read back the same, what is not known is refused with what is.
#include "engine/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const std::function<void()>& parse) {
  try {
    parse();
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Fusion, EverySetIsReadBackAsItIsPrinted) {
  for (int bits = 0; bits < 64; ++bits) {
    const Fusion fusion{.qkv = (bits & 1) != 0,
                        .swiglu = (bits & 2) != 0,
                        .norm = (bits & 4) != 0,
                        .attention = (bits & 8) != 0,
                        .comm = (bits & 16) != 0,
                        .graph = (bits & 32) != 0};
    EXPECT_EQ(parse_fusion(to_string(fusion)), fusion) << to_string(fusion);
  }
}

TEST(Fusion, OnIsEverythingButGraphs) {
  EXPECT_EQ(parse_fusion("on"), parse_fusion("comm,attention,norm,swiglu,qkv"));
  EXPECT_EQ(to_string(parse_fusion("qkv,swiglu,norm,attention,comm")), "on");
  EXPECT_EQ(to_string(parse_fusion("off")), "off");
  EXPECT_EQ(to_string(parse_fusion("norm,qkv,norm")), "qkv,norm");
}

TEST(Fusion, UnknownNamesAreRefused) {
  for (const char* text : {"", "all", "qkv,", ",qkv", "qkv, norm", "on,qkv", "QKV"})
    EXPECT_THAT(refusal([&] { parse_fusion(text); }), AllOf(HasSubstr("--fusion"), HasSubstr("off, on"))) << text;
}

TEST(Packing, NamesAreReadBack) {
  for (const Packing packing : {Packing::padded, Packing::packed, Packing::prefix})
    EXPECT_EQ(parse_packing(to_string(packing)), packing);
  EXPECT_THAT(refusal([] { parse_packing("dense"); }), AllOf(HasSubstr("'dense'"), HasSubstr("padded, packed")));
}

TEST(DeviceSpec, IsReadBackAsItIsPrinted) {
  for (const char* text : {"cpu:1", "cpu:4", "cpu:1024", "cuda:0", "cuda:0,1", "cuda:3,1,2"})
    EXPECT_EQ(to_string(parse_device(text)), text);
  EXPECT_EQ(to_string(parse_device("cpu")), "cpu:1");
  EXPECT_EQ(to_string(parse_device("cuda")), "cuda:0");
  EXPECT_EQ(parse_device("cpu:3").numbers, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(parse_device("cuda:3,1").count(), 2);
}

TEST(DeviceSpec, WhatIsNotADeviceIsRefused) {
  for (const char* text : {"", "gpu:0", "cpu:0", "cpu:", "cpu:1025", "cpu:-1", "cpu:two", "cuda:", "cuda:0,",
                           "cuda:0,0", "cuda:1024", "cpu:1,2", ":4"})
    EXPECT_THAT(refusal([&] { parse_device(text); }), HasSubstr("--device")) << text;
}

}  // namespace
}  // namespace batchscope
