// The process's own end of each message (comm/mpi_transport.h).
#include "comm/mpi_transport.h"

#include "base/check.h"

namespace batchscope {

void MpiTransport::post(int from, int to, const std::byte* data, std::int64_t bytes) {
  CHECK_EQUAL(from, world_.first(), "a process sends as itself");
  world_.post(to, data, bytes);
}

Transport::Taken MpiTransport::take(int from, int to, std::byte* out, std::int64_t bytes) {
  CHECK_EQUAL(to, world_.first(), "a process receives as itself");
  const Taken taken = world_.take(from, out, bytes);
  links_.count_received(to, taken.bytes);
  links_.pace(to, taken.bytes);
  return taken;
}

std::int64_t MpiTransport::await_taken(int from, int to) {
  const std::int64_t bytes = world_.await_posted(to);
  links_.count_sent(from, bytes);
  return bytes;
}

}  // namespace batchscope
