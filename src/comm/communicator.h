// What ranks of one group say to each other, in order with the device's ops and never waiting for the host where the device
// has an order of its own. Every call goes into the ledger with what its algorithm's formula predicts and, where a
// transport counts, what it counted. A group of one returns at once, so a layer's code is the same for 1 and N.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "comm/ledger.h"
#include "comm/ring.h"
#include "device/device.h"

namespace batchscope {

enum class Reduce { sum, max };

class Communicator {
 public:
  // `members` are the layout's ranks of this group, in ring order; this one is members[rank].
  Communicator(std::vector<int> members, int rank, Device& device, Ledger& ledger)
      : members_(std::move(members)), rank_(rank), device_(device), ledger_(ledger) {}
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(members_.size()); }

  // `phase` names the work in the ledger. Tensors are contiguous.
  // x = reduction of x over the group, bitwise the same on every rank.
  void all_reduce(const Tensor& x, Reduce reduce, std::string_view phase);
  // all [size * rows, columns] gets every rank's part [rows, columns]; this rank's lies in its place already.
  void all_gather(const Tensor& all, std::string_view phase);
  // Between pipeline neighbours: `peer` is a rank of the group.
  void send(const Tensor& x, int peer, std::string_view phase);
  void recv(const Tensor& x, int peer, std::string_view phase);
  // x of rank `root` reaches every rank, passed along the ring.
  void broadcast(const Tensor& x, int root, std::string_view phase);
  // What follows on any rank's device happens after what came before on all of them.
  void barrier();

  // y summed over the group, x += y, out = rms_norm(x). out may be y. In a group of one it is add_rms_norm. Rows of x may
  // be up to date on one rank only, until all_reduce_add().
  void all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon, const Tensor& out,
                               std::string_view phase);
  // y summed over the group, x += y, on all ranks alike.
  void all_reduce_add(const Tensor& x, const Tensor& y, std::string_view phase);

 protected:
  // What this rank sent and received in a call; `counted` absent: nobody counted.
  struct Moved {
    std::string_view algorithm;
    Traffic predicted;
    std::optional<Traffic> counted;
  };
  int wrap(int index) const { return (index % size() + size()) % size(); }
  int member(int rank) const { return members_[static_cast<std::size_t>(wrap(rank))]; }
  int self() const { return member(rank_); }

 private:
  // In groups of two and more.
  virtual Moved do_all_reduce(const Tensor& x, Reduce reduce) = 0;
  virtual Moved do_all_gather(const Tensor& all) = 0;
  virtual Moved do_send(const Tensor& x, int peer) = 0;
  virtual Moved do_recv(const Tensor& x, int peer) = 0;
  virtual void do_barrier() = 0;
  virtual Moved do_all_reduce_add(const Tensor& x, const Tensor& y) = 0;
  virtual Moved do_all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                                           const Tensor& out) = 0;
  // Has `enqueue` (→ Moved) done and tells the ledger and the device's observer of it.
  template <class Enqueue>
  void call(std::string_view collective, std::string_view phase, std::int64_t payload, const Enqueue& enqueue);

  std::vector<int> members_;
  int rank_;

 protected:
  Device& device_;
  Ledger& ledger_;
};

}  // namespace batchscope
