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
  // `directory`, `mailbox` (of this rank and group; the part that is for staging), `counters` and `aborted` as
  // CudaPeerKernels has them. `place`: where all the areas lie.
  StagedKernels(const CudaContext& context, const PeerGpus& gpus, Place place, const StagingDirectory& directory,
                PeerMailbox* mailbox, std::vector<int> members, int rank, PeerCounters* counters, const int* aborted)
      : context_(context),
        gpus_(gpus),
        place_(place),
        directory_(directory),
        mailbox_(mailbox),
        members_(std::move(members)),
        rank_(rank),
        counters_(counters),
        aborted_(aborted) {}

  void all_reduce(const Tensor& x, Reduce reduce) override;
  void all_gather(const Tensor& all) override;
  void send(const Tensor& x, int peer) override;
  void recv(const Tensor& x, int peer) override;
  void barrier() override;

 private:
  StagedGroup group() const;
  int size() const { return static_cast<int>(members_.size()); }
  unsigned blocks_for(std::int64_t work) const;

  const CudaContext& context_;
  const PeerGpus gpus_;
  const Place place_;
  const StagingDirectory& directory_;
  PeerMailbox* mailbox_;
  std::vector<int> members_;
  int rank_;
  PeerCounters* counters_;
  const int* aborted_;
};

}  // namespace batchscope
