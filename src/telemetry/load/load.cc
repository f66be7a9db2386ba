// Sizes of known loads (telemetry/load/load.h).
#include "telemetry/load/load.h"

#include <cmath>

namespace batchscope {
namespace {

// By multiples of the golden ratio, modulo 1: spread evenly, and never again the same.
Nanoseconds varied(Nanoseconds time, int step) {
  const double share = step * 0.6180339887498949;
  return from_seconds(to_seconds(time) * (0.5 + share - std::floor(share)));
}

}  // namespace

Nanoseconds Load::busy_of(int cycle) const { return uneven ? varied(busy, 2 * cycle) : busy; }
Nanoseconds Load::idle_of(int cycle) const { return uneven ? varied(idle, 2 * cycle + 1) : idle; }

std::string_view name_of(LoadKind kind) {
  switch (kind) {
    case LoadKind::copy_to_device:
      return "copy to device";
    case LoadKind::copy_to_host:
      return "copy to host";
    case LoadKind::copy_to_peer:
      return "copy to peer";
    case LoadKind::copy_from_peer:
      return "copy from peer";
    case LoadKind::all_reduce:
      return "all-reduce";
    case LoadKind::spin:
      return "waiting kernel";
    case LoadKind::burn:
      return "multiply-adds";
    case LoadKind::allocation:
      return "allocation";
  }
  return "load";
}

LoadRun planned_run(const Load& load, int gpus) {
  LoadRun run;
  const std::int64_t transfers = load.transfers * load.cycles, bytes = transfers * load.bytes;
  switch (load.kind) {
    case LoadKind::copy_to_device:
    case LoadKind::copy_from_peer:
      run = {.transfers = transfers, .rx_bytes = bytes};
      break;
    case LoadKind::copy_to_host:
    case LoadKind::copy_to_peer:
      run = {.transfers = transfers, .tx_bytes = bytes};
      break;
    case LoadKind::all_reduce: {
      const std::int64_t each_way = 2 * (gpus - 1) * bytes / gpus;
      run = {.transfers = transfers, .tx_bytes = each_way, .rx_bytes = each_way};
      break;
    }
    case LoadKind::spin:
    case LoadKind::burn:
    case LoadKind::allocation:
      break;
  }
  return run;
}

}  // namespace batchscope
