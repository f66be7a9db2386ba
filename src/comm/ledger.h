// The byte ledger: every collective, with what its algorithm's formula says it sends.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace batchscope {

// Calls of one kind by one rank in one phase, added up.
struct LedgerEntry {
  std::int64_t rank = 0;
  std::string collective;  // "all_reduce", "all_gather", "send", "recv"
  std::string algorithm;   // "ring", "direct"
  std::string phase;       // "attention", "mlp", "logits", "boundary"
  int ranks = 1;           // of the group
  std::int64_t calls = 0;
  std::int64_t payload_bytes = 0;       // of the tensors given
  std::int64_t predicted_tx_bytes = 0;  // by the algorithm's formula
  std::int64_t predicted_rx_bytes = 0;
  // By the transport itself; absent where it does not tell.
  std::optional<std::int64_t> counted_tx_bytes{}, counted_rx_bytes{};
};

// Adds calls and bytes of `entry`, `times` times over; a count that either lacks is unknown.
void add_bytes(LedgerEntry& into, const LedgerEntry& entry, std::int64_t times = 1);

// One rank's entries.
class Ledger {
 public:
  // Adds to the entry of the same rank, collective, algorithm and phase. A count is known only if it is for every call.
  void add(const LedgerEntry& entry);
  // Adds every entry `times` times over.
  void add(const Ledger& other, std::int64_t times);
  const std::vector<LedgerEntry>& entries() const { return entries_; }
  void clear() { entries_.clear(); }

 private:
  std::vector<LedgerEntry> entries_;
};

}  // namespace batchscope
