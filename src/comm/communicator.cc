// What all communicators have in common: groups of one, checks, the ledger.
#include "comm/communicator.h"

#include "base/check.h"
#include "ops/elementwise.h"
#include "ops/norm.h"

namespace batchscope {
namespace {

void check_contiguous(const Tensor& x) {
  CHECK_THAT(x.contiguous(), "collectives work on contiguous tensors, this one has a stride of {} for {}", x.stride,
             x.columns);
}

}  // namespace

template <class Enqueue>
void Communicator::call(std::string_view collective, std::string_view phase, std::int64_t payload,
                        const Enqueue& enqueue) {
  if (device_.is_preparing()) return;
  const Device::Launch begin = device_.begin_launch();
  const Moved moved = enqueue();
  LedgerEntry entry{.rank = self(),
                    .collective = std::string(collective),
                    .algorithm = std::string(moved.algorithm),
                    .phase = std::string(phase),
                    .ranks = size(),
                    .calls = 1,
                    .payload_bytes = payload,
                    .predicted_tx_bytes = moved.predicted.tx_bytes,
                    .predicted_rx_bytes = moved.predicted.rx_bytes};
  if (moved.counted) {
    entry.counted_tx_bytes = moved.counted->tx_bytes;
    entry.counted_rx_bytes = moved.counted->rx_bytes;
  }
  ledger_.add(entry);
  device_.end_collective(begin, [&] {
    return CollectiveWork{entry.collective, entry.algorithm,           entry.phase,             entry.ranks,
                          payload,          entry.predicted_tx_bytes, entry.predicted_rx_bytes};
  });
}

void Communicator::all_reduce(const Tensor& x, Reduce reduce, std::string_view phase) {
  check_contiguous(x);
  if (size() > 1) call("all_reduce", phase, x.bytes(), [&] { return do_all_reduce(x, reduce); });
}

void Communicator::all_gather(const Tensor& all, std::string_view phase) {
  if (size() == 1) return;
  check_contiguous(all);
  CHECK_EQUAL(all.rows % size(), 0, "every rank has the same part");
  call("all_gather", phase, all.bytes(), [&] { return do_all_gather(all); });
}

void Communicator::send(const Tensor& x, int peer, std::string_view phase) {
  check_contiguous(x);
  call("send", phase, x.bytes(), [&] { return do_send(x, peer); });
}

void Communicator::recv(const Tensor& x, int peer, std::string_view phase) {
  check_contiguous(x);
  call("recv", phase, x.bytes(), [&] { return do_recv(x, peer); });
}

void Communicator::broadcast(const Tensor& x, int root, std::string_view phase) {
  if (rank_ != root) recv(x, wrap(rank_ - 1), phase);
  if (wrap(rank_ + 1) != root) send(x, wrap(rank_ + 1), phase);
}

void Communicator::barrier() {
  if (size() > 1 && !device_.is_preparing()) do_barrier();
}

void Communicator::all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                                           const Tensor& out, std::string_view phase) {
  if (size() == 1) return add_rms_norm(device_, x, y, weight, epsilon, out);
  check_contiguous(y);
  call("all_reduce_add_rms_norm", phase, y.bytes(), [&] { return do_all_reduce_add_rms_norm(x, y, weight, epsilon, out); });
}

void Communicator::all_reduce_add(const Tensor& x, const Tensor& y, std::string_view phase) {
  if (size() == 1) return add(device_, x, y);
  check_contiguous(y);
  call("all_reduce_add", phase, y.bytes(), [&] { return do_all_reduce_add(x, y); });
}

}  // namespace batchscope
