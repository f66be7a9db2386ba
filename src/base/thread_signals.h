// Signals in threads beside the main one.
#pragma once

#include <csignal>

namespace batchscope {

// To be called by a thread at its start: signals to the process go to other threads, which can act on them. What the
// thread itself does wrong still ends the program with its handler's words.
inline void leave_signals_to_others() {
  sigset_t all;
  sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&all, fault);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace batchscope
