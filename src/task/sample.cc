// Systematic sampling along the lengths (task/sample.h).
#include "task/sample.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace batchscope {
namespace {

std::size_t length_of(const Question& question) {
  if (!question.lengths.empty())
    return static_cast<std::size_t>(
        std::accumulate(question.lengths.begin() + 1, question.lengths.end(), std::int64_t{0}));
  std::size_t length = question.context.size() * question.choices.size();
  for (const auto& choice : question.choices) length += choice.size();
  return length;
}

}  // namespace

std::vector<std::size_t> sample_by_length(std::span<const Question> questions, std::int64_t size, std::uint64_t seed) {
  std::vector<std::size_t> order(questions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (size >= std::ssize(questions)) return order;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return length_of(questions[a]) < length_of(questions[b]); });
  const double step = static_cast<double>(questions.size()) / static_cast<double>(size);
  // Bits of our own: std's distributions differ between libraries.
  const double start = static_cast<double>(std::mt19937_64(seed)() >> 11) * 0x1p-53 * step;
  std::vector<std::size_t> chosen;
  for (std::int64_t i = 0; i < size; ++i) {
    const double place = start + static_cast<double>(i) * step;
    chosen.push_back(order[std::min(static_cast<std::size_t>(place), order.size() - 1)]);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace batchscope
