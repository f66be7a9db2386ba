// The study's side of a worker: a child process, its pipes, and what its death means.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "study/cell.h"
#include "study/records.h"
#include "study/sentinel.h"

namespace batchscope {

// What the child does with its two pipes; returns its exit code.
using WorkerMain = std::function<int(int in, int out)>;
// Becomes this very program as `batchscope worker`.
WorkerMain this_program_as_worker();

// How a study starts a worker whose ranks are processes: "mpirun -n {ranks}". Words are separated by spaces.
class Launcher {
 public:
  // InputError where there is no such program.
  explicit Launcher(const std::string& text);
  // Becomes the launcher, which starts this very program as `batchscope worker` as often as there are ranks.
  WorkerMain worker(std::int64_t ranks) const;

 private:
  std::vector<std::string> words_;
};

class WorkerProcess {
 public:
  // How it is ended: a launcher is asked to end what it has started.
  enum class End { kill, terminate };
  explicit WorkerProcess(const WorkerMain& main, End end = End::kill);  // Failure when no process can be made
  ~WorkerProcess();                                                     // ends it where it still lives
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  pid_t pid() const { return pid_; }
  bool alive() const { return pid_ > 0; }

  // Sends the cell and waits for its result. A worker that dies or takes longer than `time_out` (loading and running
  // have that much each) gives a result too, and is not alive afterwards. Interrupted when `stop` is set.
  // `reference`: what the cell's answers are compared with; null: what the worker finds.
  // `on_warm` is called when its timed part begins, give or take a message's way.
  CellRecords run(const CellSpec& spec, Nanoseconds time_out, const std::atomic<bool>& stop,
                  const SentinelReference* reference = nullptr, const std::function<void()>& on_warm = {});

 private:
  struct Pipes;
  CellRecords gone(CellStatus status, const std::string& reason);
  CellRecords died();
  std::string last_words();
  void end();
  int reap();  // its wait status

  std::unique_ptr<Pipes> pipes_;
  const End end_;
  pid_t pid_ = -1;
  std::string errors_;  // end of what it wrote to standard error
};

}  // namespace batchscope
