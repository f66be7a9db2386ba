// Delays messages as a link of the given bandwidth and latency would.
#include "comm/virtual_links.h"

#include <algorithm>

namespace batchscope {
namespace {

// A link sleeps only once it owes this much: shorter sleeps last longer than asked for.
constexpr Nanoseconds largest_debt = std::chrono::microseconds(300);

}  // namespace

void VirtualLinks::pace(int rank, std::int64_t bytes) {
  if (!link_.bytes_per_second || bytes == 0) return;
  Nanoseconds& free_at = free_at_[static_cast<std::size_t>(rank)];
  const Nanoseconds now = clock_.now();
  free_at = std::max(free_at, now) + link_.latency + from_seconds(static_cast<double>(bytes) / *link_.bytes_per_second);
  if (free_at - now > largest_debt) clock_.sleep_until(free_at);
}

}  // namespace batchscope
