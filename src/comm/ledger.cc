// Adding up ledger entries.
#include "comm/ledger.h"

namespace batchscope {
namespace {

bool same_kind(const LedgerEntry& a, const LedgerEntry& b) {
  return a.rank == b.rank && a.collective == b.collective && a.algorithm == b.algorithm && a.phase == b.phase;
}

void accumulate(LedgerEntry& into, const LedgerEntry& entry, std::int64_t times) {
  into.calls += times * entry.calls;
  into.payload_bytes += times * entry.payload_bytes;
  into.predicted_tx_bytes += times * entry.predicted_tx_bytes;
  into.predicted_rx_bytes += times * entry.predicted_rx_bytes;
  into.counted_tx_bytes += times * entry.counted_tx_bytes;
  into.counted_rx_bytes += times * entry.counted_rx_bytes;
}

LedgerEntry& find_or_add(std::vector<LedgerEntry>& entries, const LedgerEntry& like) {
  for (auto& entry : entries)
    if (same_kind(entry, like)) return entry;
  return entries.emplace_back(LedgerEntry{like.rank, like.collective, like.algorithm, like.phase});
}

}  // namespace

void Ledger::add(const LedgerEntry& entry) { accumulate(find_or_add(entries_, entry), entry, 1); }

void Ledger::add(const Ledger& other, std::int64_t times) {
  for (const auto& entry : other.entries_) accumulate(find_or_add(entries_, entry), entry, times);
}

}  // namespace batchscope
