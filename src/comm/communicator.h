// What ranks of one group say to each other. Every call goes into the ledger with what its algorithm's formula
// predicts and what the transport counted. A group of one returns at once, so a layer's code is the same for 1 and N.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "comm/fabric.h"
#include "comm/ledger.h"
#include "comm/ring.h"
#include "device/device.h"

namespace batchscope {

enum class Reduce { sum, max };

// Time of one rank in communication, its waiting included; waiting for a pipeline's neighbour is idle time instead.
struct CommunicationTime {
  Nanoseconds communicate{0};
  Nanoseconds communicate_cpu{0};  // CPU time within it
  Nanoseconds idle{0};
};

// Ring collectives over a fabric, in order with the device's ops. Without a fabric nothing moves: the same calls are
// planned. `phase` names the work in the ledger.
class Communicator {
 public:
  // `members` are the fabric's ranks of this group, in ring order; this one is members[rank].
  Communicator(std::vector<int> members, int rank, Device& device, Fabric* fabric, Ledger& ledger,
               CommunicationTime& time);

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(members_.size()); }

  // x = reduction of x over the group; contiguous. Bitwise the same on every rank.
  void all_reduce(const Tensor& x, Reduce reduce, std::string_view phase);
  // Leaves chunk (rank + 1) % size of x reduced, the rest is scratch; returns that chunk, in elements.
  Chunk reduce_scatter(const Tensor& x, Reduce reduce, std::string_view phase);
  // all [size * rows, columns] gets every rank's part [rows, columns]; this rank's lies in its place already.
  void all_gather(const Tensor& all, std::string_view phase);
  // Between pipeline neighbours: `peer` is a rank of the group.
  void send(const Tensor& x, int peer, std::string_view phase);
  void recv(const Tensor& x, int peer, std::string_view phase);
  // x of rank `root` reaches every rank, passed along the ring.
  void broadcast(const Tensor& x, int root, std::string_view phase);
  void barrier();

  // y summed over the group, x += y, out = rms_norm(x): rows are normalised as the ring delivers them. out may be y.
  // In a group of one it is add_rms_norm.
  void all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon, const Tensor& out,
                               std::string_view phase);

 private:
  int left() const { return members_[static_cast<std::size_t>((rank_ + size() - 1) % size())]; }
  int right() const { return members_[static_cast<std::size_t>((rank_ + 1) % size())]; }
  int self() const { return members_[static_cast<std::size_t>(rank_)]; }
  int wrap(int index) const { return (index % size() + size()) % size(); }

  // One step of a ring: `out` goes right, `in` comes from the left.
  Traffic exchange(const Tensor& out, const Tensor& in);
  template <class ChunkOf>
  Traffic ring_reduce(const ChunkOf& chunk, const Tensor& staging, Reduce reduce);
  template <class ChunkOf, class Arrived>
  Traffic ring_gather(const ChunkOf& chunk, int first_held, const Arrived& arrived);
  void record(std::string_view collective, std::string_view algorithm, std::string_view phase, std::int64_t payload,
              Traffic predicted, Traffic counted);

  std::vector<int> members_;
  int rank_;
  Device& device_;
  Fabric* fabric_;
  Ledger& ledger_;
  CommunicationTime& time_;
};

}  // namespace batchscope
