// Children of this process: the pipes to them, and their end.
#pragma once

#include <sys/types.h>

#include "base/clock.h"

namespace batchscope {

// Both ends of a pipe, closed in every program that is executed, and here with the object unless taken.
struct Pipe {
  explicit Pipe(const char* other);  // Failure that names the other side where no descriptors are left
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  static void close_one(int& end);
  static int take(int& end);  // it is the caller's from here on

  int read_end = -1, write_end = -1;
};

// Whether the child has ended. It is not waited for: until then its number is nobody else's.
bool has_ended(pid_t child);
// The same, looking again and again until `latest` of the monotonic clock.
bool ends_by(pid_t child, Nanoseconds latest, Nanoseconds look_again);
// Waits for the child; its status, as waitpid() gives it.
int wait_for_child(pid_t child);

}  // namespace batchscope
