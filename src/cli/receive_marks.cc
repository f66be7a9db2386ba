// Opens the socket for a recording's marks, or says why there is none.
#include "cli/receive_marks.h"

#include "base/error.h"
#include "cli/output.h"
#include "telemetry/marks/environment.h"

namespace batchscope::cli {

std::unique_ptr<MarkReceiver> receive_marks(StoreWriter* store, std::int64_t session) {
  try {
    auto marks = std::make_unique<MarkReceiver>(store, session);
    set_mark_environment(marks->path());
    return marks;
  } catch (const Failure& failure) {
    warn(failure.what());
    return nullptr;
  }
}

}  // namespace batchscope::cli
