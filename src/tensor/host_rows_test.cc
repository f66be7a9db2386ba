// FP8 beside PyTorch's (testdata/fp8.json, by tools/fp8_files.py): every code, rounding, and rows with a scale each.
#include "tensor/host_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

namespace batchscope {
namespace {

using nlohmann::json;

const json& golden() {
  static const json file =
      json::parse(std::ifstream(std::string(BATCHSCOPE_SOURCE_DIR) + "/src/tensor/testdata/fp8.json"));
  return file;
}

TEST(Float8, EveryCodeHasPyTorchsValue) {
  ASSERT_EQ(golden().at("values").size(), 256u);
  for (std::size_t code = 0; code < 256; ++code) {
    const json& value = golden().at("values")[code];
    Float8 element;
    element.bits = static_cast<std::uint8_t>(code);
    if (value.is_null()) continue;
    EXPECT_EQ(static_cast<float>(element), value.get<float>()) << code;
  }
}

TEST(Float8, RoundsAsPyTorchDoes) {
  const json &numbers = golden().at("numbers"), &codes = golden().at("codes");
  ASSERT_GT(numbers.size(), 500u);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    EXPECT_EQ(Float8(numbers[i].get<float>()).bits, codes[i].get<int>()) << numbers[i];
}

TEST(Float8, TheLargestIsNotExceeded) {
  for (const float value : {449.0f, 1e9f, std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(static_cast<float>(Float8(value)), 448);
    EXPECT_EQ(static_cast<float>(Float8(-value)), -448);
  }
}

std::vector<float> golden_rows() {
  std::vector<float> values;
  for (const json& row : golden().at("rows"))
    for (const json& value : row) values.push_back(value.get<float>());
  return values;
}

TEST(Fp8Rows, AreThoseOfPyTorch) {
  const std::vector<float> values = golden_rows();
  const auto rows = std::ssize(golden().at("scales")), columns = std::ssize(values) / rows;
  const HostMatrix matrix{reinterpret_cast<const std::byte*>(values.data()), DType::f32, rows, columns, columns};
  const Fp8Rows all = to_fp8(matrix, 0, columns);
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto i = static_cast<std::size_t>(row);
    EXPECT_EQ(all.scales[i], golden().at("scales")[i].get<float>());
    for (std::int64_t column = 0; column < columns; ++column)
      EXPECT_EQ(std::to_integer<int>(all.values[static_cast<std::size_t>(row * columns + column)]),
                golden().at("rows_codes")[i][static_cast<std::size_t>(column)].get<int>());
  }
  // A part of the columns has the whole row's scale.
  const Fp8Rows part = to_fp8(matrix, 5, 7);
  EXPECT_EQ(part.scales, all.scales);
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row)
    for (std::size_t column = 0; column < 7; ++column)
      EXPECT_EQ(part.values[row * 7 + column], all.values[row * static_cast<std::size_t>(columns) + 5 + column]);
}

TEST(Fp8Rows, ZerosStayZerosAndTinyValuesFinite) {
  std::vector<float> values(8, 0.0f);
  values[5] = 1e-42f;
  const Fp8Rows rows = to_fp8({reinterpret_cast<const std::byte*>(values.data()), DType::f32, 2, 4, 4}, 0, 4);
  for (const float scale : rows.scales) EXPECT_TRUE(std::isnormal(scale));
  for (const std::byte value : rows.values) EXPECT_EQ(std::to_integer<int>(value) & 0x7f, 0);
}

TEST(Fp8Rows, OfEveryFloatingDtype) {
  const std::vector<BFloat16> halves{BFloat16(1.0f), BFloat16(-2.0f), BFloat16(0.5f)};
  std::vector<std::byte> unaligned(7);
  std::copy_n(reinterpret_cast<const std::byte*>(halves.data()), 6, unaligned.data() + 1);
  const Fp8Rows rows = to_fp8({unaligned.data() + 1, DType::bf16, 1, 3, 3}, 0, 3);
  EXPECT_EQ(rows.scales.front(), 2.0f / 448);
  const auto* codes = reinterpret_cast<const Float8*>(rows.values.data());
  EXPECT_EQ(static_cast<float>(codes[0]), 224);
  EXPECT_EQ(static_cast<float>(codes[1]), -448);
  EXPECT_EQ(static_cast<float>(codes[2]), 112);
}

}  // namespace
}  // namespace batchscope
