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

class CudaPeerKernels : public PeerKernels {
 public:
  // `directory` and `counters` (of this rank, on its device, by rank of the layout) outlive it, as does `aborted`, a word
  // of the host's memory. `members`: the group's ranks in the layout.
  CudaPeerKernels(const CudaContext& context, const PeerGpus& gpus, const PeerDirectory& directory,
                  std::vector<int> members, int rank, PeerCounters* counters, const int* aborted)
      : context_(context),
        gpus_(gpus),
        directory_(directory),
        members_(std::move(members)),
        rank_(rank),
        counters_(counters),
        aborted_(aborted) {}

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
  int size() const { return static_cast<int>(members_.size()); }
  void reduce_rows(const Tensor& x, const Tensor& y, const Tensor* weight, float epsilon, const Tensor& out,
                   Shots shots);

  const CudaContext& context_;
  const PeerGpus gpus_;
  const PeerDirectory& directory_;
  std::vector<int> members_;
  int rank_;
  PeerCounters* counters_;
  const int* aborted_;
};

}  // namespace batchscope
