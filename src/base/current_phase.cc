// The sequence lock of base/current_phase.h.
#include "base/current_phase.h"

#include <cstring>

namespace batchscope {
namespace {

constexpr int most_reads = 1000;  // a write takes some tens of nanoseconds

// Release and acquire in place of fences, which ThreadSanitizer does not know: who sees a new word sees an odd
// sequence.
template <std::size_t words>
void store(std::array<std::atomic<std::uint64_t>, words>& out, std::string_view text) {
  std::array<std::uint64_t, words> padded{};
  text.copy(reinterpret_cast<char*>(padded.data()), sizeof padded);  // an empty text may have no memory
  for (std::size_t i = 0; i < words; ++i) out[i].store(padded[i], std::memory_order_release);
}

template <std::size_t words>
std::array<std::uint64_t, words> load(const std::array<std::atomic<std::uint64_t>, words>& in) {
  std::array<std::uint64_t, words> out{};
  for (std::size_t i = 0; i < words; ++i) out[i] = in[i].load(std::memory_order_acquire);
  return out;
}

template <std::size_t words>
std::string text_of(const std::array<std::uint64_t, words>& padded) {
  const auto* text = reinterpret_cast<const char*>(padded.data());
  return {text, strnlen(text, sizeof padded)};
}

}  // namespace

void CurrentPhase::show(std::string_view name, std::string_view detail, Nanoseconds begin) {
  const std::uint64_t sequence = sequence_.load(std::memory_order_relaxed);
  sequence_.store(sequence + 1, std::memory_order_relaxed);
  begin_.store(begin.count(), std::memory_order_release);
  store(name_, name);
  store(detail_, detail);
  sequence_.store(sequence + 2, std::memory_order_release);
}

std::optional<CurrentPhase::State> CurrentPhase::read() const {
  for (int i = 0; i < most_reads; ++i) {
    const std::uint64_t sequence = sequence_.load(std::memory_order_acquire);
    const Nanoseconds begin(begin_.load(std::memory_order_acquire));
    const auto name = load(name_);
    const auto detail = load(detail_);
    if (sequence % 2 != 0 || sequence_.load(std::memory_order_relaxed) != sequence) continue;
    if (name[0] == 0) return std::nullopt;
    return State{.name = text_of(name), .detail = text_of(detail), .begin = begin};
  }
  return std::nullopt;
}

}  // namespace batchscope
