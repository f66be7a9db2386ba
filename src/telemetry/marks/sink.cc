// Phases as marks (telemetry/marks/sink.h).
#include "telemetry/marks/sink.h"

#include "batchscope/mark.h"

namespace batchscope {

void MarkSink::record(Phase phase) {
  batchscope_send("phase", (phase.begin + phase.clock_offset).count(), (phase.end + phase.clock_offset).count(),
                  phase.track.c_str(), "", phase.name.c_str(), phase.detail.c_str());
  if (next_ != nullptr) next_->record(std::move(phase));
}

}  // namespace batchscope
