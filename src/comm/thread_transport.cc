// Carries messages between ranks that are threads, one channel a direction.
#include "comm/thread_transport.h"

#include <cstring>

#include "base/check.h"
#include "base/error.h"

namespace batchscope {

ThreadTransport::ThreadTransport(std::vector<VirtualDeviceCounters*> counters, Clock& clock)
    : links_(std::move(counters), clock), channels_(static_cast<std::size_t>(links_.ranks() * links_.ranks())) {}

void ThreadTransport::post(int from, int to, const std::byte* data, std::int64_t bytes) {
  Channel& c = channel(from, to);
  const std::lock_guard lock(c.mutex);
  if (c.aborted) throw PeerFailed();
  CHECK_THAT(!c.posted, "rank {} waits for rank {} to take a message before it posts the next", from, to);
  c.data = data;
  c.bytes = bytes;
  c.posted = true;
  c.changed.notify_all();
}

Transport::Taken ThreadTransport::take(int from, int to, std::byte* out, std::int64_t bytes) {
  Channel& c = channel(from, to);
  const Nanoseconds begin = links_.clock().now();
  std::unique_lock lock(c.mutex);
  c.changed.wait(lock, [&] { return c.posted || c.aborted; });
  if (c.aborted) throw PeerFailed();
  const Nanoseconds waited = links_.clock().now() - begin;
  if (c.bytes != bytes)
    throw Failure("rank {} expects {} bytes of rank {}, which sent {}: a message was lost or doubled", to, bytes, from,
                  c.bytes);
  lock.unlock();  // the sender leaves its bytes alone until `posted` is false
  if (bytes > 0) std::memcpy(out, c.data, static_cast<std::size_t>(bytes));
  links_.count_sent(from, bytes);
  links_.count_received(to, bytes);
  links_.pace(to, bytes);
  lock.lock();
  c.posted = false;
  c.changed.notify_all();
  return {bytes, waited};
}

std::int64_t ThreadTransport::await_taken(int from, int to) {
  Channel& c = channel(from, to);
  std::unique_lock lock(c.mutex);
  c.changed.wait(lock, [&] { return !c.posted || c.aborted; });
  if (c.aborted) throw PeerFailed();
  return c.bytes;
}

void ThreadTransport::abort() {
  for (Channel& c : channels_) {
    const std::lock_guard lock(c.mutex);
    c.aborted = true;
    c.changed.notify_all();
  }
}

void ThreadTransport::reset() {
  for (Channel& c : channels_) {
    const std::lock_guard lock(c.mutex);
    c.aborted = false;
    c.posted = false;
  }
}

}  // namespace batchscope
