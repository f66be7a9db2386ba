// Fuzz target: the parser of marks takes any bytes, and what it makes of them a recording can hold.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "telemetry/marks/marked_phases.h"

using namespace batchscope;

// Messages end at a line's end here, so that one input can be a whole conversation.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  constexpr Nanoseconds now = std::chrono::seconds(1000);
  MarkedPhases phases;
  MarkSender sender{.number = 1, .name = "fuzz 1", .pid = 1};
  while (!text.empty()) {
    const std::size_t line = text.find('\n');
    phases.take(text.substr(0, line), sender, now);
    text.remove_prefix(line == std::string_view::npos ? text.size() : line + 1);
  }
  phases.forget(sender);
  phases.end_all(now);
  for (const Phase& phase : phases.pending())
    if (phase.end < phase.begin || phase.name.empty() || phase.track.empty() || phase.begin < Nanoseconds(0) ||
        phase.end > now + MarkedPhases::most_ahead)
      std::abort();
  const MarkCounts counts = phases.counts();
  if (counts.received < 0 || counts.lost < 0 || counts.refused < 0 || counts.ends_without_begin < 0) std::abort();
  return 0;
}
