// CollectiveKernels by way of staging areas.
#pragma once

#include <array>
#include <vector>

#include "comm/cuda/peer_kernels.h"

namespace batchscope {

// By rank of the group; each rank's own among them.
using StagingDirectory = std::array<StagingArea*, most_peers>;

struct StagedGroup;  // as kernels take it

class StagedKernels : public CollectiveKernels {
 public:
  enum class Place { host, device };
  // `directory` and `mailbox` (of this rank and group; the part that is for staging) outlive it. `place`: where all the
  // areas lie.
  StagedKernels(PeerRank self, Place place, const StagingDirectory& directory, PeerMailbox* mailbox)
      : self_(std::move(self)), place_(place), directory_(directory), mailbox_(mailbox) {}

  void all_reduce(const Tensor& x, Reduce reduce) override;
  void all_gather(const Tensor& all) override;
  void send(const Tensor& x, int peer) override;
  void recv(const Tensor& x, int peer) override;
  void barrier() override;

 private:
  StagedGroup group() const;
  unsigned blocks_for(std::int64_t work) const;

  const PeerRank self_;
  const Place place_;
  const StagingDirectory& directory_;
  PeerMailbox* mailbox_;
};

}  // namespace batchscope
