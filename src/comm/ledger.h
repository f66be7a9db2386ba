// The byte ledger: every collective, with what its algorithm's formula says it sends.
#pragma once

#include <cstdint>
#include <string>

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
  std::int64_t counted_tx_bytes = 0;  // where the transport copied; 0 calls on a planning device
  std::int64_t counted_rx_bytes = 0;
};

}  // namespace batchscope
