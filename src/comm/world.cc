// Makes the world in which every rank is a thread of this process.
#include "comm/world.h"

#include <numeric>

#include "comm/thread_transport.h"

namespace batchscope {

HostGroup World::all_ranks(int rank) {
  std::vector<int> members(static_cast<std::size_t>(size()));
  std::iota(members.begin(), members.end(), 0);
  return group(std::move(members), rank);
}

std::unique_ptr<Transport> ThreadWorld::make_transport(std::vector<VirtualDeviceCounters*> counters, Clock& clock) {
  return std::make_unique<ThreadTransport>(std::move(counters), clock);
}

void ThreadWorld::settle(std::exception_ptr mine) {
  settled_failure_ = mine;
  if (!mine) return;
  messages_.reset();
  std::rethrow_exception(mine);
}

}  // namespace batchscope
