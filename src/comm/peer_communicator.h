// Collectives of GPUs, by kernels of our own. Ranks that reach each other's device memory read and write where the
// peers' tensors lie. Others go through staging areas: in the host's memory, where bytes are to go over PCIe, or in
// each rank's device memory, which other processes map. An all-reduce is two-shot: each rank reduces its part of what
// all have, and all get the result; of a few rows, which take as long as the ranks' meeting, one-shot: each reduces
// all. Here is what they cost and who says so; the kernels are behind CollectiveKernels (comm/cuda).
#pragma once

#include <functional>
#include <memory>

#include "comm/communicator.h"
#include "device/link.h"

namespace batchscope {

// What the kernels of one rank of one group do; enqueued, in the device's order.
class CollectiveKernels {
 public:
  virtual ~CollectiveKernels() = default;
  virtual void all_reduce(const Tensor& x, Reduce reduce) = 0;
  virtual void all_gather(const Tensor& all) = 0;
  virtual void send(const Tensor& x, int peer) = 0;
  virtual void recv(const Tensor& x, int peer) = 0;
  virtual void barrier() = 0;
};

// On the peers' tensors themselves.
class PeerKernels : public CollectiveKernels {
 public:
  enum class Shots { one, two };
  virtual void all_reduce_add(const Tensor& x, const Tensor& y, Shots shots) = 0;
  virtual void all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                                       const Tensor& out, Shots shots) = 0;
};

// Where ranks of a group leave pointers and flags for each other, in each one's device memory.
std::int64_t mailbox_bytes(int ranks);

// Rows of a fused all-reduce, or units of 16 bytes of a plain one, that a rank reduces.
Chunk peer_part(std::int64_t total, int ranks, int rank);

class PeerCommunicator : public Communicator {
 public:
  struct Kernels {
    std::unique_ptr<PeerKernels> direct;
    std::unique_ptr<CollectiveKernels> staged_on_device, staged_on_host;
  };
  // Takes its mailbox from the arena's current scope. `by_processes`: peers' device memory is not reached directly.
  // `link`: of the run, looked at in each call: PCIe stages on the host. `make_kernels`: of the mailbox, those that
  // will be needed; absent: nothing moves, calls are planned.
  using MakeKernels = std::function<Kernels(const Tensor& mailbox)>;
  PeerCommunicator(std::vector<int> members, int rank, Device& device, Ledger& ledger, bool by_processes,
                   const LinkSpec& link, const MakeKernels& make_kernels);

 private:
  Moved do_all_reduce(const Tensor& x, Reduce reduce) override;
  Moved do_all_gather(const Tensor& all) override;
  Moved do_send(const Tensor& x, int peer) override;
  Moved do_recv(const Tensor& x, int peer) override;
  void do_barrier() override;
  Moved do_all_reduce_add(const Tensor& x, const Tensor& y) override;
  Moved do_all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                                   const Tensor& out) override;
  bool is_on_host() const { return link_.kind == LinkKind::pcie; }
  bool is_staged() const { return is_on_host() || by_processes_; }
  CollectiveKernels* kernels() const;  // null: planned
  PeerKernels::Shots shots_for(const Tensor& y) const;
  Moved fused_reduction(const Tensor& y, PeerKernels::Shots shots) const;
  // Of an all-reduce of `total` units, this rank's part read from all and written to all.
  Traffic two_shot(std::int64_t total, std::int64_t unit_bytes) const;

  const bool by_processes_;
  const LinkSpec& link_;
  Kernels kernels_;
};

}  // namespace batchscope
