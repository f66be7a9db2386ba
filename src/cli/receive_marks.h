// Marks of a command that is observed.
#pragma once

#include <cstdint>
#include <memory>

#include "telemetry/marks/receiver.h"

namespace batchscope::cli {

// For phases that programs write; the command, started afterwards, is told where. Null, with a warning, where there is
// no place for the socket: a recording goes on without them.
std::unique_ptr<MarkReceiver> receive_marks(StoreWriter* store, std::int64_t session);

}  // namespace batchscope::cli
