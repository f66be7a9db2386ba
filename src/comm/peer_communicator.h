// Collectives of ranks that can reach each other's device memory: kernels of our own that read and write where the peers'
// tensors lie. An all-reduce is two-shot: each rank reduces its part of what all have and writes the result to all. Here is
// what they cost and who says so; the kernels are behind PeerKernels (comm/cuda).
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace batchscope {

// What the kernels of one rank of one group do; enqueued, in the device's order.
class PeerKernels {
 public:
  virtual ~PeerKernels() = default;
  virtual void all_reduce(const Tensor& x, Reduce reduce) = 0;
  virtual void all_gather(const Tensor& all) = 0;
  virtual void send(const Tensor& x, int peer) = 0;
  virtual void recv(const Tensor& x, int peer) = 0;
  virtual void barrier() = 0;
  virtual void all_reduce_add(const Tensor& x, const Tensor& y) = 0;
  virtual void all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                                       const Tensor& out) = 0;
};

// Where ranks of a group leave pointers and flags for each other, in each one's device memory.
std::int64_t mailbox_bytes(int ranks);

// Rows of a fused all-reduce, or units of 16 bytes of a plain one, that a rank reduces.
Chunk peer_part(std::int64_t total, int ranks, int rank);

class PeerCommunicator : public Communicator {
 public:
  // Takes its mailbox from the arena's current scope. `kernels`: made of the mailbox; absent: nothing moves, calls are
  // planned.
  using MakeKernels = std::function<std::unique_ptr<PeerKernels>(const Tensor& mailbox)>;
  PeerCommunicator(std::vector<int> members, int rank, Device& device, Ledger& ledger, const MakeKernels& make_kernels);

 private:
  Moved do_all_reduce(const Tensor& x, Reduce reduce) override;
  Moved do_all_gather(const Tensor& all) override;
  Moved do_send(const Tensor& x, int peer) override;
  Moved do_recv(const Tensor& x, int peer) override;
  void do_barrier() override;
  Moved do_all_reduce_add(const Tensor& x, const Tensor& y) override;
  Moved do_all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                                   const Tensor& out) override;
  // Of an all-reduce of `total` units, this rank's part read from all and written to all.
  Traffic two_shot(std::int64_t total, std::int64_t unit_bytes) const;

  std::unique_ptr<PeerKernels> kernels_;
};

}  // namespace batchscope
