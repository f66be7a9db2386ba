// PeerKernels on GPUs of one process.
#pragma once

#include <array>
#include <vector>

#include "comm/peer_communicator.h"
#include "comm/peer_mailbox.h"
#include "device/cuda/context.h"

namespace batchscope {

// What a group's kernels need of its members: filled in by each rank, read by all once all are there.
using PeerDirectory = std::array<PeerMailbox*, most_peers>;

struct PeerGroup;  // as kernels take it

// What kernels that wait for each other may take of the GPUs: all of a group launch as many blocks, which run at once
// with room to spare where ranks share a GPU.
struct PeerGpus {
  int multiprocessors = 0;  // of the smallest GPU, for one rank
  int sharers = 1;          // the most ranks of one GPU
};

// One rank of a group, as its kernels know it; what it refers to outlives them.
struct PeerRank {
  const CudaContext& context;
  PeerGpus gpus;
  std::vector<int> members;  // the group's ranks in the layout
  int rank;                  // of the group
  PeerCounters* counters;    // this rank's, on its device, by rank of the layout
  const int* aborted;        // a word of the host's memory
  int size() const { return static_cast<int>(members.size()); }
};

class CudaPeerKernels : public PeerKernels {
 public:
  // `directory` outlives it.
  CudaPeerKernels(PeerRank self, const PeerDirectory& directory) : self_(std::move(self)), directory_(directory) {}

  void all_reduce(const Tensor& x, Reduce reduce) override;
  void all_gather(const Tensor& all) override;
  void send(const Tensor& x, int peer) override;
  void recv(const Tensor& x, int peer) override;
  void barrier() override;
  void all_reduce_add(const Tensor& x, const Tensor& y, Shots shots) override;
  void all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon, const Tensor& out,
                               Shots shots) override;

 private:
  PeerGroup group() const;
  void reduce_rows(const Tensor& x, const Tensor& y, const Tensor* weight, float epsilon, const Tensor& out,
                   Shots shots);

  const PeerRank self_;
  const PeerDirectory& directory_;
};

}  // namespace batchscope
