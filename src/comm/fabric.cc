// The fabric of threads: one channel a direction, links that count and pace.
#include "comm/fabric.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace batchscope {
namespace {

// A link sleeps only once it owes this much: shorter sleeps last longer than asked for.
constexpr Nanoseconds largest_debt = std::chrono::microseconds(300);

}  // namespace

Fabric::Fabric(std::vector<VirtualDeviceCounters*> counters, Clock& clock)
    : counters_(std::move(counters)),
      clock_(clock),
      channels_(counters_.size() * counters_.size()),
      link_free_at_(counters_.size()) {}

void Fabric::post(int from, int to, const std::byte* data, std::int64_t bytes) {
  Channel& c = channel(from, to);
  const std::lock_guard lock(c.mutex);
  if (c.aborted) throw PeerFailed();
  CHECK_THAT(!c.posted, "rank {} waits for rank {} to take a message before it posts the next", from, to);
  c.data = data;
  c.bytes = bytes;
  c.posted = true;
  c.changed.notify_all();
}

Nanoseconds Fabric::take(int from, int to, std::byte* out, std::int64_t bytes) {
  Channel& c = channel(from, to);
  const Nanoseconds begin = clock_.now();
  std::unique_lock lock(c.mutex);
  c.changed.wait(lock, [&] { return c.posted || c.aborted; });
  if (c.aborted) throw PeerFailed();
  const Nanoseconds waited = clock_.now() - begin;
  CHECK_EQUAL(c.bytes, bytes, "sender and receiver agree on a message's size");
  lock.unlock();  // the sender leaves its bytes alone until `posted` is false
  if (bytes > 0) std::memcpy(out, c.data, static_cast<std::size_t>(bytes));
  count(from, to, bytes);
  pace(to, bytes);
  lock.lock();
  c.posted = false;
  c.changed.notify_all();
  return waited;
}

void Fabric::await_taken(int from, int to) {
  Channel& c = channel(from, to);
  std::unique_lock lock(c.mutex);
  c.changed.wait(lock, [&] { return !c.posted || c.aborted; });
  if (c.aborted) throw PeerFailed();
}

void Fabric::abort() {
  for (Channel& c : channels_) {
    const std::lock_guard lock(c.mutex);
    c.aborted = true;
    c.changed.notify_all();
  }
}

void Fabric::reset() {
  for (Channel& c : channels_) {
    const std::lock_guard lock(c.mutex);
    c.aborted = false;
    c.posted = false;
  }
}

void Fabric::count(int from, int to, std::int64_t bytes) {
  if (auto* sender = counters_[static_cast<std::size_t>(from)]) sender->link_tx_bytes += bytes;
  if (auto* receiver = counters_[static_cast<std::size_t>(to)]) receiver->link_rx_bytes += bytes;
}

void Fabric::pace(int to, std::int64_t bytes) {
  if (!link_.bytes_per_second || bytes == 0) return;
  Nanoseconds& free_at = link_free_at_[static_cast<std::size_t>(to)];
  const Nanoseconds now = clock_.now();
  free_at = std::max(free_at, now) + link_.latency + from_seconds(static_cast<double>(bytes) / *link_.bytes_per_second);
  if (free_at - now > largest_debt) clock_.sleep_until(free_at);
}

}  // namespace batchscope
