// Traffic of collectives over peers' memory (comm/peer_communicator.h). Who reads, receives what the other sends.
#include "comm/peer_communicator.h"

#include "comm/peer_mailbox.h"

namespace batchscope {

std::int64_t mailbox_bytes(int ranks) { return ranks > 1 ? static_cast<std::int64_t>(sizeof(PeerMailbox)) : 0; }

Chunk peer_part(std::int64_t total, int ranks, int rank) { return ring_chunk(total, ranks, rank); }

PeerCommunicator::PeerCommunicator(std::vector<int> members, int rank, Device& device, Ledger& ledger,
                                   const MakeKernels& make_kernels)
    : Communicator(std::move(members), rank, device, ledger) {
  if (size() == 1) return;
  const Tensor mailbox = device.arena().allocate("mailbox", MemoryUse::communication, DType::i32, 1,
                                                 mailbox_bytes(size()) / size_of(DType::i32));
  if (make_kernels) kernels_ = make_kernels(mailbox);
}

Traffic PeerCommunicator::two_shot(std::int64_t total, std::int64_t unit_bytes) const {
  const std::int64_t mine = peer_part(total, size(), rank()).count;
  const std::int64_t moved = ((size() - 1) * mine + total - mine) * unit_bytes;
  return {moved, moved};
}

Communicator::Moved PeerCommunicator::do_all_reduce(const Tensor& x, Reduce reduce) {
  if (kernels_ != nullptr) kernels_->all_reduce(x, reduce);
  constexpr std::int64_t unit = peer_unit_bytes;
  // The last unit may be a part of one; whoever has it moves less.
  const std::int64_t units = (x.bytes() + unit - 1) / unit, missing = units * unit - x.bytes();
  Traffic traffic = two_shot(units, unit);
  const bool has_last = peer_part(units, size(), rank()).begin + peer_part(units, size(), rank()).count == units &&
                        peer_part(units, size(), rank()).count > 0;
  const std::int64_t less = missing * (has_last ? size() - 1 : 1);
  traffic.tx_bytes -= less;
  traffic.rx_bytes -= less;
  return {"two-shot", traffic, {}};
}

Communicator::Moved PeerCommunicator::do_all_gather(const Tensor& all) {
  if (kernels_ != nullptr) kernels_->all_gather(all);
  return {"push", ring_all_gather_traffic(all.bytes() / size(), size()), {}};
}

Communicator::Moved PeerCommunicator::do_send(const Tensor& x, int peer) {
  if (kernels_ != nullptr) kernels_->send(x, peer);
  return {"pull", {x.bytes(), 0}, {}};
}

Communicator::Moved PeerCommunicator::do_recv(const Tensor& x, int peer) {
  if (kernels_ != nullptr) kernels_->recv(x, peer);
  return {"pull", {0, x.bytes()}, {}};
}

void PeerCommunicator::do_barrier() {
  if (kernels_ != nullptr) kernels_->barrier();
}

Communicator::Moved PeerCommunicator::do_all_reduce_add(const Tensor& x, const Tensor& y) {
  if (kernels_ != nullptr) kernels_->all_reduce_add(x, y);
  return {"two-shot", two_shot(y.rows, y.columns * size_of(y.dtype)), {}};
}

Communicator::Moved PeerCommunicator::do_all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight,
                                                                 float epsilon, const Tensor& out) {
  if (kernels_ != nullptr) kernels_->all_reduce_add_rms_norm(x, y, weight, epsilon, out);
  return {"two-shot", two_shot(y.rows, y.columns * size_of(y.dtype)), {}};
}

}  // namespace batchscope
