// Gives each request and position its own random number, whatever runs beside it.
#include "engine/sampling.h"

#include "base/error.h"
#include "base/units.h"

namespace batchscope {
namespace {

// A bijection of 64 bits that spreads every input bit over all of the output (SplitMix64: Steele et al. 2014).
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

TokenDraw draw_of(const Sampling& sampling, std::int64_t position) {
  const std::uint64_t hash = mix(mix(mix(sampling.seed) ^ sampling.sequence) ^ static_cast<std::uint64_t>(position));
  return {sampling.temperature, sampling.top_p, static_cast<double>(hash >> 11) * 0x1p-53};
}

double parse_temperature(std::string_view text, std::string_view what) {
  const auto temperature = parse_number(text);
  if (!temperature || *temperature < 0)
    throw InputError("{}: '{}' is not a temperature; write 0 (the most probable token) or more, for example 0.8", what,
                     text);
  return *temperature;
}

double parse_top_p(std::string_view text, std::string_view what) {
  const auto top_p = parse_number(text);
  if (!top_p || *top_p <= 0 || *top_p > 1)
    throw InputError("{}: '{}' is not a probability; write more than 0 and at most 1, for example 0.9", what, text);
  return *top_p;
}

}  // namespace batchscope
