// The study's side of a worker: a child process, its pipes, and what its death means.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "study/cell.h"
#include "study/records.h"

namespace batchscope {

// What the child does with its two pipes; returns its exit code.
using WorkerMain = std::function<int(int in, int out)>;
// Becomes this very program as `batchscope worker`.
WorkerMain this_program_as_worker();

class WorkerProcess {
 public:
  explicit WorkerProcess(const WorkerMain& main);  // Failure when no process can be made
  ~WorkerProcess();                                // kills it where it still lives
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  pid_t pid() const { return pid_; }
  bool alive() const { return pid_ > 0; }

  // Sends the cell and waits for its result. A worker that dies or takes longer than `time_out` (loading and running
  // have that much each) gives a result too, and is not alive afterwards. Interrupted when `stop` is set.
  CellRecords run(const CellSpec& spec, Nanoseconds time_out, const std::atomic<bool>& stop);

 private:
  struct Pipes;
  CellRecords gone(CellStatus status, const std::string& reason);
  CellRecords died();
  std::string last_words();
  int reap(bool kill_it);  // its wait status

  std::unique_ptr<Pipes> pipes_;
  pid_t pid_ = -1;
  std::string errors_;  // end of what it wrote to standard error
};

}  // namespace batchscope
