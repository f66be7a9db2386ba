// The byte ledger: every collective, with what its algorithm's formula says it sends.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace batchscope {

// Calls of one kind by one rank in one phase, added up.
struct LedgerEntry {
  std::int64_t rank = 0;
  std::string collective;  // "all_reduce", "all_gather", "reduce_scatter", "send", "recv"
  std::string algorithm;   // "ring", "direct"
  std::string phase;       // "attention", "mlp", "logits", "boundary"
  std::int64_t calls = 0;
  std::int64_t payload_bytes = 0;       // of the tensors given
  std::int64_t predicted_tx_bytes = 0;  // by the algorithm's formula
  std::int64_t predicted_rx_bytes = 0;
  std::int64_t counted_tx_bytes = 0;  // where the transport copied; 0 on a planning device
  std::int64_t counted_rx_bytes = 0;
};

// One rank's entries.
class Ledger {
 public:
  // Adds to the entry of the same rank, collective, algorithm and phase.
  void add(const LedgerEntry& entry);
  // Adds every entry `times` times over.
  void add(const Ledger& other, std::int64_t times);
  const std::vector<LedgerEntry>& entries() const { return entries_; }
  void clear() { entries_.clear(); }

 private:
  std::vector<LedgerEntry> entries_;
};

}  // namespace batchscope
