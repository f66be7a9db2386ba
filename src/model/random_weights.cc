// Weights drawn from a seed (random_weights of model/weights.h). Each value depends on seed, tensor name and place
// alone.
#include <cstring>
#include <string>

#include "model/weight_checks.h"
#include "model/weights.h"

namespace batchscope {
namespace {

constexpr float sigma = 0.02f;

// A bijection of 64 bits that spreads every input bit over all of the output (a finaliser of the xor-multiply kind).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

std::uint64_t key_of(std::string_view name, std::uint64_t seed) {
  std::uint64_t key = mix(seed + 0x9e3779b97f4a7c15u);
  for (const char c : name) key = mix(key ^ static_cast<unsigned char>(c));
  return key;
}

// Near N(0, sigma): the sum of the hash's four 16-bit parts. Its variance is exact, its tails end at 3.46 sigma, and it
// costs one hash: filling a 65B model takes minutes where a library's normal distribution takes an hour.
float normal(std::uint64_t key, std::uint64_t index) {
  const std::uint64_t hash = mix(key + index * 0x9e3779b97f4a7c15u);
  const auto sum =
      static_cast<std::int32_t>((hash & 0xffff) + ((hash >> 16) & 0xffff) + ((hash >> 32) & 0xffff) + (hash >> 48));
  constexpr std::int32_t mean = 2 * 65535;
  constexpr double deviation = 37837.22723720648;  // sqrt(4 * (2^32 - 1) / 12)
  return static_cast<float>(sum - mean) * static_cast<float>(sigma / deviation);
}

class RandomWeights : public WeightSource {
 public:
  explicit RandomWeights(std::uint64_t seed) : seed_(seed) {}

  HostMatrix read(const WeightShape& tensor, const Slice& slice, std::vector<std::byte>& scratch) const override {
    check_slice(tensor, slice);
    const auto columns = static_cast<std::size_t>(slice.column_count);
    scratch.resize(static_cast<std::size_t>(slice.row_count) * columns * sizeof(float));
    const std::uint64_t key = key_of(tensor.name, seed_);
    const float mean = tensor.name.ends_with("norm.weight") ? 1.0f : 0.0f;
    auto* out = reinterpret_cast<float*>(scratch.data());  // a vector's storage is aligned for every plain type
    for (std::int64_t row = slice.row_begin; row < slice.row_begin + slice.row_count; ++row) {
      const auto first = static_cast<std::uint64_t>(row * tensor.columns + slice.column_begin);
      for (std::size_t column = 0; column < columns; ++column) *out++ = mean + normal(key, first + column);
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
