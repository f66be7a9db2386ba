// Links between devices: what they are, how they are paced, what they counted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace batchscope {

enum class LinkKind { virtual_link, nvlink, pcie, nic };
std::string_view name_of(LinkKind kind);  // "virtual", "nvlink", "pcie", "nic"

// --link: the pace of virtual links ("12GB/s,5us"), or which real link to use ("nvlink", "pcie"). Default: as fast as
// it goes.
struct LinkSpec {
  std::optional<LinkKind> kind;            // nvlink or pcie when asked for
  std::optional<double> bytes_per_second;  // absent: unpaced
  Nanoseconds latency{0};                  // of each message
  bool operator==(const LinkSpec&) const = default;
};
LinkSpec parse_link(std::string_view text);
std::string to_string(const LinkSpec& link);  // "unpaced", "12GB/s,5us", "pcie"

// One device's traffic over one kind of link, three ways; absent is unknown, never 0.
struct LinkReport {
  LinkKind kind = LinkKind::virtual_link;
  std::optional<std::int64_t> predicted_tx_bytes, predicted_rx_bytes;  // by formula, from the plan
  std::optional<std::int64_t> counted_tx_bytes, counted_rx_bytes;      // where the transport copies
  std::optional<std::int64_t> link_tx_bytes, link_rx_bytes;            // the link's own counters, by telemetry
};

}  // namespace batchscope
