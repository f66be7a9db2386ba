// What a process inherits from whoever started it: descriptors that may be closed, signals that are to be ignored.
#pragma once

namespace batchscope {

// To be called first in main, before anything is opened and any signal is set.
void take_over_process();

// Whoever started this program wants the signal ignored (nohup; a shell, of what it runs in the background): it stays
// ignored, here and in commands. Async-signal-safe.
bool ignored_at_start(int signal);

}  // namespace batchscope
