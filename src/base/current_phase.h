// What someone does now, for others to look at while it lasts, in this process or, through shared memory, in another.
// A sequence lock whose data are lock-free atomics too (Boehm 2012: "Can seqlocks get along with programming language
// memory models?"): the writer never waits, the reader never sees half of one phase and half of another.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace batchscope {

class CurrentPhase {
 public:
  static constexpr std::size_t name_bytes = 32, detail_bytes = 80;  // what is longer is cut

  struct State {
    std::string name{};    // as in Phase
    std::string detail{};  // as in Phase, of what is known before the end
    Nanoseconds begin{0};  // CLOCK_MONOTONIC
  };

  // By one thread at a time.
  void show(std::string_view name, std::string_view detail, Nanoseconds begin);
  void clear() { show({}, {}, Nanoseconds(0)); }

  // Any thread, at any time. Absent when nothing is done, and when the writer was stopped or killed while it wrote.
  std::optional<State> read() const;

 private:
  using Word = std::atomic<std::uint64_t>;
  static_assert(Word::is_always_lock_free);

  Word sequence_{0};  // odd while the rest is written
  std::atomic<std::int64_t> begin_{0};
  std::array<Word, name_bytes / sizeof(Word)> name_{};
  std::array<Word, detail_bytes / sizeof(Word)> detail_{};
};

}  // namespace batchscope
