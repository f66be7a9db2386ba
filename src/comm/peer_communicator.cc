// Traffic of collectives of GPUs (comm/peer_communicator.h). Who reads, receives what the other sends; what goes
// through the host's memory is sent once, by whoever writes it, and received by each who reads it.
#include "comm/peer_communicator.h"

#include "comm/peer_mailbox.h"
#include "ops/elementwise.h"
#include "ops/norm.h"

namespace batchscope {

std::int64_t mailbox_bytes(int ranks) {
  return ranks > 1 ? static_cast<std::int64_t>(sizeof(PeerMailbox)) + pushed_bytes(ranks) : 0;
}

Chunk peer_part(std::int64_t total, int ranks, int rank) { return ring_chunk(total, ranks, rank); }

PeerCommunicator::PeerCommunicator(std::vector<int> members, int rank, Device& device, Ledger& ledger,
                                   bool by_processes, const LinkSpec& link, const MakeKernels& make_kernels)
    : Communicator(std::move(members), rank, device, ledger), by_processes_(by_processes), link_(link) {
  if (size() == 1) return;
  const Tensor mailbox = device.arena().allocate("mailbox", MemoryUse::communication, DType::i32, 1,
                                                 mailbox_bytes(size()) / size_of(DType::i32));
  if (make_kernels) kernels_ = make_kernels(mailbox);
}

CollectiveKernels* PeerCommunicator::kernels() const {
  if (is_on_host()) return kernels_.staged_on_host.get();
  return by_processes_ ? kernels_.staged_on_device.get() : kernels_.direct.get();
}

Traffic PeerCommunicator::two_shot(std::int64_t total, std::int64_t unit_bytes) const {
  const std::int64_t mine = peer_part(total, size(), rank()).count;
  const std::int64_t moved = ((size() - 1) * mine + total - mine) * unit_bytes;
  return {moved, moved};
}

Communicator::Moved PeerCommunicator::do_all_reduce(const Tensor& x, Reduce reduce) {
  if (kernels() != nullptr) kernels()->all_reduce(x, reduce);
  constexpr std::int64_t unit = peer_unit_bytes;
  // The last unit may be a part of one; whoever has it moves less.
  const std::int64_t units = (x.bytes() + unit - 1) / unit, missing = units * unit - x.bytes();
  Traffic traffic = two_shot(units, unit);
  const bool has_last = peer_part(units, size(), rank()).begin + peer_part(units, size(), rank()).count == units &&
                        peer_part(units, size(), rank()).count > 0;
  const std::int64_t less = missing * (has_last ? size() - 1 : 1);
  traffic.tx_bytes -= less;
  traffic.rx_bytes -= less;
  if (is_on_host()) traffic.tx_bytes = x.bytes();
  return {is_staged() ? "two-shot, staged" : "two-shot", traffic, {}};
}

Communicator::Moved PeerCommunicator::do_all_gather(const Tensor& all) {
  if (kernels() != nullptr) kernels()->all_gather(all);
  Traffic traffic = ring_all_gather_traffic(all.bytes() / size(), size());
  if (is_on_host()) traffic.tx_bytes = all.bytes() / size();
  return {is_staged() ? "staged" : "push", traffic, {}};
}

Communicator::Moved PeerCommunicator::do_send(const Tensor& x, int peer) {
  if (kernels() != nullptr) kernels()->send(x, peer);
  return {is_staged() ? "staged" : "pull", {x.bytes(), 0}, {}};
}

Communicator::Moved PeerCommunicator::do_recv(const Tensor& x, int peer) {
  if (kernels() != nullptr) kernels()->recv(x, peer);
  return {is_staged() ? "staged" : "pull", {0, x.bytes()}, {}};
}

void PeerCommunicator::do_barrier() {
  if (kernels() != nullptr) kernels()->barrier();
}

Communicator::Moved PeerCommunicator::do_all_reduce_add(const Tensor& x, const Tensor& y) {
  if (is_staged()) {
    const Moved moved = do_all_reduce(y, Reduce::sum);
    add(device_, x, y);
    return moved;
  }
  const PeerKernels::Shots shots = shots_for(y);
  if (kernels_.direct != nullptr) kernels_.direct->all_reduce_add(x, y, shots);
  return fused_reduction(y, shots);
}

Communicator::Moved PeerCommunicator::do_all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight,
                                                                 float epsilon, const Tensor& out) {
  if (is_staged()) {
    const Moved moved = do_all_reduce(y, Reduce::sum);
    add_rms_norm(device_, x, y, weight, epsilon, out);
    return moved;
  }
  const PeerKernels::Shots shots = shots_for(y);
  if (kernels_.direct != nullptr) kernels_.direct->all_reduce_add_rms_norm(x, y, weight, epsilon, out, shots);
  return fused_reduction(y, shots);
}

// All ranks decide alike, and alike throughout a step: afterwards x is up to date on all of them, or each row on one.
PeerKernels::Shots PeerCommunicator::shots_for(const Tensor& y) const {
  const bool fits =
      y.bytes() * (size() - 1) <= most_pushed_bytes && y.columns * size_of(y.dtype) % pushed_line_data_bytes == 0;
  return fits ? PeerKernels::Shots::one : PeerKernels::Shots::two;
}

Communicator::Moved PeerCommunicator::fused_reduction(const Tensor& y, PeerKernels::Shots shots) const {
  if (shots == PeerKernels::Shots::two) return {"two-shot", two_shot(y.rows, y.columns * size_of(y.dtype)), {}};
  const std::int64_t lines = y.bytes() / pushed_line_data_bytes * (size() - 1);
  const std::int64_t moved = lines * static_cast<std::int64_t>(sizeof(PushedLine));
  return {"one-shot", {moved, moved}, {}};
}

}  // namespace batchscope
