// The transport of ranks that are processes: messages of MPI, whose own counts are the ones that count.
#pragma once

#include "comm/process_world.h"
#include "comm/virtual_links.h"

namespace batchscope {

class MpiTransport : public Transport {
 public:
  // Links of ranks that are elsewhere are counted there.
  MpiTransport(ProcessWorld& world, std::vector<VirtualDeviceCounters*> counters, Clock& clock)
      : world_(world), links_(std::move(counters), clock) {}

  void post(int from, int to, const std::byte* data, std::int64_t bytes) override;
  Taken take(int from, int to, std::byte* out, std::int64_t bytes) override;
  std::int64_t await_taken(int from, int to) override;
  void set_link(const LinkSpec& link) override { links_.set(link); }
  void abort() override { world_.abort(); }
  void reset() override {}  // World::settle() has

 private:
  ProcessWorld& world_;
  VirtualLinks links_;
};

}  // namespace batchscope
