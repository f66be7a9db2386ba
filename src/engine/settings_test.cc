// Tests of settings: what is printed is read back the same, what is not known is refused with what is.
#include "engine/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/test_refusal.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

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

TEST(Fusion, OnIsEverything) {
  EXPECT_EQ(parse_fusion("on"), parse_fusion("overlap,graph,comm,attention,norm,swiglu,qkv"));
  EXPECT_EQ(to_string(parse_fusion("qkv,swiglu,norm,attention,comm,graph,overlap")), "on");
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

}  // namespace
}  // namespace batchscope
