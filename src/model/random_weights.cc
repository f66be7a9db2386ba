// Weights drawn from a seed (random_weights of model/weights.h). Each value depends on seed, tensor name and place
// alone.
#include <cstring>
#include <string>

#include "model/weight_checks.h"
#include "model/weights.h"
#include "tensor/drawn_values.h"

namespace batchscope {
namespace {

std::uint64_t key_of(std::string_view name, std::uint64_t seed) {
  std::uint64_t key = mix_bits(seed + 0x9e3779b97f4a7c15u);
  for (const char c : name) key = mix_bits(key ^ static_cast<unsigned char>(c));
  return key;
}

class RandomWeights : public WeightSource {
 public:
  explicit RandomWeights(std::uint64_t seed) : seed_(seed) {}

  std::optional<Drawn> drawn(const WeightShape& tensor) const override {
    return Drawn{key_of(tensor.name, seed_), tensor.name.ends_with("norm.weight") ? 1.0f : 0.0f};
  }

  HostMatrix read(const WeightShape& tensor, const Slice& slice, std::vector<std::byte>& scratch) const override {
    check_slice(tensor, slice);
    const auto columns = static_cast<std::size_t>(slice.column_count);
    scratch.resize(static_cast<std::size_t>(slice.row_count) * columns * sizeof(float));
    const auto [key, mean] = *drawn(tensor);
    auto* out = reinterpret_cast<float*>(scratch.data());  // a vector's storage is aligned for every plain type
    for (std::int64_t row = slice.row_begin; row < slice.row_begin + slice.row_count; ++row) {
      const auto first = static_cast<std::uint64_t>(row * tensor.columns + slice.column_begin);
      for (std::size_t column = 0; column < columns; ++column) *out++ = drawn_value(key, first + column, mean);
    }
    return {scratch.data(), DType::f32, slice.row_count, slice.column_count, slice.column_count};
  }

 private:
  std::uint64_t seed_;
};

}  // namespace

std::unique_ptr<WeightSource> random_weights(const ModelConfig& /*config*/, std::uint64_t seed) {
  return std::make_unique<RandomWeights>(seed);
}

}  // namespace batchscope
