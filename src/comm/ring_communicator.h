// Ring collectives over a transport, by the calling thread.
#pragma once

#include "comm/communicator.h"
#include "comm/transport.h"

namespace batchscope {

// Time of one rank in communication, its waiting included; waiting for a pipeline's neighbour is idle time instead.
struct CommunicationTime {
  Nanoseconds communicate{0};
  Nanoseconds communicate_cpu{0};  // CPU time within it
  Nanoseconds idle{0};
};

class RingCommunicator : public Communicator {
 public:
  // Without a transport nothing moves: the same calls are planned.
  RingCommunicator(std::vector<int> members, int rank, Device& device, Ledger& ledger, Transport* transport,
                   CommunicationTime& time)
      : Communicator(std::move(members), rank, device, ledger), transport_(transport), time_(time) {}

 private:
  Moved do_all_reduce(const Tensor& x, Reduce reduce) override;
  Moved do_all_gather(const Tensor& all) override;
  Moved do_send(const Tensor& x, int peer) override;
  Moved do_recv(const Tensor& x, int peer) override;
  void do_barrier() override;
  Moved do_all_reduce_add(const Tensor& x, const Tensor& y) override;
  // Rows are normalised as the ring delivers them.
  Moved do_all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                                   const Tensor& out) override;

  // One step of a ring: `out` goes right, `in` comes from the left.
  Traffic exchange(const Tensor& out, const Tensor& in);
  template <class ChunkOf>
  Traffic ring_reduce(const ChunkOf& chunk, const Tensor& staging, Reduce reduce);
  template <class ChunkOf, class Arrived>
  Traffic ring_gather(const ChunkOf& chunk, int first_held, const Arrived& arrived);
  Moved ring(Traffic predicted, Traffic counted) const;

  Transport* transport_;
  CommunicationTime& time_;
};

}  // namespace batchscope
