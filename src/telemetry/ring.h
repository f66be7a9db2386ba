// Readings on their way from a sampling thread to the thread that stores them: one producer, one consumer, no lock.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "telemetry/counter.h"

namespace batchscope {

// One reading of one group.
struct Tick {
  std::int64_t group = 0;  // CounterGroup::id
  Nanoseconds before{0}, after{0};
  std::uint64_t are_exact = 0;  // of Rows::add
  std::uint64_t readings = 0;   // how many follow
};

class TickRing {
 public:
  explicit TickRing(std::size_t bytes) : words_(std::bit_ceil(bytes / sizeof(std::uint64_t))) {}

  // False when there is no room: the reading is lost, the producer never waits.
  bool push(const Tick& tick, std::span<const Reading> readings) {
    const auto head = head_.load(std::memory_order_relaxed);
    if (head + words_of(tick) - tail_.load(std::memory_order_acquire) > words_.size()) return false;
    std::uint64_t at = head;
    put(at, &tick, tick_words);
    for (const Reading& reading : readings) put(at, &reading, reading_words);
    head_.store(at, std::memory_order_release);
    return true;
  }

  // Takes the oldest one; false when there is none. `readings` keeps its memory from call to call.
  bool pop(Tick& tick, std::vector<Reading>& readings) {
    std::uint64_t at = tail_.load(std::memory_order_relaxed);
    if (at == head_.load(std::memory_order_acquire)) return false;
    get(at, &tick, tick_words);
    readings.resize(tick.readings);
    for (Reading& reading : readings) get(at, &reading, reading_words);
    tail_.store(at, std::memory_order_release);
    return true;
  }

 private:
  static constexpr std::size_t tick_words = sizeof(Tick) / sizeof(std::uint64_t);
  static constexpr std::size_t reading_words = sizeof(Reading) / sizeof(std::uint64_t);
  static_assert(sizeof(Tick) == 40 && sizeof(Reading) == 32);

  static std::uint64_t words_of(const Tick& tick) { return tick_words + tick.readings * reading_words; }
  void put(std::uint64_t& at, const void* from, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i, ++at)
      std::memcpy(&words_[at & (words_.size() - 1)], static_cast<const std::byte*>(from) + 8 * i, 8);
  }
  void get(std::uint64_t& at, void* to, std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i, ++at)
      std::memcpy(static_cast<std::byte*>(to) + 8 * i, &words_[at & (words_.size() - 1)], 8);
  }

  std::vector<std::uint64_t> words_;
  alignas(64) std::atomic<std::uint64_t> head_{0};  // words ever written
  alignas(64) std::atomic<std::uint64_t> tail_{0};  // words ever read
};

}  // namespace batchscope
