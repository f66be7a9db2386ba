// Adding up ledger entries.
#include "comm/ledger.h"

namespace batchscope {
namespace {

bool same_kind(const LedgerEntry& a, const LedgerEntry& b) {
  return a.rank == b.rank && a.collective == b.collective && a.algorithm == b.algorithm && a.phase == b.phase &&
         a.ranks == b.ranks;
}

void add_count(std::optional<std::int64_t>& into, const std::optional<std::int64_t>& count, std::int64_t times) {
  if (into && count)
    *into += times * *count;
  else
    into.reset();
}

LedgerEntry& find_or_add(std::vector<LedgerEntry>& entries, const LedgerEntry& like) {
  for (auto& entry : entries)
    if (same_kind(entry, like)) return entry;
  LedgerEntry none{like.rank, like.collective, like.algorithm, like.phase, like.ranks};
  none.counted_tx_bytes = none.counted_rx_bytes = 0;
  return entries.emplace_back(std::move(none));
}

}  // namespace

void add_bytes(LedgerEntry& into, const LedgerEntry& entry, std::int64_t times) {
  into.calls += times * entry.calls;
  into.payload_bytes += times * entry.payload_bytes;
  into.predicted_tx_bytes += times * entry.predicted_tx_bytes;
  into.predicted_rx_bytes += times * entry.predicted_rx_bytes;
  add_count(into.counted_tx_bytes, entry.counted_tx_bytes, times);
  add_count(into.counted_rx_bytes, entry.counted_rx_bytes, times);
}

void Ledger::add(const LedgerEntry& entry) {
  add_bytes(find_or_add(entries_, entry), entry);
}

void Ledger::add(const Ledger& other, std::int64_t times) {
  for (const auto& entry : other.entries_) add_bytes(find_or_add(entries_, entry), entry, times);
}

}  // namespace batchscope
